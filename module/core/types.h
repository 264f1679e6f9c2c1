/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The core of the allocator: its structs and its locks.
 *
 * The core knows no files, no user memory, no mm and no faults.  The same sources
 * build in user space, where models and fuzzers drive them.
 *
 * Locks
 * -----
 * heap->gate		read side around every operation, write side around what
 *			needs the whole heap at rest (the checker, fork()).  Sleeps.
 *			A look at the heap from outside never takes it: a task that
 *			looks could be kept from running, and would keep the heap.
 *			An operation leaves it while it takes pages out of page
 *			tables, because fork() comes with those locked: see ops.c.
 * class->lock		the pools that have this class: their bitmaps,
 *			boundaries, counts and lists.  pool->class goes to and
 *			from this class only under it.
 * heap->lock		arenas: where they are, which pools are free, empty
 *			or busy, all pages; runs; the heap's page counts.
 *
 * The two spinlocks are leaves and are never held together.  A pool that is on
 * its way between them is not free and has no class, so that only the task that
 * brings it there can reach it: it is busy, and while the gate is left it is
 * leaving, too.  An arena may be looked up under RCU alone; it stays while one of its
 * pools is not free.
 */
#ifndef PYM_TYPES_H
#define PYM_TYPES_H

#include <linux/atomic.h>
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/rcupdate.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/pymalloc.h>

#include "buckets.h"

#define PYM_POOL_SHIFT		12
#define PYM_ARENA_SHIFT		18
#define PYM_REGION_ARENAS	64
#define PYM_REGION_SHIFT	24
#define PYM_BITMAP_WORDS	(PYMALLOC_POOL_SIZE / PYMALLOC_BLOCK_MIN / 64)

/* pool->class, beyond the size classes 1 to PYMALLOC_NR_CLASSES */
#define PYM_CLASS_NONE		0
#define PYM_CLASS_RUN		254	/* the first page of a large object */
#define PYM_CLASS_TAIL		255	/* its other pages */

/*
 * Used pools are kept by fullness, the fullest quarter first, so that sparse
 * pools drain.  A full pool is in no list.
 */
#define PYM_GROUPS		4
#define PYM_GROUP_FULL		PYM_GROUPS

/*
 * Empty pools that a heap keeps whatever its size: an arena's worth (256 KiB), so
 * that a program with one arena does not give it back and take it again.  Less would
 * trim small heaps all the time; more would be held by every small process.
 */
#define PYM_EMPTY_MIN		64

/**
 * struct pym_pool - one page of the window
 * @free: a bit for each block below @boundary: free (1) or allocated (0)
 * @link: in one of the class's lists, or in a finder's own
 * @page: its memory; NULL if it has none
 * @nr_alloc: blocks allocated
 * @boundary: blocks from this one on are untouched
 * @run_pages: of the first page of a run: pages in it
 * @class: its size class, or PYM_CLASS_*
 * @group: which of the class's lists it is in
 * @index: its place in the arena
 * @withheld: its page has a memory error: its free blocks stay where they are, and
 *	it is in no list, as if it were full
 */
struct pym_pool {
	unsigned long free[PYM_BITMAP_WORDS];
	struct list_head link;
	struct page *page;
	u16 nr_alloc;
	union {
		u16 boundary;
		u16 run_pages;
	};
	u8 class;
	u8 group;
	u8 index;
	bool withheld;
};

/**
 * struct pym_arena - 64 pools
 * @number: its place in the window
 * @runs: it holds runs, not pools of blocks
 * @bucket: which of the heap's lists it is in; 0 is none
 * @map: its part of the pool map
 * @free: pools without a class that may be taken
 * @empty: those of @free that have kept their page: empty pools
 * @busy: pools on their way from or to @free
 * @leaving: those of @busy whose page is being taken out of page tables
 * @apart: pools whose page the heap pays for apart from its family
 * @link: in heap->usable or heap->usable_runs
 * @empty_link: in heap->empty
 * @rcu: its memory outlives those who looked it up
 * @pools: the pools
 */
struct pym_arena {
	u32 number;
	bool runs;
	u8 bucket;
	u8 *map;
	u64 free;
	u64 empty;
	u64 busy;
	u64 leaving;
	u64 apart;
	struct list_head link;
	struct list_head empty_link;
	struct rcu_head rcu;
	struct pym_pool pools[PYMALLOC_ARENA_POOLS];
};

