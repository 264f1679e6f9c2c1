/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a shared heap is to the library, and what the process holds of it. */
#ifndef _PYML_SHAREDHOLD_H
#define _PYML_SHAREDHOLD_H

#include <pthread.h>

#include <pymalloc-shared.h>

#include "types.h"

/*
 * What a count is, beside PYMALLOC_SHARED_ONCE and more.  Threads that are about to make the
 * process hold an object have added one each: to 0, or to what a bad program does not expect.
 */
#define PYML_UNHELD	0U
/* In the stock: more than threads can add to 0. */
#define PYML_STOCKED	0x40000000U
/* Held by the process for the kernel, and by no thread. */
#define PYML_WAITING	(PYMALLOC_SHARED_ONCE - 1)

/* Drops that wait at most: so that a call, of about a thousand instructions, is a small part. */
#define PYML_DROPS_MAX	64
/* Blocks of one size class in the stock at most, for the same reason. */
#define PYML_STOCK_MAX	64

/**
 * struct pyml_stock - blocks of one size class that the process has for its next allocations
 * @nr: how many
 * @batch: how many came in the last batch
 * @refs: which
 */
struct pyml_stock {
	unsigned int nr;
	unsigned int batch;
	__u64 refs[PYML_STOCK_MAX];
};

/**
 * struct pyml_shared - a shared heap
 * @view: what its users' fast paths need; the first member
 * @next: in the list of all
 * @users: how often it has been opened
 * @fd: its descriptor
 * @id: its number
 * @window: bytes of its window
 * @round: its alignment, less one
 * @reader: it is mapped for reading only
 * @pool_map: the size class of each pool
 * @counts: the count of the window's start
 * @lock: protects what follows, and is held while a count becomes PYMALLOC_SHARED_ONCE for the
 *	kernel, or stops to be
 * @client: the number of this process, or 0 if it is not known
 * @nr_drops: how many drops wait
 * @drops: refs of objects that were dropped; a count that is not PYML_WAITING any more is
 *	that of one that has been held again
 * @stocks: by size class, less one
 *
 * @next and @users are under the lock in shared.c; the others up to @lock never change.
 */
struct pyml_shared {
	struct pymalloc_shared view;
	struct pyml_shared *next;
	unsigned int users;
	int fd;
	__u64 id;
	__u64 window;
	size_t round;
	bool reader;
	const __u8 *pool_map;
	char *counts;
	pthread_mutex_t lock;
	__u32 client;
	unsigned int nr_drops;
	__u64 drops[PYML_DROPS_MAX];
	struct pyml_stock stocks[PYMALLOC_NR_CLASSES];
};

static inline struct pyml_shared *pyml_shared_of(struct pymalloc_shared *view)
{
	return (struct pyml_shared *)view;
}

/* The count of an object, by its ref. */
static inline __u32 *pyml_count(const struct pyml_shared *heap, __u64 ref)
{
	return pymalloc_shared_count(&heap->view, heap->view.base + ref);
}

/* Is this the count of a block in the stock, whatever threads have added? */
static inline bool pyml_is_stocked(__u32 count)
{
	return count >= PYML_STOCKED && count < PYML_STOCKED + PYML_STOCKED / 2;
}

#pragma GCC visibility push(hidden)

int pyml_shared_ioctl(struct pyml_shared *heap, unsigned long command, void *args);
int pyml_shared_send(struct pyml_shared *heap);
int pyml_shared_unstock(struct pyml_shared *heap);
bool pyml_shared_make_room(struct pyml_shared *heap, int error);
void pyml_shared_count_in(struct pyml_shared *heap, __u64 ref);
void pyml_shared_settle(struct pyml_shared *heap, __u64 ref);

#pragma GCC visibility pop

#endif /* _PYML_SHAREDHOLD_H */
