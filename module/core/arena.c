// SPDX-License-Identifier: GPL-2.0
/*
 * Arenas: where they are in the window, which of their pools are free, and
 * which arena serves next.
 *
 * A pool is free (its bit in @free is set), or in use (it has a class), or on its way
 * from one to the other: then only the task that brings it there can give it a class or
 * make it free.  While its page may come or go it is also busy (its bit in @busy is set),
 * and no fault finds the page.
 */
#include <linux/bitops.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "arena.h"
#include "bits.h"
#include "quota.h"
#include "record.h"
#include "region.h"
#include "trace.h"
#include "typetable.h"

static struct kmem_cache *arena_cache;

/**
 * pym_arena_cache_init() - make the slab caches for struct pym_arena and struct pym_pool
 *
 * Return: 0 or -ENOMEM.
 */
int pym_arena_cache_init(void)
{
	int err;

	static_assert(sizeof(struct pym_arena) <= PYM_ARENA_BYTES);

	arena_cache = kmem_cache_create("pymalloc_arena", sizeof(struct pym_arena),
					0, SLAB_ACCOUNT, NULL);
	if (!arena_cache)
		return -ENOMEM;
	err = pym_record_caches_init();
	if (err)
		kmem_cache_destroy(arena_cache);
	return err;
}

/**
 * pym_arena_cache_exit() - the reverse of pym_arena_cache_init()
 *
 * Context: No heap exists.  Waits for an RCU grace period.
 */
void pym_arena_cache_exit(void)
{
	rcu_barrier();
	pym_record_caches_exit();
	kmem_cache_destroy(arena_cache);
}

static void arena_free(struct pym_arena *arena)
{
	kmem_cache_free(arena_cache, arena);
}