/*
 * Room for what comes: a pool has one byte left of its 96, but the slab that arenas
 * come from leaves each of them about 300 bytes, which are charged anyway.  A side
 * table of up to PYM_ARENA_SPARE bytes, 4 for each pool, fits into struct pym_arena
 * behind @pools and costs nothing.  A larger one is a pointer there to memory of its
 * own: pym_arena_alloc() charges and allocates, arena_free() frees (the last use of
 * an arena is under RCU), and arena_copy() in clone.c copies for fork().
 */
#define PYM_ARENA_SPARE		(4 * PYMALLOC_ARENA_POOLS)

/**
 * struct pym_span - pools of one arena
 * @arena: the arena.  From a function that returns a span NULL or an error, if there
 *	is none
 * @bits: a bit for each of the pools
 *
 * Two words, so that it is passed and returned in registers.
 */
struct pym_span {
	struct pym_arena *arena;
	u64 bits;
};

/**
 * struct pym_region - 64 arenas of the window and their part of the pool map
 * @arenas: the arenas that exist
 * @number: its place in the window
 * @bucket: which of the heap's lists it is in; 0 is none
 * @fresh: its part of the pool map is not yet seen by everybody
 * @used: a bit for each arena number that is taken
 * @link: in heap->usable_regions
 * @map: the page of the pool map
 */
struct pym_region {
	struct pym_arena __rcu *arenas[PYM_REGION_ARENAS];
	u32 number;
	u8 bucket;
	bool fresh;
	u64 used;
	struct list_head link;
	struct page *map;
};

/**
 * struct pym_table - the regions of a heap by number
 * @rcu: its memory outlives those who look a region up
 * @nr: entries; no region lies beyond
 * @regions: the regions; NULL behind the last one
 *
 * It grows with the regions that are made, whatever the window's size.
 */
struct pym_table {
	struct rcu_head rcu;
	unsigned long nr;
	struct pym_region *regions[];
};

/**
 * struct pym_class - one size class of a heap
 * @lock: see the top of this file
 * @size: bytes of a block
 * @inverse: 2^32 / size + 1, for exact division
 * @capacity: blocks in a pool
 * @group_scale: 65536 * PYM_GROUPS / capacity, rounded up
 * @partial: used pools by fullness
 * @pools_used: their number
 * @pools_full: number of full pools
 * @blocks: blocks allocated
 * @untouched: blocks that are untouched
 * @nr_allocs: allocations so far
 * @nr_frees: frees so far
 */
struct pym_class {
	/* Protects all that follows, and the pools of this class. */
	spinlock_t lock;
	u32 size;
	u32 inverse;
	u32 capacity;
	u32 group_scale;
	struct list_head partial[PYM_GROUPS];
	u64 pools_used;
	u64 pools_full;
	u64 blocks;
	u64 untouched;
	u64 nr_allocs;
	u64 nr_frees;
} ____cacheline_aligned_in_smp;

/**
 * struct pym_quota - so many bytes and no more
 * @used: bytes charged: of pages and of metadata
 * @meta: those of @used that are metadata
 * @max: the limit in bytes, read at every charge; 0 is no limit
 */
struct pym_quota {
	atomic_long_t used;
	atomic_long_t meta;
	const unsigned long *max;
};

struct pym_heap;

/**
 * struct pym_view - the mappings of a heap while they cannot change
 * @space: the address space; NULL if nobody maps the heap (any more)
 * @only: the only one, when the others would have to be looked for; else NULL
 *
 * The core only passes it on.
 */
struct pym_view {
	void *space;
	void *only;
};

/**
 * struct pym_heap_ops - what the core asks of whoever shows the heap in a window
 * @hold: keep the heap's mappings as they are.  Sleeps; not under the gate.
 *	Returns 0, or -EINTR if the caller is not the heap's process and is
 *	being killed
 * @release: the reverse
 * @zap: take @nr pages, which were found in the window from @offset on so far, out
 *	of the mappings, which are held.  Returns when nobody maps one of them there,
 *	nor is about to because it had found the page before.  May sleep
 * @map_grown: page @number of the pool map is there; where it had none, zeroes may be
 *	mapped.  Returns when nobody maps these any more, nor is about to.  The
 *	mappings are held.  May sleep
 * @grown: the heap's pages have passed its threshold.  May not sleep
 * @pause: between two pieces of a look at the heap: returns 0, or a negative error
 *	if the look is to end.  May be NULL
 */
struct pym_heap_ops {
	int (*hold)(struct pym_heap *heap, struct pym_view *view);
	void (*release)(struct pym_heap *heap, struct pym_view *view);
	void (*zap)(struct pym_heap *heap, const struct pym_view *view, u64 offset,
		    struct page **pages, unsigned int nr);
	void (*map_grown)(struct pym_heap *heap, const struct pym_view *view,
			  unsigned long number);
	void (*grown)(struct pym_heap *heap);
	int (*pause)(struct pym_heap *heap);
};

