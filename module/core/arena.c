// SPDX-License-Identifier: GPL-2.0
/*
 * Arenas: where they are in the window, which of their pools are free, and
 * which arena serves next.
 *
 * A pool is in exactly one of three conditions: free (its bit in @free), on
 * its way (its bit in @busy), or in use (it has a class).  Whoever makes it
 * busy owns it until he gives it a class or frees it.
 */
#include <linux/bitops.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "core.h"
#include "trace.h"

static struct kmem_cache *arena_cache;

/**
 * pym_arena_cache_init() - prepare the memory that arenas are described in
 *
 * Return: 0 or -ENOMEM.
 */
int pym_arena_cache_init(void)
{
	/* 3 % of the arena's pages. */
	static_assert(sizeof(struct pym_arena) <= PYM_ARENA_BYTES);

	arena_cache = kmem_cache_create("pymalloc_arena", sizeof(struct pym_arena),
					0, SLAB_ACCOUNT, NULL);
	return arena_cache ? 0 : -ENOMEM;
}

/**
 * pym_arena_cache_exit() - the reverse of pym_arena_cache_init()
 *
 * Context: No heap exists.  Waits for an RCU grace period.
 */
void pym_arena_cache_exit(void)
{
	rcu_barrier();
	kmem_cache_destroy(arena_cache);
}

static void arena_free_rcu(struct rcu_head *rcu)
{
	kmem_cache_free(arena_cache, container_of(rcu, struct pym_arena, rcu));
}

/**
 * pym_arena_next() - the first arena at or after an offset
 * @heap: the heap
 * @offset: in: from where to look; out: the start of the arena, if that is
 *	later
 * @end: where to stop
 *
 * Context: as pym_arena_find().
 * Return: the arena, or NULL if there is none before @end.
 */
struct pym_arena *pym_arena_next(struct pym_heap *heap, u64 *offset, u64 end)
{
	while (*offset < end) {
		struct pym_arena *arena = pym_arena_find(heap, *offset);
		unsigned int shift = PYM_ARENA_SHIFT;

		if (arena)
			return arena;
		if (!pym_region_find(heap, *offset >> PYM_REGION_SHIFT))
			shift = PYM_REGION_SHIFT;
		*offset = ((*offset >> shift) + 1) << shift;
	}
	return NULL;
}

/* Bit i: @bits i to i + @nr - 1 are all set. */
static u64 run_starts(u64 bits, unsigned int nr)
{
	unsigned int have = 1, step;

	for (; have < nr; have += step) {
		step = min(have, nr - have);
		bits &= bits >> step;
	}
	return bits;
}

/**
 * pym_longest_run() - the length of the longest run of set bits
 * @bits: the bits
 *
 * Return: 0 to 64.
 */
unsigned int pym_longest_run(u64 bits)
{
	unsigned int nr = 0;

	for (; bits; bits &= bits >> 1)
		nr++;
	return nr;
}

/**
 * pym_arena_room() - what an arena can serve
 * @arena: the arena
 *
 * Return: its free pools; for an arena of runs its longest run of free pages.
 */
unsigned int pym_arena_room(const struct pym_arena *arena)
{
	return arena->raw ? pym_longest_run(arena->free) : hweight64(arena->free);
}

/* Move what has @room to the list where it belongs. */
static void rooms_move(struct pym_rooms *rooms, struct list_head *link, u8 *bucket,
		       unsigned int room)
{
	if (room == *bucket)
		return;

	list_del_init(link);
	if (*bucket && list_empty(&rooms->list[*bucket]))
		rooms->mask &= ~BIT_ULL(*bucket - 1);
	if (room) {
		list_add(link, &rooms->list[room]);
		rooms->mask |= BIT_ULL(room - 1);
	}
	*bucket = room;
}

/* The link of what has the least room, but at least @nr, or NULL. */
static struct list_head *rooms_find(const struct pym_rooms *rooms, unsigned int nr)
{
	u64 fits = rooms->mask & GENMASK_ULL(63, nr - 1);

	return fits ? rooms->list[__ffs64(fits) + 1].next : NULL;
}

static void arena_requeue(struct pym_heap *heap, struct pym_arena *arena)
{
	rooms_move(arena->raw ? &heap->usable_raw : &heap->usable, &arena->link,
		   &arena->bucket, pym_arena_room(arena));
}

static void region_requeue(struct pym_heap *heap, struct pym_region *region)
{
	rooms_move(&heap->usable_regions, &region->link, &region->bucket,
		   pym_longest_run(~region->used));
}