static void arena_free_rcu(struct rcu_head *rcu)
{
	arena_free(container_of(rcu, struct pym_arena, rcu));
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

/* In which lists an arena is that has room. */
static struct pym_buckets *arena_buckets(struct pym_heap *heap, const struct pym_arena *arena)
{
	if (arena->runs)
		return &heap->usable_runs;
	return arena->type ? &pym_type_find(heap, arena->type)->usable : &heap->usable;
}

static void arena_requeue(struct pym_heap *heap, struct pym_arena *arena)
{
	pym_buckets_move(arena_buckets(heap, arena), &arena->link, &arena->bucket,
			 pym_arena_room(arena));
}

/* Make free pools busy. */
static void span_take_locked(struct pym_heap *heap, struct pym_span span)
{
	struct pym_arena *arena = span.arena;

	heap->nr_empty -= hweight64(arena->empty & span.bits);
	heap->least_empty = min(heap->least_empty, heap->nr_empty);
	arena->empty &= ~span.bits;
	if (!arena->empty)
		list_del_init(&arena->empty_link);
	arena->free &= ~span.bits;
	arena->busy |= span.bits;
	arena_requeue(heap, arena);
}

static void arena_remove_locked(struct pym_heap *heap, struct pym_arena *arena)
{
	struct pym_region *region = pym_region_find(heap, arena->number / PYM_REGION_ARENAS);
	unsigned int slot = arena->number % PYM_REGION_ARENAS;

	/* Without free pools it is taken out of its bucket. */
	arena->free = 0;
	arena_requeue(heap, arena);

	RCU_INIT_POINTER(region->arenas[slot], NULL);
	pym_region_give_locked(heap, region, slot);
	pym_meta_uncharge(heap, PYM_ARENA_BYTES);
	if (arena->runs)
		heap->nr_run_arenas--;
	else
		heap->nr_arenas--;
	trace_arena_free(heap->id, (u64)arena->number << PYM_ARENA_SHIFT);
	call_rcu(&arena->rcu, arena_free_rcu);
}

/**
 * pym_pools_release_locked() - make busy pools free
 * @heap: the heap
 * @span: the pools; those that have a page keep it, and are empty from then on
 *
 * Removes the arena if all of its pools are free and none has a page, unless it is a type's.
 *
 * Context: Holds @heap->lock.
 */
void pym_pools_release_locked(struct pym_heap *heap, struct pym_span span)
{
	struct pym_arena *arena = span.arena;
	struct pym_pool *pool;

	lockdep_assert_held(&heap->lock);

	pym_for_each_pool(pool, span) {
		WRITE_ONCE(arena->map[pym_pool_index(pool)], 0);
		if (!arena->empty)
			list_add_tail(&arena->empty_link, &heap->empty);
		arena->empty |= BIT_ULL(pym_pool_index(pool));
		heap->nr_empty++;
	}
	arena->busy &= ~span.bits;
	arena->leaving &= ~span.bits;
	arena->free |= span.bits;
	if (arena->free == ~0ULL && !arena->empty && !arena->type)
		arena_remove_locked(heap, arena);
	else
		arena_requeue(heap, arena);
}

/**
 * pym_pools_release() - make busy pools free, for callers without the lock
 * @heap: the heap
 * @span: as for pym_pools_release_locked(); may have no pools
 *
 * Context: Takes @heap->lock.
 */
void pym_pools_release(struct pym_heap *heap, struct pym_span span)
{
	if (!span.bits)
		return;
	spin_lock(&heap->lock);
	pym_pools_release_locked(heap, span);
	spin_unlock(&heap->lock);
}

static void arena_delete(struct pym_heap *heap, struct pym_arena *arena)
{
	arena_free(arena);
	pym_meta_uncharge(heap, PYM_ARENA_BYTES);
}

/**
 * pym_pools_retire() - make pools that have lost their class free
 * @heap: the heap
 * @pools: a list of them; is empty afterwards.  They keep their pages
 *
 * Context: Takes @heap->lock.
 */
void pym_pools_retire(struct pym_heap *heap, struct list_head *pools)
{
	struct pym_pool *pool, *next;

	if (list_empty(pools))
		return;
	spin_lock(&heap->lock);
	list_for_each_entry_safe(pool, next, pools, link) {
		list_del_init(&pool->link);
		trace_pool_free(heap->id, pym_pool_offset(pool));
		pym_pools_release_locked(heap, (struct pym_span) {
			pym_arena_of(heap, pool), BIT_ULL(pym_pool_index(pool)) });
	}
	spin_unlock(&heap->lock);
}

/**
 * pym_arena_new() - charge and make an arena
 * @heap: the heap
 * @runs: for runs
 *
 * All its pools are busy, and none has a page.  It has no place yet.
 *
 * Context: Sleeps.  As pym_meta_charge().
 * Return: the arena, or an error as of pym_meta_charge().
 */
struct pym_arena *pym_arena_new(struct pym_heap *heap, bool runs)
{
	struct pym_arena *arena;
	int err;

	err = pym_meta_charge(heap, PYM_ARENA_BYTES);
	if (err)
		return ERR_PTR(err);
	arena = kmem_cache_zalloc(arena_cache, PYM_GFP);
	if (!arena) {
		pym_meta_uncharge(heap, PYM_ARENA_BYTES);
		return ERR_PTR(-ENOMEM);
	}
	arena->runs = runs;
	arena->busy = ~0ULL;
	INIT_LIST_HEAD(&arena->link);
	INIT_LIST_HEAD(&arena->empty_link);
	return arena;
}

/**
 * pym_arena_insert_locked() - put an arena into its place, where it can be found
 * @heap: the heap
 * @arena: the arena, complete but for its place
 * @number: its number, which is free
 *
 * Context: Holds @heap->lock.
 */
void pym_arena_insert_locked(struct pym_heap *heap, struct pym_arena *arena, u32 number)
{
	struct pym_region *region = pym_region_find(heap, number / PYM_REGION_ARENAS);
	unsigned int slot = number % PYM_REGION_ARENAS;

	arena->number = number;
	heap->top = max(heap->top, number + 1);
	arena->map = (u8 *)page_address(region->map) + slot * PYMALLOC_ARENA_POOLS;
	pym_region_take_locked(heap, region, slot);
	if (arena->runs)
		heap->nr_run_arenas++;
	else
		heap->nr_arenas++;
	trace_arena_new(heap->id, (u64)number << PYM_ARENA_SHIFT, arena->runs);
	/* Pairs with the rcu_dereference_check() in pym_arena_find(). */
	rcu_assign_pointer(region->arenas[slot], arena);
}

/* Put new arenas into their place.  Returns false if no place is free any more. */
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

/* As pym_arenas_create(); NULL if another task has taken the numbers. */
static struct pym_arena *arenas_make(struct pym_heap *heap, bool runs, unsigned int nr)
{
	struct pym_arena *arena, *next, *first = NULL;
	LIST_HEAD(fresh);
	unsigned int i;

	for (i = 0; i < nr; i++) {
		arena = pym_arena_new(heap, runs);
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
 * pym_arenas_create() - make arenas next to each other
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
struct pym_arena *pym_arenas_create(struct pym_heap *heap, bool runs, unsigned int nr)
{
	struct pym_arena *first;
	int err;

	do {
		/*
		 * Regions first: making one may leave the gate, and then no arena may be
		 * charged that the checker cannot find.
		 */
		err = pym_numbers_reserve(heap, nr);
		if (err)
			return ERR_PTR(err);
		first = arenas_make(heap, runs, nr);
	} while (!first);
	return first;
}

/* Put a type's arena where none has ever been.  Returns false if no such place is there. */
static bool arena_insert_on_top(struct pym_heap *heap, struct pym_arena *arena,
				struct pym_type *type)
{
	u32 number;

	spin_lock(&heap->lock);
	number = pym_number_on_top_locked(heap);
	if (number) {
		arena->type = type->info.number;
		type->nr_arenas++;
		pym_arena_insert_locked(heap, arena, number);
	}
	spin_unlock(&heap->lock);
	return number;
}

/* As pym_arenas_create(), but one arena, for a type's pools. */
static struct pym_arena *arena_create_for(struct pym_heap *heap, struct pym_type *type)
{
	struct pym_arena *arena;
	int err;

	for (;;) {
		err = pym_number_reserve_on_top(heap);
		if (err)
			return ERR_PTR(err);
		arena = pym_arena_new(heap, false);
		if (IS_ERR(arena) || arena_insert_on_top(heap, arena, type))
			return arena;
		/* Another task has taken the number. */
		arena_delete(heap, arena);
	}
}

/* Make an arena, and take the pools of @bits; its other pools are free. */
static struct pym_span span_of_new(struct pym_heap *heap, bool runs, struct pym_type *type,
				   u64 bits)
{
	struct pym_span span = { .bits = bits };

	span.arena = type ? arena_create_for(heap, type) : pym_arenas_create(heap, runs, 1);
	if (!IS_ERR(span.arena))
		pym_pools_release(heap, (struct pym_span) { span.arena, ~bits });
	return span;
}

/* The arena with the least room that is enough for @nr, or NULL. */
static struct pym_arena *arena_with_room(const struct pym_buckets *buckets, unsigned int nr)
{
	struct list_head *link = pym_buckets_find(buckets, nr);

	return link ? list_entry(link, struct pym_arena, link) : NULL;
}

/**
 * pym_pools_reserve() - take free pools, all from one arena
 * @heap: the heap
 * @type: the type for whose pools they are; NULL if they are for a class of the heap
 * @want: how many, at least 1; what is returned may be fewer
 * @ahead: how many more to take if the empty pools are not enough
 *
 * They come from the fullest arena that has a free pool, so that sparse arenas become
 * empty (CPython's rule).  Pools that have a page are taken first.
 *
 * Context: Sleeps.  Holds @heap->gate for reading, and may leave it for a while.
 * Return: the pools, now busy; or as their arena an error as of pym_arenas_create().
 */
struct pym_span pym_pools_reserve(struct pym_heap *heap, struct pym_type *type,
				  unsigned int want, unsigned int ahead)
{
	struct pym_span span;

	want = min(want, PYMALLOC_ARENA_POOLS);

	spin_lock(&heap->lock);
	span.arena = arena_with_room(type ? &type->usable : &heap->usable, 1);
	if (span.arena) {
		span.bits = pym_lowest_bits(span.arena->empty, want);
		if (hweight64(span.bits) < want)
			span.bits |= pym_lowest_bits(span.arena->free & ~span.arena->empty,
						     want + ahead - hweight64(span.bits));
		span_take_locked(heap, span);
		spin_unlock(&heap->lock);
		return span;
	}
	spin_unlock(&heap->lock);
	return span_of_new(heap, false, type, pym_lowest_bits(~0ULL, want + ahead));
}

/**
 * pym_run_reserve() - take a run of at most 64 free pages
 * @heap: the heap
 * @nr: how many pages
 *
 * Context: Sleeps.  Holds @heap->gate for reading, and may leave it for a while.
 * Return: the pools, now busy; or as their arena an error as of pym_arenas_create().
 */
struct pym_span pym_run_reserve(struct pym_heap *heap, unsigned int nr)
{
	struct pym_span span;

	spin_lock(&heap->lock);
	span.arena = arena_with_room(&heap->usable_runs, nr);
	if (span.arena) {
		span.bits = pym_bits(__ffs64(pym_run_starts(span.arena->free, nr)), nr);
		span_take_locked(heap, span);
		spin_unlock(&heap->lock);
		return span;
	}
	spin_unlock(&heap->lock);
	return span_of_new(heap, true, NULL, pym_bits(0, nr));
}

/**
 * pym_empty_reserve() - take the empty pools of the arena that has had one for longest
 * @heap: the heap
 *
 * Context: Takes @heap->lock.
 * Return: the pools, now busy, with their pages; the arena is NULL if no pool is empty.
 */
struct pym_span pym_empty_reserve(struct pym_heap *heap)
{
	struct pym_span span = {};

	spin_lock(&heap->lock);
	span.arena = list_first_entry_or_null(&heap->empty, struct pym_arena, empty_link);
	if (span.arena) {
		span.bits = span.arena->empty;
		span_take_locked(heap, span);
	}
	spin_unlock(&heap->lock);
	return span;
}

/**
 * pym_arenas_are_free() - are all pools free that the arenas of a type have?
 * @heap: the heap, at rest
 * @type: the type
 *
 * Return: true if so; else a task is just giving pages of some of them back, or they have
 *	blocks.
 */
bool pym_arenas_are_free(struct pym_heap *heap, const struct pym_type *type)
{
	const struct list_head *link;
	u32 nr = 0;

	list_for_each(link, &type->usable.list[PYMALLOC_ARENA_POOLS])
		nr++;
	return nr == type->nr_arenas;
}

/* The arena becomes one for all, if it has a page; else it is removed. */
static void arena_disown_locked(struct pym_heap *heap, struct pym_arena *arena,
				struct pym_type *type)
{
	pym_buckets_move(&type->usable, &arena->link, &arena->bucket, 0);
	arena->type = 0;
	type->nr_arenas--;
	if (arena->empty)
		arena_requeue(heap, arena);
	else
		arena_remove_locked(heap, arena);
}

/**
 * pym_arenas_disown() - take its arenas, whose pools are all free, from a type
 * @heap: the heap
 * @type: the type
 *
 * Context: Holds @heap->gate for writing.  Takes @heap->lock.
 */
void pym_arenas_disown(struct pym_heap *heap, struct pym_type *type)
{
	struct list_head *all = &type->usable.list[PYMALLOC_ARENA_POOLS];

	while (!list_empty(all)) {
		spin_lock(&heap->lock);
		arena_disown_locked(heap, list_first_entry(all, struct pym_arena, link), type);
		spin_unlock(&heap->lock);
		cond_resched();
	}
}

/**
 * pym_arenas_init() - prepare a heap's lists of arenas, and its regions
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

/**
 * pym_arena_at_rest() - the next arena of a heap at rest
 * @heap: the heap
 * @offset: as for pym_arena_next()
 *
 * Context: Sleeps.  Holds @heap->gate for writing, or nobody uses @heap any more: the
 *	arena is not removed meanwhile.
 * Return: the arena, or NULL if there is none any more.
 */
struct pym_arena *pym_arena_at_rest(struct pym_heap *heap, u64 *offset)
{
	struct pym_arena *arena;

	cond_resched();
	rcu_read_lock();
	arena = pym_arena_next(heap, offset, pym_made_bytes(heap));
	rcu_read_unlock();
	return arena;
}

static void visit_arena(struct pym_heap *heap, u64 offset, const struct pym_visit *visit)
{
	struct pym_arena *arena;

	spin_lock(&heap->lock);
	/* Recheck: since it was found it may have been removed, or replaced. */
	arena = pym_arena_find(heap, offset);
	if (arena)
		visit->arena_locked(heap, arena, offset, visit->data);
	spin_unlock(&heap->lock);
	if (arena && visit->arena)
		visit->arena(heap, arena, offset, visit->data);
}

/**
 * pym_arenas_visit() - do something with each arena of a heap that is in use
 * @heap: the heap
 * @visit: what to do
 *
 * The next arena is searched under RCU, not under a lock: if a large heap has become
 * empty, much of the window is searched, and no other task should have to wait for that.
 *
 * Context: Sleeps.
 * Return: 0, or the error of @visit->pause.
 */
int pym_arenas_visit(struct pym_heap *heap, const struct pym_visit *visit)
{
	u64 offset = 0;
	bool found;
	int err = 0;

	for (; !err; offset += PYMALLOC_ARENA_SIZE) {
		rcu_read_lock();
		found = pym_arena_next(heap, &offset, pym_made_bytes(heap));
		if (found)
			visit_arena(heap, offset, visit);
		rcu_read_unlock();
		if (!found)
			break;
		cond_resched();
		if (visit->pause)
			err = visit->pause(heap);
	}
	return err;
}

/**
 * pym_arenas_destroy() - free all arenas; their pages have been freed before
 * @heap: the heap, used by nobody any more
 *
 * Context: Sleeps.
 */
void pym_arenas_destroy(struct pym_heap *heap)
{
	struct pym_arena *arena;
	u64 offset;

	pym_for_each_arena(arena, offset, heap)
		arena_delete(heap, arena);
	pym_regions_destroy(heap);
}
