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
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "arena.h"
#include "bits.h"
#include "quota.h"
#include "region.h"
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

/**
 * pym_arena_room() - what an arena can serve
 * @arena: the arena
 *
 * Return: its free pools; for an arena of runs its longest run of free pages.
 */
unsigned int pym_arena_room(const struct pym_arena *arena)
{
	return arena->runs ? pym_longest_run(arena->free) : hweight64(arena->free);
}

static void arena_requeue(struct pym_heap *heap, struct pym_arena *arena)
{
	pym_buckets_move(arena->runs ? &heap->usable_runs : &heap->usable, &arena->link,
		   &arena->bucket, pym_arena_room(arena));
}

static void arena_take_locked(struct pym_heap *heap, struct pym_arena *arena, u64 bits)
{
	heap->nr_empty -= hweight64(arena->empty & bits);
	arena->empty &= ~bits;
	if (!arena->empty)
		list_del_init(&arena->empty_link);
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
	pym_region_give_locked(heap, region, slot);
	pym_meta_uncharge(heap, PYM_ARENA_BYTES);
	if (arena->runs)
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
		if (!arena->empty)
			list_add_tail(&arena->empty_link, &heap->empty);
		arena->empty |= BIT_ULL(pool->index);
		heap->nr_empty++;
	}
	arena->busy &= ~bits;
	arena->free |= bits;
	if (arena->free == ~0ULL && !arena->empty)
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
struct pym_arena *pym_arena_alloc(struct pym_heap *heap, gfp_t gfp)
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

static struct pym_arena *arena_new(struct pym_heap *heap, bool runs)
{
	struct pym_arena *arena = pym_arena_alloc(heap, __GFP_ZERO);
	unsigned int i;

	if (IS_ERR(arena))
		return arena;
	arena->runs = runs;
	arena->busy = ~0ULL;
	INIT_LIST_HEAD(&arena->link);
	INIT_LIST_HEAD(&arena->empty_link);
	for (i = 0; i < PYMALLOC_ARENA_POOLS; i++) {
		arena->pools[i].index = i;
		INIT_LIST_HEAD(&arena->pools[i].link);
	}
	return arena;
}

void pym_arena_insert_locked(struct pym_heap *heap, struct pym_arena *arena, u32 number)
{
	struct pym_region *region = pym_region_find(heap, number / PYM_REGION_ARENAS);
	unsigned int slot = number % PYM_REGION_ARENAS;

	arena->number = number;
	arena->map = (u8 *)page_address(region->map) + slot * PYMALLOC_ARENA_POOLS;
	pym_region_take_locked(heap, region, slot);
	if (arena->runs)
		heap->nr_raw_arenas++;
	else
		heap->nr_arenas++;
	trace_arena_new(heap->id, (u64)number << PYM_ARENA_SHIFT, arena->runs);
	rcu_assign_pointer(region->arenas[slot], arena);
}

/* Put new arenas into their place.  Returns false if there is none any more. */
static bool arenas_insert(struct pym_heap *heap, struct list_head *fresh, unsigned int nr)
{
	struct pym_arena *arena, *next;
	u32 number;

	spin_lock(&heap->lock);
	number = pym_numbers_find_locked(heap, nr);
	if (number) {
		u32 at = number;

		list_for_each_entry_safe(arena, next, fresh, link) {
			list_del_init(&arena->link);
			pym_arena_insert_locked(heap, arena, at++);
		}
	}
	spin_unlock(&heap->lock);
	return number;
}

/* As pym_arena_create(); NULL if somebody else has taken the numbers. */
static struct pym_arena *arenas_make(struct pym_heap *heap, bool runs, unsigned int nr)
{
	struct pym_arena *arena, *next, *first = NULL;
	LIST_HEAD(fresh);
	unsigned int i;

	for (i = 0; i < nr; i++) {
		arena = arena_new(heap, runs);
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
 * @runs: for runs
 * @nr: how many, at most 64
 *
 * All their pools are busy and belong to the caller.
 *
 * Context: Sleeps.  Holds @heap->gate for reading, and may leave it for a while.
 * Return: the first arena; the others follow it in the window.  -ENOMEM when
 *	memory, the heap's limit or the window is used up, -ENOSPC when the heap's
 *	extent is, -EDQUOT when the user's limit is.
 */
struct pym_arena *pym_arena_create(struct pym_heap *heap, bool runs, unsigned int nr)
{
	struct pym_arena *first;
	int err;

	do {
		/* Regions first: what is charged must be in its place before the gate is left. */
		err = pym_numbers_reserve(heap, nr);
		if (err)
			return ERR_PTR(err);
		first = arenas_make(heap, runs, nr);
	} while (!first);
	return first;
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
	link = pym_buckets_find(&heap->usable, 1);
	if (link) {
		arena = list_entry(link, struct pym_arena, link);
		*bits = pym_lowest_bits(arena->empty, want);
		if (hweight64(*bits) < want)
			*bits |= pym_lowest_bits(arena->free & ~arena->empty,
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
	link = pym_buckets_find(&heap->usable_runs, nr);
	if (link) {
		arena = list_entry(link, struct pym_arena, link);
		*first = __ffs64(pym_run_starts(arena->free, nr));
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
 * pym_empty_reserve() - take the empty pools of the arena that had one first
 * @heap: the heap
 * @bits: out: the pools, now busy, with their pages
 *
 * Return: the arena, or NULL if no empty pool has kept its page.
 */
struct pym_arena *pym_empty_reserve(struct pym_heap *heap, u64 *bits)
{
	struct pym_arena *arena;

	spin_lock(&heap->lock);
	arena = list_first_entry_or_null(&heap->empty, struct pym_arena, empty_link);
	if (arena) {
		*bits = arena->empty;
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
	pym_buckets_init(&heap->usable);
	pym_buckets_init(&heap->usable_runs);
	INIT_LIST_HEAD(&heap->empty);
	return pym_regions_init(heap);
}

/*
 * Call @visit for the first arena from @offset on, under the heap's lock.  It is
 * looked for without that: in a heap that has become empty there is a lot to search.
 * Returns false if there is none.
 */
bool pym_arenas_visit_next(struct pym_heap *heap, u64 *offset, pym_arena_visit visit, void *data)
{
	struct pym_arena *arena;

	rcu_read_lock();
	arena = pym_arena_next(heap, offset, pym_made_bytes(heap));
	if (arena) {
		spin_lock(&heap->lock);
		/* It may have gone meanwhile, and another one come. */
		arena = pym_arena_find(heap, *offset);
		if (arena)
			visit(heap, arena, data);
		spin_unlock(&heap->lock);
		*offset += PYMALLOC_ARENA_SIZE;
	}
	rcu_read_unlock();
	return *offset < pym_made_bytes(heap);
}

/* Call @visit for each arena. */
void pym_arenas_visit(struct pym_heap *heap, pym_arena_visit visit, void *data)
{
	u64 offset = 0;

	while (pym_arenas_visit_next(heap, &offset, visit, data))
		cond_resched();
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