static void arena_take_locked(struct pym_heap *heap, struct pym_arena *arena, u64 bits)
{
	heap->nr_cached -= hweight64(arena->cached & bits);
	arena->cached &= ~bits;
	if (!arena->cached)
		list_del_init(&arena->cached_link);
	arena->free &= ~bits;
	arena->busy |= bits;
	arena_requeue(heap, arena);
}

static void arena_remove_locked(struct pym_heap *heap, struct pym_arena *arena)
{
	struct pym_region *region = pym_region_find(heap, arena->number / PYM_REGION_ARENAS);
	unsigned int slot = arena->number % PYM_REGION_ARENAS;

	/* No room, no bucket. */
	arena->free = 0;
	arena_requeue(heap, arena);

	RCU_INIT_POINTER(region->arenas[slot], NULL);
	region->used &= ~BIT_ULL(slot);
	region_requeue(heap, region);
	pym_meta_uncharge(heap, PYM_ARENA_BYTES);
	if (arena->raw)
		heap->nr_raw_arenas--;
	else
		heap->nr_arenas--;
	trace_arena_free(heap->id, (u64)arena->number << PYM_ARENA_SHIFT);
	call_rcu(&arena->rcu, arena_free_rcu);
}

/**
 * pym_arena_free_locked() - busy pools become free
 * @heap: the heap
 * @arena: the arena
 * @bits: the pools; those that have a page keep it for reuse
 *
 * An arena that has nothing left is gone afterwards.
 */
void pym_arena_free_locked(struct pym_heap *heap, struct pym_arena *arena, u64 bits)
{
	u64 rest;

	lockdep_assert_held(&heap->lock);

	for (rest = bits; rest; rest &= rest - 1) {
		struct pym_pool *pool = &arena->pools[__ffs64(rest)];

		WRITE_ONCE(*pym_pool_map(pool), 0);
		if (!pool->page)
			continue;
		if (!arena->cached)
			list_add_tail(&arena->cached_link, &heap->cached);
		arena->cached |= BIT_ULL(pool->index);
		heap->nr_cached++;
	}
	arena->busy &= ~bits;
	arena->free |= bits;
	if (arena->free == ~0ULL && !arena->cached)
		arena_remove_locked(heap, arena);
	else
		arena_requeue(heap, arena);
}

/**
 * pym_arena_free() - pym_arena_free_locked() for who does not hold the lock
 * @heap: the heap
 * @arena: the arena
 * @bits: the pools
 */
void pym_arena_free(struct pym_heap *heap, struct pym_arena *arena, u64 bits)
{
	if (!bits)
		return;
	spin_lock(&heap->lock);
	pym_arena_free_locked(heap, arena, bits);
	spin_unlock(&heap->lock);
}

/* Charge and allocate the memory of an arena, @gfp beside the usual flags. */
static struct pym_arena *arena_alloc(struct pym_heap *heap, gfp_t gfp)
{
	struct pym_arena *arena;
	int err;

	err = pym_meta_charge(heap, PYM_ARENA_BYTES);
	if (err)
		return ERR_PTR(err);
	arena = kmem_cache_alloc(arena_cache, PYM_GFP | gfp);
	if (arena)
		return arena;
	pym_meta_uncharge(heap, PYM_ARENA_BYTES);
	return ERR_PTR(-ENOMEM);
}

static void arena_delete(struct pym_heap *heap, struct pym_arena *arena)
{
	kmem_cache_free(arena_cache, arena);
	pym_meta_uncharge(heap, PYM_ARENA_BYTES);
}

static struct pym_arena *arena_new(struct pym_heap *heap, bool raw)
{
	struct pym_arena *arena = arena_alloc(heap, __GFP_ZERO);
	unsigned int i;

	if (IS_ERR(arena))
		return arena;
	arena->raw = raw;
	arena->busy = ~0ULL;
	INIT_LIST_HEAD(&arena->link);
	INIT_LIST_HEAD(&arena->cached_link);
	for (i = 0; i < PYMALLOC_ARENA_POOLS; i++) {
		arena->pools[i].index = i;
		INIT_LIST_HEAD(&arena->pools[i].link);
	}
	return arena;
}

/* From now on arenas may be made in it. */
static void region_open(struct pym_heap *heap, struct pym_region *region)
{
	spin_lock(&heap->lock);
	region->fresh = false;
	region_requeue(heap, region);
	spin_unlock(&heap->lock);
}

/**
 * pym_regions_extend_locked() - let arenas lie in more of the window
 * @heap: the heap
 * @extent: its new extent, no smaller than the old one
 *
 * Only the last region can have ended at the old one: the next is made when that
 * is beyond it.
 */
