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
 *			A task that inspects the heap from outside never takes it:
 *			the scheduler could stop that task in the gate for long, and
 *			the heap's own process would wait for it.
 *			An operation leaves the gate while it takes pages out of page
 *			tables, because fork() already holds their locks when it asks
 *			for the gate: see ops.c.  Meshing holds the mappings first,
 *			as fork() does, and enters the gate then.
 * class->lock		the pools that have this class: their bitmaps,
 *			boundaries, counts and lists.  pool->class goes to and
 *			from this class only under it.
 * heap->lock		arenas: where they are, which pools are free, empty
 *			or busy, all pages; runs; the heap's page counts.
 *
 * The two spinlocks are leaves.  They are held together only to change which pools have
 * one frame (see face.c): class->lock first.  Between being free (under
 * heap->lock) and having a class (under class->lock) a pool is neither, and only the
 * task that brings it there can give it a class or make it free.  While its page may
 * come or go it is busy; if the task leaves the gate meanwhile, it is marked as leaving,
 * too.  An arena may be looked up under RCU alone; it stays as long as one of its pools
 * is not free.  So may a struct pym_pool; it stays as long as the pool has a class, and
 * has none any more when it goes: whoever has looked it up takes the lock of its class,
 * and rechecks the class.
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

/*
 * A pool is a page of 4 KiB.  An arena is 64 pools (256 KiB) and a region is 64 arenas
 * (16 MiB): so a bitmap of either is one machine word, and the pool map of a region, one
 * byte a pool, is exactly one page.
 */
#define PYM_POOL_SHIFT		12
#define PYM_ARENA_SHIFT		18
#define PYM_REGION_ARENAS	64
#define PYM_REGION_SHIFT	24

/*
 * pool->class: beside the size classes 1 to PYMALLOC_NR_CLASSES, and those of types with
 * pools of their own behind them, these.  The two of runs are the largest values of its type,
 * so that ">= PYM_CLASS_RUN" means a page of a run.
 */
#define PYM_CLASS_NONE		0
#define PYM_CLASS_RUN		254	/* the first page of a large object */
#define PYM_CLASS_TAIL		255	/* its other pages */

static_assert(PYMALLOC_NR_CLASSES + PYMALLOC_TYPES_MAX < PYM_CLASS_RUN);

/*
 * Used pools are in lists by fullness, a list for each quarter.  The fullest serve first,
 * so that sparse pools become empty.  A full pool is in no list.  More lists would
 * sort more finely, and pools would change lists more often.
 */
#define PYM_GROUPS		4
#define PYM_GROUP_FULL		PYM_GROUPS

/*
 * Empty pools that a heap keeps whatever its size while it is in use: 1 MiB.  Threads that
 * hand blocks to each other in turns use and free about as much: with a quarter of it they
 * took 1.8 times the instructions, because pages went and came.  What is not needed
 * for a while goes anyway: see trim.c.
 */
#define PYM_EMPTY_MIN		256

/**
 * struct pym_pool - one page of the window: a pool that has a page
 * @link: in one of the class's lists, or in a list of the task that has just freed
 *	its last block
 * @rcu: frees its sheet, when no task that has looked it up still reads it
 * @page: its memory; NULL if the heap is dead
 * @number: its place in the window, counted in pools
 * @place: its place among the records that have been allocated together: see record.c
 * @nr_alloc: blocks allocated
 * @boundary: so many blocks have been handed out: see pym_block_turn()
 * @run_pages: the number of pages of a run; only in the run's first pool
 * @class: its size class, or PYM_CLASS_*
 * @group: which of the class's lists it is in
 * @order: the bitmap has 2 to the power of @order words
 * @role: PYM_POOL_*
 * @error: its page has a memory error: it is withheld, see pym_pool_is_withheld()
 * @nr_frame: blocks allocated in all faces of its frame.  Only in the primary face of a
 *	frame that has several, or that is held for meshing
 * @tenancy: what the heap's tenant notes of it; see whole.c
 * @next_face: the next face of its frame, in a ring, by its place in the window; 0 if it
 *	is the frame's only one
 * @free: a bit for each block: allocated (0) or not (1).  All others are 1, too
 *
 * It exists as long as the pool has a page, or the heap is dead: see record.c.
 */
struct pym_pool {
	union {
		struct list_head link;
		struct rcu_head rcu;
	};
	struct page *page;
	u32 number : 28;
	u32 place : 4;
	u16 nr_alloc;
	union {
		u16 boundary;
		u16 run_pages;
	};
	u8 class;
	u8 group : 3;
	u8 order : 2;
	u8 role : 2;
	u8 error : 1;
	union {
		u16 nr_frame;
		u16 tenancy;
	};
	u32 next_face;
	unsigned long free[];
};