/**
 * struct pym_heap - a set of arenas with one limit and one set of figures
 * @id: its number
 * @alignment: 8 or 16: the distance of its size classes
 * @window: bytes of the window
 * @extent: those of them, from the start on, in which arenas may lie so far.  Only
 *	grows, with the gate held for reading and under @lock
 * @limit: most bytes of pages and metadata; 0 is no limit
 * @base_bytes: bytes of metadata that it takes without any arena, beside the core's
 *	own: whoever makes it says so
 * @threshold: @ops->grown is called when the pages reach this; 0 is never
 * @ops: see there; NULL for a heap without a window
 * @gate: see the top of this file
 * @quota: its own pages and metadata
 * @purse: pays, once, for what the heap and its family have together; may be
 *	NULL.  Changes, as @user and @pays_apart, with the gate held for writing
 *	and under @lock
 * @user: pays for all of its metadata, and for the pages that it gets from now on
 * @cloning: fork() is making it, and is not refused for a limit
 * @pays_apart: that is not @purse: the pages are marked in @apart of their arenas
 * @lock: see the top of this file
 * @table: the regions that are there
 * @made_regions: how many there are, the first of the window
 * @usable_regions: regions that have an arena number to give
 * @usable: arenas of pools that have a free one
 * @usable_runs: arenas of runs that have a free page
 * @empty: arenas with empty pools
 * @nr_empty: number of those pools
 * @nr_arenas: arenas of pools
 * @nr_run_arenas: arenas of runs
 * @pages: pages in the window
 * @pages_peak: the most that @pages has been
 * @pages_in: pages taken from the system so far
 * @pages_out: pages given back so far
 * @maybe_shared: those of @pages that may be shared: see frame.c
 * @pages_apart: those of @pages that are paid for apart
 * @nr_own: pages that may have been shared and have become the heap's alone so far
 * @runs: large objects
 * @run_pages: their pages
 * @nr_run_allocs: large objects allocated so far
 * @nr_run_frees: large objects freed so far
 * @nr_bad_refs: refs refused so far
 * @classes: the size classes; entry k has blocks of 8 * k bytes, entry 0 stands
 *	for no class
 */
struct pym_heap {
	u64 id;
	u32 alignment;
	u64 window;
	u64 extent;
	unsigned long limit;
	unsigned long base_bytes;
	u64 threshold;
	const struct pym_heap_ops *ops;
	struct rw_semaphore gate;
	struct pym_quota quota;
	struct pym_quota *purse;
	struct pym_quota *user;
	bool pays_apart;
	bool cloning;

	/* Protects what follows up to the counts of objects, and the arenas. */
	spinlock_t lock;
	struct pym_table __rcu *table;
	unsigned long made_regions;
	struct pym_buckets usable_regions;
	struct pym_buckets usable;
	struct pym_buckets usable_runs;
	struct list_head empty;
	u64 nr_empty;
	u64 nr_arenas;
	u64 nr_run_arenas;
	u64 pages;
	u64 pages_peak;
	u64 pages_in;
	u64 pages_out;
	u64 maybe_shared;
	u64 pages_apart;
	u64 nr_own;
	u64 runs;
	u64 run_pages;
	u64 nr_run_allocs;
	u64 nr_run_frees;
	atomic64_t nr_bad_refs;

	struct pym_class classes[PYMALLOC_NR_CLASSES + 1];
};

/*
 * What metadata takes, with what the allocators round up: arenas are a fifth of a
 * slab of order 3 each, a region is a kmalloc() of the next power of two and a
 * page.  Asserted where they are allocated.
 */
#define PYM_ARENA_BYTES		(8 * PYMALLOC_POOL_SIZE / 5)
#define PYM_REGION_BYTES	(1024 + PYMALLOC_POOL_SIZE)
/* The first table: with its head a power of two, as those that replace it. */
#define PYM_TABLE_BYTES		64

/*
 * All memory for a heap is charged to the memory cgroup, may fail, and never invokes
 * the OOM killer.
 */
#define PYM_GFP	(GFP_KERNEL_ACCOUNT | __GFP_NOWARN | __GFP_RETRY_MAYFAIL)

static inline unsigned long pym_page_bytes(unsigned long nr)
{
	return nr << PYM_POOL_SHIFT;
}

#endif /* PYM_TYPES_H */
