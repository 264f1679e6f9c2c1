/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One thread's magazines for one heap: the part that is off the fast path. */
#ifndef _PYML_MAGAZINE_H
#define _PYML_MAGAZINE_H

#include <assert.h>

#include "types.h"

/* One for each value of the pool map's bytes; that of 0 is never used. */
#define PYML_MAGAZINES	(PYMALLOC_NR_CLASSES + 1)
/*
 * Slots that each magazine has.  At 64, a fill or flush by halves moves 32 objects, and
 * the system call is a small part of what an object costs.
 */
#define PYML_SLOTS_MIN	64
/*
 * Slots that a magazine may get if it needs them.  With more, a call hardly costs less
 * for each object, since a batch of some hundred hides the call itself; with fewer,
 * programs whose objects come and go by many hundreds would call more often.
 */
#define PYML_SLOTS_MAX	1024
/*
 * Bytes of blocks for which all magazines of a cache together may have slots.  One fifth
 * of it are the PYML_SLOTS_MIN of each class.  The rest goes to those that need more: it
 * is enough for 300 slots of every class, or for PYML_SLOTS_MAX of the eight largest.
 * The number bounds what a sleeping thread keeps from the heap: with more of it programs
 * would hold more memory, with less they would make more calls.
 */
#define PYML_CACHE_BYTES	(5 * 1024 * 1024)
static_assert(PYML_SLOTS_MIN * PYMALLOC_BLOCK_MIN * PYMALLOC_NR_CLASSES *
	      (PYMALLOC_NR_CLASSES + 1) / 2 <= PYML_CACHE_BYTES);
/*
 * Blocks in the first batch in a direction: a quarter of the least slots.  A program that
 * needs a few objects of a class does not get many; a larger first step would more often
 * go past the point from which a program needs no more calls.
 */
#define PYML_BATCH_FIRST	16
/* Blocks in the largest batch: all but the eighth that stays, of the most slots. */
#define PYML_BATCH_MOST	(PYML_SLOTS_MAX / 8 * 7)
/*
 * When doubling has brought the size of the next batch to so many times a magazine's
 * slots, the program only allocates, or only frees: batches are seven eighths of the slots
 * from then on.  From half of the slots on it takes four more batches in one direction to
 * get there, so that a program that goes up and down does not.
 */
#define PYML_ONE_WAY	8
/*
 * After so many fills and flushes of other magazines, a magazine need not be as large as it
 * is.  It is four rounds of 64 classes: a magazine that is used as much as the others has
 * been filled or flushed by then.
 */
#define PYML_IDLE		256

/**
 * struct pyml_cache - one thread's magazines for one heap
 * @magazines: by size class; the thread's entry in pyml_magazines points here
 * @heap: the heap
 * @home: the owner's entry in pyml_magazines
 * @next: the heap's next cache
 * @link: what points at this one in that list
 * @nr_fills: batches allocated
 * @nr_flushes: batches freed
 * @spare: bytes of blocks for which magazines may still get slots
 * @hand: the class whose magazine was looked at last for slots that it does not need
 * @crossed: by class, @nr_fills + @nr_flushes when it was last filled or flushed
 * @batch: by class, the blocks that it then wanted to move; negative for a flush
 * @busy: objects are on their way between the cache and the kernel
 * @abandoned: its thread does not exist any more, and was interrupted anywhere
 * @nr_refs: refs queued in @refs to be freed
 * @nr_flushing: refs in @refs that the kernel is freeing
 * @refs: a batch on its way to the kernel
 * @status: what the kernel says of each
 * @small: the slots of magazines that never had more than PYML_SLOTS_MIN
 * @large: the slots of the others
 *
 * A magazine's objects fill its slots from the last one down.  Behind the last slot
 * there is one more entry, which is always NULL: where pops end.
 */
struct pyml_cache {
	struct pymalloc_magazines magazines;
	struct pymalloc_heap *heap;
	struct pymalloc_magazines **home;
	struct pyml_cache *next;
	struct pyml_cache **link;
	__u64 nr_fills;
	__u64 nr_flushes;
	size_t spare;
	size_t hand;
	__u64 crossed[PYML_MAGAZINES];
	int batch[PYML_MAGAZINES];
	bool busy;
	bool abandoned;
	unsigned int nr_refs;
	unsigned int nr_flushing;
	__u64 refs[PYML_BATCH_MOST];
	__u8 status[PYML_BATCH_MOST];
	void *small[PYML_MAGAZINES][PYML_SLOTS_MIN + 1];
	void *large[PYML_MAGAZINES][PYML_SLOTS_MAX + 1];
};

#pragma GCC visibility push(hidden)

void pyml_magazines_init(struct pyml_cache *cache);
size_t pyml_magazine_count(const struct pyml_cache *cache,
			   size_t class);
bool pyml_magazine_has(const struct pyml_cache *cache, size_t class,
		       const void *object);
bool pyml_magazine_fill(struct pyml_cache *cache, size_t class);
void pyml_magazine_flush(struct pyml_cache *cache, size_t class);
void pyml_magazines_flush(struct pyml_cache *cache);
void pyml_magazines_flush_abandoned(struct pyml_cache *cache);

#pragma GCC visibility pop

#endif /* _PYML_MAGAZINE_H */
