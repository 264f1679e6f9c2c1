/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The core of the allocator: arenas, pools, blocks and heaps.
 *
 * It knows no files, no user memory and no mm.  The same sources build in
 * user space, where models and fuzzers drive them.
 *
 * Locks
 * -----
 * heap->gate		read side around every operation, write side around
 *			what needs the whole heap at rest (the checker, fork()).
 *			Sleeps.  Who only looks at the heap never takes it: a
 *			looker that is kept from running would keep the heap.
 *			An operation leaves it while it takes pages out of page
 *			tables, because fork() comes with those locked.
 * heap->map_gate	read side around the mapping of zeroes where the pool map has
 *			no page, write side when it has got one, to wait for those.
 *			Sleeps, within the gate.
 * class->lock		the pools that have this class: their bitmaps,
 *			boundaries, counts and lists; pool->class goes to and
 *			from this class only under it.
 * heap->lock		arenas: where they are, which pools are free, cached
 *			or busy, all pages; runs; the heap's page counts.
 *
 * The two spinlocks are leaves and are never held together.  A pool that is on
 * its way between them is not free and has no class, so that only who holds it
 * can reach it: it is busy, and while the gate is left it is leaving, too.  An
 * arena may be looked up under RCU alone; it stays while one of its pools is not
 * free.
 */
#ifndef PYM_CORE_H
#define PYM_CORE_H

#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/rcupdate.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include <linux/pymalloc.h>

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

/* Empty pools that a heap keeps before it looks at its size. */
#define PYM_STOCK_MIN		64

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
 * @raw: it holds runs, not pools of blocks
 * @bucket: which of the heap's lists it is in; 0 is none
 * @map: its part of the pool map
 * @free: pools without a class that may be taken
 * @cached: those of @free that have kept their page
 * @busy: pools on their way from or to @free
 * @leaving: those of @busy whose page is being taken out of page tables
 * @apart: pools whose page the heap pays for apart from its family
 * @link: in heap->usable or heap->usable_raw
 * @cached_link: in heap->cached
 * @rcu: its memory outlives those who looked it up
 * @pools: the pools
 */
struct pym_arena {
	u32 number;
	bool raw;
	u8 bucket;
	u8 *map;
	u64 free;
	u64 cached;
	u64 busy;
	u64 leaving;
	u64 apart;
	struct list_head link;
	struct list_head cached_link;
	struct rcu_head rcu;
	struct pym_pool pools[PYMALLOC_ARENA_POOLS];
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

/**
 * struct pym_rooms - arenas or regions that have room, by how much
 * @list: index 1 to 64: free pools, or the longest run of free pages, or of
 *	free arena numbers
 * @mask: bit n - 1: list[n] is not empty
 */
struct pym_rooms {
	struct list_head list[64 + 1];
	u64 mask;
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
 * struct pym_heap_ops - what the core asks of whoever shows the heap
 * @hold: keep the heap's mappings as they are.  Sleeps; not under the gate.
 *	Returns 0, or -EINTR if the caller is not the heap's process and is
 *	being killed
 * @release: the reverse
 * @zap: take @bytes of the window from @offset on out of the mappings, which are
 *	held; no fault finds the pages that were there any more.  May sleep
 * @grown: the heap's pages have passed its threshold.  May not sleep
 * @pause: between two pieces of a look at the heap: returns 0, or a negative error
 *	if the look is to end.  May be NULL
 */
struct pym_heap_ops {
	int (*hold)(struct pym_heap *heap, struct pym_view *view);
	void (*release)(struct pym_heap *heap, struct pym_view *view);
	void (*zap)(struct pym_heap *heap, const struct pym_view *view, u64 offset,
		    u64 bytes);
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
 * @cache_threads: threads of the process that keep blocks at hand, as it says
 * @cache_bytes_max: most bytes of blocks that each of them keeps
 * @ops: see there
 * @gate: see the top of this file
 * @map_gate: there too
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
 * @usable_raw: arenas of runs that have a free page
 * @cached: arenas with empty pools that have kept their page
 * @nr_cached: number of those pools
 * @nr_arenas: arenas of pools
 * @nr_raw_arenas: arenas of runs
 * @pages: pages in the window
 * @pages_peak: the most that @pages has been
 * @pages_in: pages taken from the system so far
 * @pages_out: pages given back so far
 * @joint: those of @pages that are joint: see frame.h
 * @pages_apart: those of @pages that are paid for apart
 * @nr_own: joint pages that have become the heap's alone so far
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
	u64 cache_threads;
	u64 cache_bytes_max;
	const struct pym_heap_ops *ops;
	struct rw_semaphore gate;
	struct rw_semaphore map_gate;
	struct pym_quota quota;
	struct pym_quota *purse;
	struct pym_quota *user;
	bool pays_apart;
	bool cloning;