/* pool->role */
#define PYM_POOL_PLAIN		0
#define PYM_POOL_HELD		1	/* its page is being meshed */
#define PYM_POOL_FACE		2	/* its frame belongs to another pool: see face.c */
#define PYM_POOL_PINNED		3	/* its page never changes: for pinned blocks */

/**
 * struct pym_arena - 64 pools
 * @number: its place in the window
 * @mesh_pass: in which pass of meshing it was last taken out of the mappings as a whole
 * @runs: it holds runs, not pools of blocks
 * @bucket: which of the heap's lists it is in; 0 is none
 * @type: the number of the type for whose pools alone it is; 0 if it is for all
 * @map: its part of the pool map
 * @free: pools without a class that may be taken
 * @empty: those of @free that have kept their page: empty pools
 * @busy: pools that a task moves from or to @free: see the top of this file
 * @leaving: those of @busy whose task has left the gate
 * @apart: pools whose page the heap pays for apart from its family
 * @link: in heap->usable or heap->usable_runs
 * @rcu: frees its memory when no task that has looked it up still reads it
 * @empty_link: in heap->empty
 * @pools: the pools; NULL for those that have no page.  They change with the pool busy,
 *	and become NULL or another one only under @heap->lock
 */
struct pym_arena {
	u32 number;
	u32 mesh_pass;
	bool runs;
	u8 bucket;
	u8 type;
	u8 *map;
	u64 free;
	u64 empty;
	u64 busy;
	u64 leaving;
	u64 apart;
	union {
		struct list_head link;
		struct rcu_head rcu;
	};
	struct list_head empty_link;
	struct pym_pool __rcu *pools[PYMALLOC_ARENA_POOLS];
};

/**
 * struct pym_span - pools of one arena
 * @arena: the arena.  A function that returns a span sets it to NULL or to an error
 *	pointer if there are no pools
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
 * @fresh: some process may still have zeroes mapped where its part of the pool map is
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
 * @rcu: frees its memory when no task that looks a region up still reads it
 * @nr: entries; no region lies beyond
 * @regions: the regions; NULL behind the last one
 *
 * Its size follows the regions that have been made, not the size of the window.
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
 * @order: 2 to the power of @order words are enough for a bitmap of @capacity bits
 * @seed: a random number, from which the first block of each pool follows
 * @spread: what the number of a pool is multiplied by for that; 0 if each pool begins
 *	at its start
 * @group_scale: 65536 * PYM_GROUPS / capacity, rounded up: the fullness of a pool needs
 *	a multiplication and a shift by 16, no division
 * @partial: used pools by fullness
 * @pinned: used pools of pinned blocks
 * @spent: faces without blocks that are not the primary one of their frame
 * @nr_spent: their number
 * @pools_used: their number
 * @pools_full: number of full pools
 * @faces: pools that have no frame of their own, those of @spent included
 * @nr_meshed: frames given back by meshing so far
 * @blocks: blocks allocated
 * @untouched: blocks that are untouched
 * @nr_allocs: allocations so far
 * @nr_frees: frees so far
 */
struct pym_class {
	/* Protects all that follows, and the pools of this class. */
	spinlock_t lock;
	u16 size;
	u8 order;
	u32 inverse;
	u32 capacity;
	u32 seed;
	u32 spread;
	u32 group_scale;
	u32 nr_spent;
	struct list_head partial[PYM_GROUPS];
	struct list_head pinned;
	struct list_head spent;
	u64 pools_used;
	u64 pools_full;
	u64 faces;
	u64 nr_meshed;
	u64 blocks;
	u64 untouched;
	u64 nr_allocs;
	u64 nr_frees;
} ____cacheline_aligned_in_smp;

/**
 * struct pym_quota - how many bytes are charged, and how many may be
 * @used: bytes charged: of pages and of metadata
 * @meta: those of @used that are metadata
 * @max: the limit in bytes, read at every charge; 0 is no limit
 * @relieve: the limit has been met, and so many bytes are missing: give something back
 *	that is charged here.  Called with gates of heaps held for reading, and maybe in a
 *	task that reclaims memory: it may wait for nothing.  Returns whether to try again.
 *	May be NULL
 */
struct pym_quota {
	atomic_long_t used;
	atomic_long_t meta;
	const unsigned long *max;
	bool (*relieve)(struct pym_quota *quota, unsigned long missing);
};

struct pym_heap;
struct pym_typetable;