void pym_regions_extend_locked(struct pym_heap *heap, u64 extent)
{
	struct pym_region *region = NULL;
	u64 outside = 0;

	lockdep_assert_held(&heap->lock);

	if (heap->made_regions) {
		region = pym_region_find(heap, heap->made_regions - 1);
		outside = pym_region_outside(heap, region);
	}
	heap->extent = extent;
	if (!region)
		return;
	region->used &= ~outside | pym_region_outside(heap, region);
	if (!region->fresh)
		region_requeue(heap, region);
}

/* Make the region that comes next, unless somebody else does. */
static int region_create(struct pym_heap *heap, unsigned long number)
{
	struct pym_region *region = pym_region_new(heap, number);

	if (IS_ERR_OR_NULL(region))
		return PTR_ERR(region);
	/* Nobody may see zeroes any more when arenas come: neither shown later... */
	down_write(&heap->map_gate);
	up_write(&heap->map_gate);
	/* ...nor before. */
	pym_pages_zap(heap, PYMALLOC_POOL_MAP_OFFSET + ((u64)number << PYM_POOL_SHIFT),
		      PYMALLOC_POOL_SIZE);
	region_open(heap, region);
	return 0;
}

/*
 * Find @nr arena numbers in a row, all in one region.  Returns the first of
 * them, or 0 if another region has to be made first.
 */
static u32 find_numbers_locked(struct pym_heap *heap, unsigned int nr)
{
	struct list_head *link = rooms_find(&heap->usable_regions, nr);
	struct pym_region *region;

	if (!link)
		return 0;
	region = list_entry(link, struct pym_region, link);
	return region->number * PYM_REGION_ARENAS + __ffs64(run_starts(~region->used, nr));
}

static void arena_insert_locked(struct pym_heap *heap, struct pym_arena *arena, u32 number)
{
	struct pym_region *region = pym_region_find(heap, number / PYM_REGION_ARENAS);
	unsigned int slot = number % PYM_REGION_ARENAS;

	arena->number = number;
	arena->map = (u8 *)page_address(region->map) + slot * PYMALLOC_ARENA_POOLS;
	region->used |= BIT_ULL(slot);
	region_requeue(heap, region);
	if (arena->raw)
		heap->nr_raw_arenas++;
	else
		heap->nr_arenas++;
	trace_arena_new(heap->id, (u64)number << PYM_ARENA_SHIFT, arena->raw);
	rcu_assign_pointer(region->arenas[slot], arena);
}

/* Have @nr arena numbers in a row.  They may be somebody else's at once. */
static int numbers_reserve(struct pym_heap *heap, unsigned int nr)
{
	unsigned long made;
	bool found;
	u64 extent;
	int err;

	for (;;) {
		spin_lock(&heap->lock);
		found = find_numbers_locked(heap, nr);
		made = heap->made_regions;
		extent = heap->extent;
		spin_unlock(&heap->lock);
		if (found)
			return 0;
		if ((u64)made << PYM_REGION_SHIFT >= extent)
			return extent < heap->window ? -ENOSPC : -ENOMEM;
		err = region_create(heap, made);
		if (err)
			return err;
	}
}

/* Put new arenas into their place.  Returns false if there is none any more. */
static bool arenas_insert(struct pym_heap *heap, struct list_head *fresh, unsigned int nr)
{
	struct pym_arena *arena, *next;
	u32 number;

	spin_lock(&heap->lock);
	number = find_numbers_locked(heap, nr);
	if (number) {
		u32 at = number;

		list_for_each_entry_safe(arena, next, fresh, link) {
			list_del_init(&arena->link);
			arena_insert_locked(heap, arena, at++);
		}
	}
	spin_unlock(&heap->lock);
	return number;
}

/* As pym_arena_create(); NULL if somebody else has taken the numbers. */
static struct pym_arena *arenas_make(struct pym_heap *heap, bool raw, unsigned int nr)
{
	struct pym_arena *arena, *next, *first = NULL;
	LIST_HEAD(fresh);
	unsigned int i;

	for (i = 0; i < nr; i++) {
		arena = arena_new(heap, raw);
		if (IS_ERR(arena)) {
			first = arena;
			goto free;
		}
		list_add_tail(&arena->link, &fresh);
	}
	first = list_first_entry(&fresh, struct pym_arena, link);
	if (arenas_insert(heap, &fresh, nr))
		return first;
	first = NULL;
free:
	list_for_each_entry_safe(arena, next, &fresh, link)
		arena_delete(heap, arena);
	return first;
}

