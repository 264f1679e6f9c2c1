/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One thread's cache of a heap: its memory. */
#ifndef _PYML_CACHE_H
#define _PYML_CACHE_H

#include <assert.h>
#include <sys/types.h>

#include <pymalloc-stack.h>

#include "types.h"

/* One for each value of the pool map's bytes; that of 0 is never used. */
#define PYML_MAGAZINES	(PYMALLOC_NR_CLASSES + 1)
/*
 * Slots that each magazine has.  At 64, a fill or flush by halves moves 32 objects, and
 * the system call is a small part of what an object costs.
 */
#define PYML_SLOTS_MIN	64
/*
 * Slots that a magazine may get if it needs them: two pages, less the entry at the end.
 * With more, a call hardly costs less for each object, since a batch of some hundred
 * hides the call itself; with fewer, programs whose objects come and go by many hundreds
 * would call more often.
 */
#define PYML_SLOTS_MAX	1023
/* Blocks in the largest batch: all but the eighth that stays, of the most slots. */
#define PYML_BATCH_MOST	((PYML_SLOTS_MAX + 1) / 8 * 7)
#define PYML_PAGE	4096
#define PYML_PAGE_ALIGNED	__attribute__((aligned(PYML_PAGE)))

/*
 * struct pyml_slots - the slot pages of a cache
 * @refs: a batch on its way to the kernel
 * @status: what the kernel says of each
 * @small: the slots of magazines that have no more than PYML_SLOTS_MIN
 * @large: the slots of the others, in two pages each, of which the first is only there
 *	when the second is not enough
 *
 * A magazine's objects fill its slots from the last one down.  Behind the last slot
 * there is one more entry, which is always NULL: where pops end.  A heap with half as
 * many size classes uses the first half of the rows of each kind.
 */
struct pyml_slots {
	__u64 refs[PYML_BATCH_MOST];
	__u8 status[PYML_BATCH_MOST];
	void *small[PYMALLOC_NR_CLASSES][PYML_SLOTS_MIN + 1] PYML_PAGE_ALIGNED;
	void *large[PYMALLOC_NR_CLASSES][PYML_SLOTS_MAX + 1] PYML_PAGE_ALIGNED;
};

static_assert(sizeof(struct pyml_slots) <= PYMALLOC_CACHE_PAGES * PYML_PAGE);

/**
 * struct pyml_cache - one thread's magazines for one heap: a header page
 * @magazines: by size class; the thread's entry in pyml_magazines points here
 * @header: what the kernel knows of them; it begins with the same words
 * @heap: the heap
 * @home: the owner's entry in pyml_magazines
 * @traced_home: the owner's entry in pyml_traced
 * @index: its index in the heap's table
 * @slots: its slot pages
 * @large_pages: by row of @large, how many of its pages are there
 * @nr_fills: batches allocated
 * @nr_flushes: batches freed
 * @slot_bytes: bytes of blocks for which magazines have slots
 * @net_bytes: bytes of blocks that the thread has got from the kernel, less those that it
 *	has given back; negative for one that frees what others have allocated
 * @hand: the class whose magazine was looked at last for slots that it does not need
 * @nr_crossings: how often a magazine was empty or full
 * @crossed: by class, @nr_crossings when its magazine was last empty or full
 * @batch: by class, the blocks that it then wanted to move; negative when it was full
 * @abandoned: its thread does not exist any more, and was interrupted anywhere
 * @nr_flushing: refs that the kernel is freeing
 * @generation: that of the trace which the thread has begun with
 * @stack: the thread's stack in the heap; zero until it has asked for one
 *
 * The pages belong to the heap, and while the thread sleeps, the kernel takes blocks away:
 * see struct pymalloc_cache_header.  In a sandbox, and if the heap may have no more
 * pages, a new cache is ordinary memory, of which the kernel knows nothing.
 */
struct pyml_cache {
	union {
		struct pymalloc_magazines magazines;
		struct pymalloc_cache_header header;
	};
	struct pymalloc_heap *heap;
	struct pymalloc_magazines **home;
	struct pyml_cache **traced_home;
	size_t index;
	struct pyml_slots *slots;
	__u8 large_pages[PYMALLOC_NR_CLASSES];
	__u64 nr_fills;
	__u64 nr_flushes;
	size_t slot_bytes;
	ssize_t net_bytes;
	size_t hand;
	__u64 nr_crossings;
	__u64 crossed[PYML_MAGAZINES];
	int batch[PYML_MAGAZINES];
	bool abandoned;
	unsigned int nr_flushing;
	__u32 generation;
	struct pymalloc_stack stack;
};

static_assert(sizeof(struct pyml_cache) <= PYML_PAGE);
static_assert(offsetof(struct pymalloc_cache_header, top) ==
	      offsetof(struct pymalloc_magazines, top));
static_assert(offsetof(struct pymalloc_cache_header, full) ==
	      offsetof(struct pymalloc_magazines, full));
static_assert(offsetof(struct pymalloc_cache_header, bottom) ==
	      sizeof(struct pymalloc_magazines));

#pragma GCC visibility push(hidden)

struct pyml_cache *pyml_cache_open(struct pymalloc_heap *heap, size_t index);
void pyml_cache_close(struct pyml_cache *cache);
bool pyml_cache_is_in_heap(const struct pymalloc_heap *heap, size_t index);
bool pyml_cache_add_pages(struct pyml_cache *cache, size_t row, size_t pages);
void pyml_cache_drop_pages(struct pyml_cache *cache, size_t row);
void pyml_caches_unmap(struct pymalloc_heap *heap);

#pragma GCC visibility pop

/* In which row a class has its slots. */
static inline size_t pyml_row(const struct pymalloc_heap *heap, size_t class)
{
	return (class - 1) / pyml_step(heap);
}

#endif /* _PYML_CACHE_H */
