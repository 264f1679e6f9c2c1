/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The clients of a shared heap.  See sharer.c.
 */
#ifndef PYM_SHARER_H
#define PYM_SHARER_H

#include <linux/fs.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/uidgid.h>

#include "refs/root.h"

struct pym_service_heap;

/**
 * struct pym_shared - what a shared heap has beside a private one
 * @refs: who needs which block
 * @roots: blocks with names
 * @clients: struct pym_sharer by mm
 * @numbers: struct pym_sharer by number; also those that are just leaving
 * @next: where to look for the next number
 * @held_max: the most that clients may hold that come from now on; 0 is no limit
 *
 * @refs.lock protects all of it.
 */
struct pym_shared {
	struct pym_refs refs;
	struct pym_roots roots;
	struct xarray clients;
	struct xarray numbers;
	u32 next;
	u64 held_max;
};

/**
 * struct pym_sharer - a client of a shared heap
 * @users: one for each mapping, and one for each call that waits for something
 * @sheap: the heap, with a reference
 * @mm: its address space, which is only compared
 * @number: its number
 * @mappings: its mappings of the heap; it has gone when there are none
 * @holder: what it holds
 * @pid: its process; NULL until a child of fork() has made a call
 * @uid: the user of its process when it became a client
 * @comm: the command of its process at that time
 *
 * The lock of the heap's counts protects @mappings and @holder.
 */
struct pym_sharer {
	refcount_t users;
	struct pym_service_heap *sheap;
	struct mm_struct *mm;
	u32 number;
	u32 mappings;
	struct pym_holder holder;
	struct pid *pid;
	kuid_t uid;
	char comm[TASK_COMM_LEN];
};

/* Bytes of metadata of a shared heap, and of a client, with what stays at hand for them. */
#define PYM_SHARED_BYTES	512
#define PYM_SHARER_BYTES	(512 + 64)

struct pym_shared *pym_shared_new(struct pym_service_heap *sheap);
void pym_shared_destroy(struct pym_shared *shared);
struct pym_shared *pym_shared_of(const struct pym_service_heap *sheap);
struct pym_sharer *pym_sharer_join(struct pym_service_heap *sheap);
struct pym_sharer *pym_sharer_fork(struct pym_sharer *parent, struct mm_struct *mm);
void pym_sharer_map(struct pym_sharer *sharer);
void pym_sharer_unmap(struct pym_sharer *sharer);
struct pym_sharer *pym_sharer_caller(struct pym_shared *shared);
struct pym_sharer *pym_sharer_find(struct pym_shared *shared, u32 number);
void pym_sharer_get(struct pym_sharer *sharer);
void pym_sharer_put(struct pym_sharer *sharer);
bool pym_sharer_has_mail(struct pym_service_heap *sheap);
unsigned int pym_sharer_begin(struct pym_service_heap *sheap, const u64 *blocks,
			      unsigned int nr, int *err);
void pym_sharer_drop(struct pym_service_heap *sheap, const u64 *blocks, unsigned int nr);
int pym_sharer_limit(struct pym_shared *shared, u32 number, u64 max);
u32 pym_sharer_next(struct pym_shared *shared, u32 after, struct pymalloc_client_info *info);

#endif /* PYM_SHARER_H */