/**
 * struct pym_mappings - the mappings of a heap while they cannot change
 * @space: the address space; NULL if nobody maps the heap (any more)
 * @only: the only mapping that can show the page in question, if the holder knows that;
 *	NULL if all mappings have to be searched
 * @nowait: the holder may not wait for anything, as it gives memory back for another task,
 *	which may hold any lock
 * @try_gate: the holder has other heaps to look after, and may not wait for this one's gate
 *
 * The core only passes it on, and looks at @try_gate.
 */
struct pym_mappings {
	void *space;
	void *only;
	bool nowait;
	bool try_gate;
};

/**
 * struct pym_heap_ops - what the core needs from the code that maps the heap's window
 * @hold: keep the heap's mappings as they are.  Sleeps; not under the gate.
 *	Returns 0, or -EINTR if the caller is not the heap's process and is
 *	being killed, or -EAGAIN if the caller is a kernel thread, which does not
 *	wait, and would have to
 * @release: the reverse
 * @zap: take @nr pages, which have been in the window from @offset on, out of the
 *	mappings, which are held.  When it returns, no process maps one of them there,
 *	and no fault that has found one before can still map it.  @pages is NULL if
 *	the caller has locked them, so that no fault maps them.  May sleep
 * @wanted: does anybody wait for the mappings, which are held?  May be NULL
 * @mesh_begin: from now on pages may be shown at more than one place of the window.  May
 *	be called again.  Holds nothing; sleeps.  Returns 0, or an error as @hold.  May
 *	be NULL
 * @map_grown: page @number of the pool map now exists; processes may have zeroes
 *	mapped in its place.  When it returns, no process maps these any more, and no
 *	fault can still map them.  The mappings are held.  May sleep
 * @threshold_passed: the heap's pages have passed its threshold.  May not sleep
 * @reclaim: the heap has met a limit: give back what can be given back.  Not under the
 *	gate.  Sleeps.  Returns whether to try again.  May be NULL
 * @pause: called between two pieces of a long inspection of the heap: returns 0, or a
 *	negative error if the inspection must end.  May be NULL
 * @page_goes: a page is about to leave the heap, and nobody maps it any more.  Does not sleep.
 *	May be NULL
 */
struct pym_heap_ops {
	int (*hold)(struct pym_heap *heap, struct pym_mappings *mappings);
	void (*release)(struct pym_heap *heap, struct pym_mappings *mappings);
	void (*zap)(struct pym_heap *heap, const struct pym_mappings *held, u64 offset,
		    struct page **pages, unsigned int nr);
	bool (*wanted)(struct pym_heap *heap, const struct pym_mappings *held);
	int (*mesh_begin)(struct pym_heap *heap);
	void (*map_grown)(struct pym_heap *heap, const struct pym_mappings *mappings,
			  unsigned long number);
	void (*threshold_passed)(struct pym_heap *heap);
	bool (*reclaim)(struct pym_heap *heap);
	int (*pause)(struct pym_heap *heap);
	void (*page_goes)(struct page *page);
};

/**
 * struct pym_tenant_ops - who takes a heap's pools whole, and looks after their blocks
 * @begin: the heap is whole, but nobody knows it yet.  Waits for nothing
 * @count: how many blocks of a class have been allocated and freed so far.  Does not sleep
 * @flush: give back pools that have no block, also those that are kept at hand.  Holds the
 *	gate for reading.  Sleeps
 * @page_goes: a page that was a whole pool's is about to leave the heap.  Does not sleep
 * @end: the heap has ended: free what the tenant has for it.  Waits for nothing
 *
 * See whole.c.
 */
struct pym_tenant_ops {
	void (*begin)(struct pym_heap *heap);
	void (*count)(struct pym_heap *heap, u32 number, u64 *allocs, u64 *frees);
	void (*flush)(struct pym_heap *heap);
	void (*page_goes)(struct page *page);
	void (*end)(struct pym_heap *heap);
};