/**
 * pym_arena_create() - make arenas next to each other
 * @heap: the heap
 * @raw: for runs
 * @nr: how many, at most 64
 *
 * All their pools are busy and belong to the caller.
 *
 * Context: Sleeps.  Holds @heap->gate for reading, and may leave it for a while.
 * Return: the first arena; the others follow it in the window.  -ENOMEM when
 *	memory, the heap's limit or the window is used up, -ENOSPC when the heap's
 *	extent is, -EDQUOT when the user's limit is.
 */
struct pym_arena *pym_arena_create(struct pym_heap *heap, bool raw, unsigned int nr)
{
	struct pym_arena *first;
	int err;

	do {
		/* Regions first: what is charged must be in its place before the gate is left. */
		err = numbers_reserve(heap, nr);
		if (err)
			return ERR_PTR(err);
		first = arenas_make(heap, raw, nr);
	} while (!first);
	return first;
}

/**
 * pym_lowest_bits() - the lowest bits that are set
 * @bits: the bits
 * @nr: how many of them
 *
 * Return: those; all if there are fewer.
 */
u64 pym_lowest_bits(u64 bits, unsigned int nr)
{
	u64 rest = bits;

	while (rest && nr--)
		rest &= rest - 1;
	return bits & ~rest;
}

/**
 * pym_pools_reserve() - take free pools, all from one arena
 * @heap: the heap
 * @want: how many, at least 1; what is returned may be fewer
 * @ahead: how many more if pages have to be taken from the system anyway
 * @bits: out: the pools, now busy
 *
 * They come from the fullest arena that has any (CPython's rule, so that
 * sparse arenas drain), those that have kept their page first.
 *
 * Context: Sleeps.
 * Return: the arena, or an error as of pym_arena_create().
 */
struct pym_arena *pym_pools_reserve(struct pym_heap *heap, unsigned int want,
				    unsigned int ahead, u64 *bits)
{
	struct pym_arena *arena;
	struct list_head *link;

	want = min(want, PYMALLOC_ARENA_POOLS);

	spin_lock(&heap->lock);
	link = rooms_find(&heap->usable, 1);
	if (link) {
		arena = list_entry(link, struct pym_arena, link);
		*bits = pym_lowest_bits(arena->cached, want);
		if (hweight64(*bits) < want)
			*bits |= pym_lowest_bits(arena->free & ~arena->cached,
					     want + ahead - hweight64(*bits));
		arena_take_locked(heap, arena, *bits);
		spin_unlock(&heap->lock);
		return arena;
	}
	spin_unlock(&heap->lock);

	arena = pym_arena_create(heap, false, 1);
	if (IS_ERR(arena))
		return arena;
	*bits = pym_lowest_bits(~0ULL, want + ahead);
	pym_arena_free(heap, arena, ~*bits);
	return arena;
}

/**
 * pym_run_reserve() - take a run of at most 64 free pages
 * @heap: the heap
 * @nr: how many pages
 * @first: out: the first page's place in the arena; all are now busy
 *
 * Context: Sleeps.
 * Return: the arena, or an error as of pym_arena_create().
 */
struct pym_arena *pym_run_reserve(struct pym_heap *heap, unsigned int nr,
				  unsigned int *first)
{
	struct pym_arena *arena;
	struct list_head *link;

	spin_lock(&heap->lock);
	link = rooms_find(&heap->usable_raw, nr);
	if (link) {
		arena = list_entry(link, struct pym_arena, link);
		*first = __ffs64(run_starts(arena->free, nr));
		arena_take_locked(heap, arena, pym_bits(*first, nr));
		spin_unlock(&heap->lock);
		return arena;
	}
	spin_unlock(&heap->lock);

	arena = pym_arena_create(heap, true, 1);
	if (IS_ERR(arena))
		return arena;
	*first = 0;
	pym_arena_free(heap, arena, ~pym_bits(0, nr));
	return arena;
}

/**
 * pym_cached_reserve() - take the empty pools of the arena that had one first
 * @heap: the heap
 * @bits: out: the pools, now busy, with their pages
 *
 * Return: the arena, or NULL if no empty pool has kept its page.
 */
struct pym_arena *pym_cached_reserve(struct pym_heap *heap, u64 *bits)
{
	struct pym_arena *arena;

	spin_lock(&heap->lock);
	arena = list_first_entry_or_null(&heap->cached, struct pym_arena, cached_link);
	if (arena) {
		*bits = arena->cached;
		arena_take_locked(heap, arena, *bits);
	}
	spin_unlock(&heap->lock);
	return arena;
}