	/* Protects what follows up to the counts of objects, and the arenas. */
	spinlock_t lock;
	struct pym_table __rcu *table;
	unsigned long made_regions;
	struct pym_rooms usable_regions;
	struct pym_rooms usable;
	struct pym_rooms usable_raw;
	struct list_head cached;
	u64 nr_cached;
	u64 nr_arenas;
	u64 nr_raw_arenas;
	u64 pages;
	u64 pages_peak;
	u64 pages_in;
	u64 pages_out;
	u64 joint;
	u64 pages_apart;
	u64 nr_own;
	u64 runs;
	u64 run_pages;
	u64 nr_run_allocs;
	u64 nr_run_frees;
	atomic64_t nr_bad_refs;

	struct pym_class classes[PYMALLOC_NR_CLASSES + 1];
};

/**
 * struct pym_verdict - what the checker found
 * @errors: contradictions; 0 is a sound heap
 * @offset: where in the window the first one is, if it has a place
 * @message: the first one in words
 */
struct pym_verdict {
	u64 errors;
	u64 offset;
	char message[80];
};

/**
 * struct pym_batch - refs that are being freed
 * @refs: the refs
 * @status: an enum pymalloc_ref_status for each that has been dealt with
 * @nr: how many there are
 * @until_bad: the first bad one is the last that is dealt with
 * @done: how many have been dealt with
 * @bad: how many of those were bad
 * @empty: pools that have lost their last block, and their class
 */
struct pym_batch {
	const u64 *refs;
	u8 *status;
	unsigned int nr;
	bool until_bad;
	unsigned int done;
	unsigned int bad;
	struct list_head empty;
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

/* All memory for a heap is charged, may fail, and kills nobody to succeed. */
#define PYM_GFP	(GFP_KERNEL_ACCOUNT | __GFP_NOWARN | __GFP_RETRY_MAYFAIL)

/* arena.c */
int pym_arena_cache_init(void);
void pym_arena_cache_exit(void);
int pym_arenas_init(struct pym_heap *heap);
void pym_arenas_destroy(struct pym_heap *heap);
int pym_arenas_clone(struct pym_heap *heap, struct pym_heap *child);
struct pym_arena *pym_arena_next(struct pym_heap *heap, u64 *offset, u64 end);
unsigned int pym_arena_room(const struct pym_arena *arena);
struct pym_arena *pym_arena_create(struct pym_heap *heap, bool raw, unsigned int nr);
void pym_arena_free(struct pym_heap *heap, struct pym_arena *arena, u64 bits);
void pym_arena_free_locked(struct pym_heap *heap, struct pym_arena *arena, u64 bits);
struct pym_arena *pym_pools_reserve(struct pym_heap *heap, unsigned int want,
				    unsigned int ahead, u64 *bits);
struct pym_arena *pym_run_reserve(struct pym_heap *heap, unsigned int nr,
				  unsigned int *first);
struct pym_arena *pym_cached_reserve(struct pym_heap *heap, u64 *bits);
unsigned int pym_longest_run(u64 bits);
u64 pym_lowest_bits(u64 bits, unsigned int nr);
void pym_regions_extend_locked(struct pym_heap *heap, u64 extent);

/* region.c */
int pym_regions_init(struct pym_heap *heap);
void pym_regions_destroy(struct pym_heap *heap);
struct pym_region *pym_region_new(struct pym_heap *heap, unsigned long number);
u64 pym_region_outside(const struct pym_heap *heap, const struct pym_region *region);
struct page *pym_pool_map_page(struct pym_heap *heap, unsigned long number);

static inline unsigned long pym_page_bytes(unsigned long nr)
{
	return nr << PYM_POOL_SHIFT;
}

/* Pages that a quota has been charged. */
static inline unsigned long pym_quota_pages(const struct pym_quota *quota)
{
	return (atomic_long_read(&quota->used) - atomic_long_read(&quota->meta)) >> PYM_POOL_SHIFT;
}

/* A mask of @nr bits from @first on. */
static inline u64 pym_bits(unsigned int first, unsigned int nr)
{
	return GENMASK_ULL(first + nr - 1, first);
}

/* The arena of a pool. */
static inline struct pym_arena *pym_arena_of(const struct pym_pool *pool)
{
	return container_of(pool - pool->index, struct pym_arena, pools[0]);
}

/* A pool's byte in the pool map. */
static inline u8 *pym_pool_map(const struct pym_pool *pool)
{
	return pym_arena_of(pool)->map + pool->index;
}

/* Where a pool is in the window. */
static inline u64 pym_pool_offset(const struct pym_pool *pool)
{
	return ((u64)pym_arena_of(pool)->number << PYM_ARENA_SHIFT) |
	       (pool->index << PYM_POOL_SHIFT);
}

/**
 * pym_region_find() - look a region up
 * @heap: the heap
 * @number: any number
 *
 * Context: Holds @heap->lock, or is under RCU.
 * Return: the region, which stays as long as the heap; NULL if it is not there.
 */
static inline struct pym_region *pym_region_find(struct pym_heap *heap, unsigned long number)
{
	const struct pym_table *table = rcu_dereference_check(heap->table,
							      lockdep_is_held(&heap->lock));

	if (number >= table->nr)
		return NULL;
	/* Pairs with the release in region_insert(). */
	return smp_load_acquire(&table->regions[number]);
}

/* Bytes of a table, a power of two. */
static inline size_t pym_table_bytes(const struct pym_table *table)
{
	return sizeof(*table) + table->nr * sizeof(*table->regions);
}

/* The same for who holds nothing. */
static inline struct pym_region *pym_region_get(struct pym_heap *heap, unsigned long number)
{
	struct pym_region *region;

	rcu_read_lock();
	region = pym_region_find(heap, number);
	rcu_read_unlock();
	return region;
}

/* Bytes of the window, from its start on, that arenas can lie in so far. */
static inline u64 pym_made_bytes(const struct pym_heap *heap)
{
	return (u64)READ_ONCE(heap->made_regions) << PYM_REGION_SHIFT;
}

/**
 * pym_arena_find() - look an arena up
 * @heap: the heap
 * @ref: any offset in the window, or beyond
 *
 * Context: Holds @heap->lock, or is under RCU: then the arena may be on its
 *	way out.
 * Return: the arena, or NULL.
 */
static inline struct pym_arena *pym_arena_find(struct pym_heap *heap, u64 ref)
{
	struct pym_region *region = pym_region_find(heap, ref >> PYM_REGION_SHIFT);

	if (!region)
		return NULL;
	return rcu_dereference_check(region->arenas[(ref >> PYM_ARENA_SHIFT) %
						    PYM_REGION_ARENAS],
				     lockdep_is_held(&heap->lock));
}

/* The pool of an arena that an offset lies in. */
static inline struct pym_pool *pym_pool_at(struct pym_arena *arena, u64 ref)
{
	return &arena->pools[(ref >> PYM_POOL_SHIFT) % PYMALLOC_ARENA_POOLS];
}

/* The pool that an offset lies in, as pym_arena_find() finds its arena. */
static inline struct pym_pool *pym_pool_find(struct pym_heap *heap, u64 ref)
{
	struct pym_arena *arena = pym_arena_find(heap, ref);

	return arena ? pym_pool_at(arena, ref) : NULL;
}

/* page.c */
u64 pym_pages_fill(struct pym_heap *heap, struct pym_arena *arena, u64 bits, int *err);
int pym_pages_drop(struct pym_heap *heap, struct pym_arena *arena, u64 bits);
unsigned int pym_pages_get(struct pym_heap *heap, u64 offset, struct page **pages,
			   unsigned int nr);
unsigned int pym_pages_same(struct pym_heap *heap, u64 offset, struct page **pages,
			    unsigned int nr);
struct page *pym_page_get(struct pym_heap *heap, u64 offset);
struct page *pym_page_at_locked(struct pym_arena *arena, unsigned int index);
void pym_pages_count_in(struct pym_heap *heap, unsigned int nr);
void pym_pages_zap(struct pym_heap *heap, u64 offset, u64 bytes);
int pym_pages_zero(struct pym_heap *heap, u64 offset, u64 bytes);
int pym_pages_copy(struct pym_heap *heap, u64 to, u64 from, u64 bytes);
void pym_pages_destroy(struct pym_heap *heap);

/* frame.c */
unsigned int pym_pages_share(struct pym_heap *heap, struct pym_arena *arena,
			     struct pym_heap *child, struct pym_arena *copy, u64 bits);
int pym_page_own(struct pym_heap *heap, u64 offset, const struct pym_view *view,
		 struct page **fresh);
bool pym_pages_settle(struct pym_heap *heap);
int pym_pages_shared(struct pym_heap *heap, u64 *shared_bytes, u64 *pss_bytes);
void pym_heap_move(struct pym_heap *heap, struct pym_quota *user);

/* quota.c */
int pym_quota_charge(struct pym_quota *quota, unsigned long bytes);
void pym_quota_force(struct pym_quota *quota, unsigned long bytes);
void pym_quota_uncharge(struct pym_quota *quota, unsigned long bytes);
void pym_quota_move_meta(struct pym_quota *from, struct pym_quota *to, unsigned long bytes);
int pym_pages_charge(struct pym_heap *heap, unsigned int nr);
void pym_pages_uncharge(struct pym_heap *heap, unsigned int nr);
int pym_meta_charge(struct pym_heap *heap, unsigned long bytes);
void pym_meta_uncharge(struct pym_heap *heap, unsigned long bytes);

/* pool.c */
void pym_class_init(struct pym_class *class, u32 size);
void pym_class_clone(const struct pym_class *class, struct pym_class *child);
void pym_class_link(struct pym_class *class, struct pym_pool *pool);
void pym_class_add_locked(struct pym_class *class, struct pym_pool *pool, u8 number);
unsigned int pym_class_take_locked(struct pym_class *class, u64 *refs, unsigned int nr);
void pym_class_withhold_locked(struct pym_class *class, struct pym_pool *pool);
u8 pym_pool_group(const struct pym_class *class, const struct pym_pool *pool);
enum pymalloc_ref_status pym_pool_find_block(const struct pym_class *class,
					     const struct pym_pool *pool, u64 ref);
void pym_class_give_locked(struct pym_heap *heap, struct pym_class *class,
			   struct pym_pool *pool, struct pym_batch *batch);

/* run.c */
u64 pym_run_alloc(struct pym_heap *heap, u64 size, int *err);
u64 pym_run_size(struct pym_heap *heap, u64 ref);
enum pymalloc_ref_status pym_run_free(struct pym_heap *heap, u64 ref);
int pym_run_shrink(struct pym_heap *heap, u64 ref, u64 size);

/* trim.c */
u64 pym_trim(struct pym_heap *heap);
u64 pym_trim_gated(struct pym_heap *heap, u64 keep);
void pym_trim_excess(struct pym_heap *heap);

/* object.c */
unsigned int pym_alloc(struct pym_heap *heap, u64 size, bool zero, u64 *refs,
		       unsigned int nr, int *err);
unsigned int pym_free(struct pym_heap *heap, const u64 *refs, u8 *status, unsigned int nr);
unsigned int pym_free_until_bad(struct pym_heap *heap, const u64 *refs, u8 *status,
				unsigned int nr);
void pym_pool_withhold(struct pym_heap *heap, u64 offset);
u64 pym_usable(struct pym_heap *heap, u64 ref);
int pym_resize(struct pym_heap *heap, u64 *ref, u64 size);
struct pym_class *pym_pool_class_lock(struct pym_heap *heap, struct pym_pool *pool)
	__acquires(class_lock);

/* heap.c */
int pym_heap_init(struct pym_heap *heap, u32 alignment, u64 window);
int pym_heap_clone(struct pym_heap *heap, struct pym_heap *child);
int pym_heap_grow(struct pym_heap *heap, u64 extent);
void pym_heap_destroy(struct pym_heap *heap);

/* stats.c */
void pym_class_stats(struct pym_heap *heap, u32 number, struct pymalloc_class_stats *stats);
void pym_heap_stats(struct pym_heap *heap, struct pymalloc_stats *stats);

/* walk.c */
bool pym_walk_arena(struct pym_heap *heap, u64 *at, u64 end,
		    struct pymalloc_arena_info *info);
bool pym_walk_pool(struct pym_heap *heap, u64 *at, u64 end,
		   struct pymalloc_pool_info *info);
unsigned int pym_walk_blocks(struct pym_heap *heap, u64 *at, u64 end,
			     struct pymalloc_block_info *info, unsigned int room);

/* check.c */
int pym_check(struct pym_heap *heap, struct pym_verdict *verdict);
int pym_check_killable(struct pym_heap *heap, struct pym_verdict *verdict);

/* live.c */
int pym_check_live(struct pym_heap *heap, struct pym_verdict *verdict);
int pym_pause(struct pym_heap *heap);

#endif /* PYM_CORE_H */