/**
 * struct pym_heap - a set of arenas with one limit and one set of figures
 * @id: its number
 * @alignment: 8 or 16: the distance of its size classes
 * @window: bytes of the window
 * @extent: those of them, from the start on, in which arenas may lie so far.  Only
 *	grows, with the gate held for reading and under @lock
 * @limit: most bytes of pages and metadata; 0 is no limit
 * @base_bytes: bytes of metadata that the maker of the heap has allocated for it, and
 *	that count against its limit: the struct around this one, for example
 * @threshold: @ops->threshold_passed is called when the pages reach this; 0 is never
 * @ops: see struct pym_heap_ops; NULL for a heap that nobody maps
 * @tenant: see struct pym_tenant_ops; NULL for a heap whose blocks the core looks after
 * @tenancy: what the tenant has for the heap
 * @gate: see the top of this file
 * @quota: its own pages and metadata
 * @purse: the quota that pays, once, for the pages that the heap and its family have
 *	together; may be NULL.  It changes, as @user and @pays_apart do, with the gate
 *	held for writing and under @lock
 * @user: the quota that pays for all of its metadata, and for each page that it gets
 *	from now on
 * @cloning: fork() is making it, which no limit makes fail
 * @dead: its pages have gone for good, and nothing changes any more: its records say what
 *	was in them
 * @sealed: nothing is allocated or freed any more, and nobody may write to its pages.  Set for
 *	good, with the gate and the mappings held for writing
 * @no_mesh: its pools never share a frame, and hand out their blocks from the first one on
 * @meshing: a task is meshing it
 * @mesh_pass: how many times that has been begun, modulo 2^32
 * @pays_apart: @user is not @purse: the pages that @user pays for are marked in @apart
 *	of their arenas
 * @lock: see the top of this file
 * @table: the regions that are there
 * @made_regions: how many regions there are; they have the numbers from 0 on
 * @top: all numbers that arenas have ever had are below this
 * @usable_regions: regions that have a free arena number
 * @usable: arenas of pools that have a free one
 * @usable_runs: arenas of runs that have a free page
 * @empty: arenas with empty pools
 * @nr_empty: number of those pools
 * @least_empty: the least that @nr_empty has been since pym_trim_idle() last looked
 * @nr_arenas: arenas of pools
 * @nr_run_arenas: arenas of runs
 * @pages: pages in the window
 * @pages_peak: the most that @pages has been
 * @pages_in: pages taken from the system so far
 * @pages_out: pages given back so far
 * @pages_out_used: those of @pages_out that somebody else still had: this freed no memory
 * @maybe_shared: those of @pages that may be shared: see frame.c
 * @pages_apart: those of @pages that are paid for apart
 * @nr_own: pages that may have been shared and have become the heap's alone so far
 * @runs: large objects
 * @run_pages: their pages
 * @nr_run_allocs: large objects allocated so far
 * @nr_run_frees: large objects freed so far
 * @nr_bad_refs: refs refused so far
 * @types: its types; NULL if it has never had one
 * @nr_types: how often a type has been made or dropped
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
	const struct pym_tenant_ops *tenant;
	void *tenancy;
	struct rw_semaphore gate;
	struct pym_quota quota;
	struct pym_quota *purse;
	struct pym_quota *user;
	bool pays_apart;
	bool cloning;
	bool dead;
	bool sealed;
	bool no_mesh;
	u8 meshing;
	u32 mesh_pass;

	/* Protects what follows up to the counts of objects, and the arenas. */
	spinlock_t lock;
	struct pym_table __rcu *table;
	unsigned long made_regions;
	u32 top;
	struct pym_buckets usable_regions;
	struct pym_buckets usable;
	struct pym_buckets usable_runs;
	struct list_head empty;
	u64 nr_empty;
	u64 least_empty;
	u64 nr_arenas;
	u64 nr_run_arenas;
	u64 pages;
	u64 pages_peak;
	u64 pages_in;
	u64 pages_out;
	u64 pages_out_used;
	u64 maybe_shared;
	u64 pages_apart;
	u64 nr_own;
	u64 runs;
	u64 run_pages;
	u64 nr_run_allocs;
	u64 nr_run_frees;
	atomic64_t nr_bad_refs;
	struct pym_typetable *types;
	u64 nr_types;

	struct pym_class classes[PYMALLOC_NR_CLASSES + 1];
};

/*
 * What metadata takes, with what the kernel's allocators round up: 13 arenas fit into a
 * slab of order 1 (2 pages); a region is a kmalloc() of 1024 bytes (the next power of
 * two) and a page of the pool map.  static_assert() checks both where they are allocated.
 * struct pym_pool: see record.h.
 */
#define PYM_ARENA_BYTES		(2 * PYMALLOC_POOL_SIZE / 13)
#define PYM_REGION_BYTES	(1024 + PYMALLOC_POOL_SIZE)
/*
 * The first table: head and 5 entries, enough for 80 MiB.  A power of two, as all that
 * replace it, because kmalloc() would round anything else up.
 */
#define PYM_TABLE_BYTES		64

/*
 * All memory for a heap is charged to the memory cgroup, may fail, and never invokes
 * the OOM killer.
 */
#define PYM_GFP	(GFP_KERNEL_ACCOUNT | __GFP_NOWARN | __GFP_RETRY_MAYFAIL)

/* Is this the class of a pool of blocks, and neither none nor that of a run's page? */
static inline bool pym_class_is_of_blocks(u8 class)
{
	return class && class < PYM_CLASS_RUN;
}

static inline unsigned long pym_page_bytes(unsigned long nr)
{
	return nr << PYM_POOL_SHIFT;
}

#endif /* PYM_TYPES_H */
