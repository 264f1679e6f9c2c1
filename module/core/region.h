/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Regions, and the pool map: see region.c.
 */
#ifndef PYM_REGION_H
#define PYM_REGION_H

#include "types.h"

int pym_regions_init(struct pym_heap *heap);
void pym_regions_destroy(struct pym_heap *heap);
struct pym_region *pym_region_new(struct pym_heap *heap, unsigned long number);
void pym_region_open(struct pym_heap *heap, struct pym_region *region);
void pym_region_take_locked(struct pym_heap *heap, struct pym_region *region,
			    unsigned int slot);
void pym_region_give_locked(struct pym_heap *heap, struct pym_region *region,
			    unsigned int slot);
u64 pym_region_outside(const struct pym_heap *heap, const struct pym_region *region);
void pym_regions_extend_locked(struct pym_heap *heap, u64 extent);
u32 pym_numbers_find_locked(struct pym_heap *heap, unsigned int nr);
int pym_numbers_reserve(struct pym_heap *heap, unsigned int nr);
u32 pym_number_on_top_locked(struct pym_heap *heap);
int pym_number_reserve_on_top(struct pym_heap *heap);
struct page *pym_pool_map_page(struct pym_heap *heap, unsigned long number);

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
	/* Pairs with the release in region_insert(): what is found is complete. */
	return smp_load_acquire(&table->regions[number]);
}

/* Bytes of a table, a power of two. */
static inline size_t pym_table_bytes(const struct pym_table *table)
{
	return sizeof(*table) + table->nr * sizeof(*table->regions);
}

/* As pym_region_find(), for callers that hold neither the lock nor RCU. */
static inline struct pym_region *pym_region_get(struct pym_heap *heap, unsigned long number)
{
	struct pym_region *region;

	rcu_read_lock();
	region = pym_region_find(heap, number);
	rcu_read_unlock();
	return region;
}

/* Bytes of the window, from its start on, for which there are regions so far. */
static inline u64 pym_made_bytes(const struct pym_heap *heap)
{
	return (u64)READ_ONCE(heap->made_regions) << PYM_REGION_SHIFT;
}

#endif /* PYM_REGION_H */