/**
 * pym_arenas_init() - a heap without arenas
 * @heap: the heap, its window set
 *
 * Return: 0 or an error as of pym_meta_charge().
 */
int pym_arenas_init(struct pym_heap *heap)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(heap->usable.list); i++) {
		INIT_LIST_HEAD(&heap->usable_regions.list[i]);
		INIT_LIST_HEAD(&heap->usable.list[i]);
		INIT_LIST_HEAD(&heap->usable_raw.list[i]);
	}
	INIT_LIST_HEAD(&heap->cached);
	return pym_regions_init(heap);
}

/* An arena like another, in no list, all its pools busy and without pages. */
static struct pym_arena *arena_copy(const struct pym_arena *arena, struct pym_heap *child)
{
	struct pym_arena *copy = arena_alloc(child, 0);
	unsigned int i;

	if (IS_ERR(copy))
		return copy;
	memcpy(copy, arena, sizeof(*copy));
	copy->bucket = 0;
	copy->free = 0;
	copy->cached = 0;
	copy->busy = ~0ULL;
	copy->leaving = 0;
	INIT_LIST_HEAD(&copy->link);
	INIT_LIST_HEAD(&copy->cached_link);
	for (i = 0; i < PYMALLOC_ARENA_POOLS; i++) {
		INIT_LIST_HEAD(&copy->pools[i].link);
		copy->pools[i].page = NULL;
	}
	return copy;
}

/* Put the pools that have a class where they belong. */
static void link_pools(struct pym_heap *child, struct pym_arena *copy, u64 bits)
{
	for (; bits; bits &= bits - 1) {
		struct pym_pool *pool = &copy->pools[__ffs64(bits)];

		if (pool->class <= PYMALLOC_NR_CLASSES)
			pym_class_link(&child->classes[pool->class], pool);
	}
}

/* The regions of a clone up to @number; nobody has mapped its pool map so far. */
static int clone_regions(struct pym_heap *child, unsigned long number)
{
	while (child->made_regions <= number) {
		struct pym_region *region = pym_region_new(child, child->made_regions);

		if (IS_ERR(region))
			return PTR_ERR(region);
		region_open(child, region);
	}
	return 0;
}

/* Clone what is in use of an arena; empty pools stay with the original. */
static int clone_arena(struct pym_heap *heap, struct pym_arena *arena, struct pym_heap *child)
{
	u64 used = ~(arena->free | arena->busy);
	struct pym_arena *copy;
	unsigned int nr;
	int err;

	if (!used)
		return 0;
	err = clone_regions(child, arena->number / PYM_REGION_ARENAS);
	if (err)
		return err;
	copy = arena_copy(arena, child);
	if (IS_ERR(copy))
		return PTR_ERR(copy);

	spin_lock(&child->lock);
	arena_insert_locked(child, copy, arena->number);
	pym_arena_free_locked(child, copy, ~used);
	spin_unlock(&child->lock);

	nr = pym_pages_share(heap, arena, child, copy, used);
	if (nr < hweight64(used))
		return -ENOMEM;

	copy->busy = 0;
	memcpy(copy->map, arena->map, PYMALLOC_ARENA_POOLS);
	link_pools(child, copy, used);
	return 0;
}

/**
 * pym_arenas_clone() - clone all arenas of a heap
 * @heap: the heap, at rest
 * @child: the clone; its classes have their counts
 *
 * Context: Sleeps.  Holds @heap->gate for writing.
 * Return: 0 or -ENOMEM; then the clone is incomplete.
 */
int pym_arenas_clone(struct pym_heap *heap, struct pym_heap *child)
{
	struct pym_arena *arena;
	u64 offset = 0;
	int err;

	for (;;) {
		/* The gate keeps it alive. */
		rcu_read_lock();
		arena = pym_arena_next(heap, &offset, pym_made_bytes(heap));
		rcu_read_unlock();
		if (!arena)
			return 0;
		err = clone_arena(heap, arena, child);
		if (err)
			return err;
		offset += PYMALLOC_ARENA_SIZE;
		cond_resched();
	}
}

/**
 * pym_arenas_destroy() - free all arenas, whose pages have gone before
 * @heap: the heap, used by nobody any more
 */
void pym_arenas_destroy(struct pym_heap *heap)
{
	struct pym_arena *arena;
	u64 offset = 0;

	for (;;) {
		rcu_read_lock();
		arena = pym_arena_next(heap, &offset, pym_made_bytes(heap));
		rcu_read_unlock();
		if (!arena)
			break;
		arena_delete(heap, arena);
		offset += PYMALLOC_ARENA_SIZE;
		cond_resched();
	}
	pym_regions_destroy(heap);
}
