/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Arenas, and how they are found: see arena.c.
 */
#ifndef PYM_ARENA_H
#define PYM_ARENA_H

#include <linux/bitops.h>

#include "bits.h"
#include "region.h"
#include "types.h"

struct pym_type;

/* For each pool of a span that has a page. */
#define pym_for_each_pool(pool, span)						\
	for (u64 _left = (span).bits; ((pool) = pym_pool_next((span).arena, &_left));)

/* For each arena of a heap at rest; @offset is where it starts.  Sleeps between two. */
#define pym_for_each_arena(arena, offset, heap)					\
	for ((offset) = 0; ((arena) = pym_arena_at_rest(heap, &(offset)));	\
	     (offset) += PYMALLOC_ARENA_SIZE)

/**
 * struct pym_visit - what to do with each arena of a heap that is in use meanwhile
 * @arena_locked: called for the arena at @offset with @heap->lock held
 * @arena: called for the same arena after that, under RCU alone, so that the arena may
 *	just be removed; may be NULL
 * @pause: called between two arenas: an error ends the visit.  May be NULL
 * @data: for the two functions
 */
struct pym_visit {
	void (*arena_locked)(struct pym_heap *heap, struct pym_arena *arena, u64 offset,
			     void *data);
	void (*arena)(struct pym_heap *heap, struct pym_arena *arena, u64 offset,
		      void *data);
	int (*pause)(struct pym_heap *heap);
	void *data;
};

int pym_arena_cache_init(void);
void pym_arena_cache_exit(void);
int pym_arenas_init(struct pym_heap *heap);
void pym_arenas_destroy(struct pym_heap *heap);
struct pym_arena *pym_arena_next(struct pym_heap *heap, u64 *offset, u64 end);
struct pym_arena *pym_arena_at_rest(struct pym_heap *heap, u64 *offset);
int pym_arenas_visit(struct pym_heap *heap, const struct pym_visit *visit);
unsigned int pym_arena_room(const struct pym_arena *arena);
struct pym_arena *pym_arena_new(struct pym_heap *heap, bool runs);
void pym_arena_insert_locked(struct pym_heap *heap, struct pym_arena *arena, u32 number);
struct pym_arena *pym_arenas_create(struct pym_heap *heap, bool runs, unsigned int nr);
void pym_pools_release(struct pym_heap *heap, struct pym_span span);
void pym_pools_retire(struct pym_heap *heap, struct list_head *pools);
void pym_pools_release_locked(struct pym_heap *heap, struct pym_span span);
struct pym_span pym_pools_reserve(struct pym_heap *heap, struct pym_type *type,
				  unsigned int want, unsigned int ahead);
struct pym_span pym_run_reserve(struct pym_heap *heap, unsigned int nr);
struct pym_span pym_empty_reserve(struct pym_heap *heap);
bool pym_arenas_are_free(struct pym_heap *heap, const struct pym_type *type);
void pym_arenas_disown(struct pym_heap *heap, struct pym_type *type);

/* Where a pool is in the window. */
static inline u64 pym_pool_offset(const struct pym_pool *pool)
{
	return (u64)pool->number << PYM_POOL_SHIFT;
}

/* Its place in its arena. */
static inline unsigned int pym_pool_index(const struct pym_pool *pool)
{
	return pool->number % PYMALLOC_ARENA_POOLS;
}

/* Where a place of an arena is in the window. */
static inline u64 pym_place_offset(const struct pym_arena *arena, unsigned int index)
{
	return ((u64)arena->number << PYM_ARENA_SHIFT) | (index << PYM_POOL_SHIFT);
}

/**
 * pym_pool_in() - the pool at a place of an arena
 * @arena: the arena
 * @index: the place
 *
 * Pairs with the rcu_assign_pointer() in pym_pool_publish(): a pool that is found is
 * complete.
 *
 * Context: Holds the lock of the arena's heap; or is under RCU: then the pool may just be
 *	removed, and has no class any more; or the pool cannot change: it is busy and
 *	belongs to the caller, or the heap is at rest.
 * Return: the pool; NULL if it has no page.
 */
static inline struct pym_pool *pym_pool_in(const struct pym_arena *arena, unsigned int index)
{
	return rcu_dereference_raw(arena->pools[index]);
}

/* Put a pool, which is complete, where it can be found.  It is busy. */
static inline void pym_pool_publish(struct pym_arena *arena, struct pym_pool *pool)
{
	/* Pairs with the rcu_dereference_raw() in pym_pool_in(). */
	rcu_assign_pointer(arena->pools[pym_pool_index(pool)], pool);
}

/* The first of some pools that has a page, or NULL.  Clears its bit and those before. */
static inline struct pym_pool *pym_pool_next(const struct pym_arena *arena, u64 *bits)
{
	struct pym_pool *pool = NULL;

	while (*bits && !pool)
		pool = pym_pool_in(arena, pym_pop_bit(bits));
	return pool;
}

/**
 * pym_arena_find() - look an arena up
 * @heap: the heap
 * @ref: any offset in the window, or beyond
 *
 * The lookup pairs with the rcu_assign_pointer() in pym_arena_insert_locked(): an arena
 * that is found is complete.
 *
 * Context: Holds @heap->lock, or is under RCU: then the arena may just be removed.
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

/* The arena of a pool, which is not just being removed. */
static inline struct pym_arena *pym_arena_of(struct pym_heap *heap, const struct pym_pool *pool)
{
	return pym_arena_find(heap, pym_pool_offset(pool));
}

/* The pool of an arena that an offset lies in, as pym_pool_in() finds it. */
static inline struct pym_pool *pym_pool_at(const struct pym_arena *arena, u64 ref)
{
	return pym_pool_in(arena, (ref >> PYM_POOL_SHIFT) % PYMALLOC_ARENA_POOLS);
}

/* The pool that an offset lies in, as pym_arena_find() and pym_pool_in() find it. */
static inline struct pym_pool *pym_pool_find(struct pym_heap *heap, u64 ref)
{
	struct pym_arena *arena = pym_arena_find(heap, ref);

	return arena ? pym_pool_at(arena, ref) : NULL;
}

#endif /* PYM_ARENA_H */
