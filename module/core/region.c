// SPDX-License-Identifier: GPL-2.0
/*
 * Regions: the window in parts of 64 arenas, each with its page of the pool
 * map, and the table in which they are found by number.
 *
 * They are made one after the other, and stay until the heap ends.  The table
 * has room for those that are there and grows by doubling: readers go on with
 * the old one, in which all is right that they can know of.
 */
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "core.h"

/* Bytes of the first table: with its head a power of two, as its successors'. */
#define TABLE_MIN	64

static size_t table_bytes(const struct pym_table *table)
{
	return sizeof(*table) + table->nr * sizeof(*table->regions);
}

static struct pym_table *table_alloc(size_t bytes)
{
	struct pym_table *table = kvzalloc(bytes, PYM_GFP);

	if (table)
		table->nr = (bytes - sizeof(*table)) / sizeof(*table->regions);
	return table;
}

static void table_free_rcu(struct rcu_head *rcu)
{
	kvfree(container_of(rcu, struct pym_table, rcu));
}

/*
 * Put a table in the place of a smaller one.  It is copied under the lock, at most
 * 8 bytes for each 16 MiB of the window that are in use already.  Returns the one
 * that nobody needs any more.
 */
static struct pym_table *table_replace(struct pym_heap *heap, struct pym_table *new)
{
	struct pym_table *old;

	spin_lock(&heap->lock);
	old = rcu_dereference_protected(heap->table, lockdep_is_held(&heap->lock));
	if (old->nr < new->nr) {
		memcpy(new->regions, old->regions, old->nr * sizeof(*old->regions));
		heap->meta_bytes += table_bytes(new) - table_bytes(old);
		rcu_assign_pointer(heap->table, new);
	} else {
		/* Somebody else was faster. */
		old = new;
	}
	spin_unlock(&heap->lock);
	return old;
}

/* Bytes of a table that has an entry for a region; 0 if the one there is has. */
static size_t table_wanted(struct pym_heap *heap, unsigned long number)
{
	const struct pym_table *table;
	size_t bytes = 0;

	rcu_read_lock();
	table = rcu_dereference(heap->table);
	if (number >= table->nr)
		bytes = 2 * table_bytes(table);
	rcu_read_unlock();
	return bytes;
}

/* Have the table an entry for the region that is made next. */
static int table_reserve(struct pym_heap *heap, unsigned long number)
{
	size_t bytes = table_wanted(heap, number);
	struct pym_table *table;

	if (!bytes)
		return 0;
	table = table_alloc(bytes);
	if (!table)
		return -ENOMEM;
	table = table_replace(heap, table);
	call_rcu(&table->rcu, table_free_rcu);
	return 0;
}

static void region_free(struct pym_region *region)
{
	if (region->map)
		__free_page(region->map);
	kfree(region);
}

/**
 * pym_region_outside() - arena numbers that a region must never give
 * @heap: the heap
 * @region: the region
 *
 * Context: Holds @heap->lock, or @heap->gate for writing.
 * Return: a bit for each: the window's first, and those beyond the heap's extent.
 */
u64 pym_region_outside(const struct pym_heap *heap, const struct pym_region *region)
{
	u64 end = heap->extent >> PYM_ARENA_SHIFT;
	u64 first = (u64)region->number * PYM_REGION_ARENAS;
	u64 outside = first ? 0 : 1;

	if (end - first < PYM_REGION_ARENAS)
		outside |= ~0ULL << (end - first);
	return outside;
}

/* Put a region in its place.  Returns false if somebody else has. */
static bool region_insert(struct pym_heap *heap, struct pym_region *region)
{
	struct pym_table *table;
	bool inserted;

	spin_lock(&heap->lock);
	inserted = region->number == heap->made_regions;
	if (inserted) {
		region->used = pym_region_outside(heap, region);
		table = rcu_dereference_protected(heap->table, lockdep_is_held(&heap->lock));
		/* Pairs with the acquire in pym_region_find(). */
		smp_store_release(&table->regions[heap->made_regions++], region);
		heap->meta_bytes += sizeof(*region) + PAGE_SIZE;
	}
	spin_unlock(&heap->lock);
	return inserted;
}

static struct pym_region *region_alloc(struct pym_heap *heap, unsigned long number)
{
	struct pym_region *region = kzalloc(sizeof(*region), PYM_GFP);

	if (!region)
		return NULL;
	region->map = alloc_page(PYM_GFP | __GFP_ZERO);
	if (!region->map) {
		kfree(region);
		return NULL;
	}
	region->number = number;
	region->fresh = true;
	INIT_LIST_HEAD(&region->link);
	return region;
}

/**
 * pym_region_new() - make the region that comes next
 * @heap: the heap
 * @number: its number
 *
 * It is fresh: no arena is made in it before its part of the pool map is seen.
 *
 * Context: Sleeps.
 * Return: the region; NULL if somebody else has made it; or -ENOMEM.
 */
struct pym_region *pym_region_new(struct pym_heap *heap, unsigned long number)
{
	struct pym_region *region;
	int err;

	err = table_reserve(heap, number);
	if (err)
		return ERR_PTR(err);
	region = region_alloc(heap, number);
	if (!region)
		return ERR_PTR(-ENOMEM);
	if (region_insert(heap, region))
		return region;
	region_free(region);
	return NULL;
}

/**
 * pym_pool_map_page() - a page of the pool map
 * @heap: the heap
 * @number: any number
 *
 * Whoever shows zeroes where there is none must hold @heap->map_gate for reading
 * while he looks and until they are mapped.
 *
 * Context: Any.
 * Return: the page with a reference; NULL if no arena can have been there.
 */
struct page *pym_pool_map_page(struct pym_heap *heap, unsigned long number)
{
	struct pym_region *region = pym_region_get(heap, number);

	if (!region)
		return NULL;
	get_page(region->map);
	return region->map;
}

/**
 * pym_regions_init() - a heap without regions
 * @heap: the heap, its window set
 *
 * Return: 0 or -ENOMEM.
 */
int pym_regions_init(struct pym_heap *heap)
{
	struct pym_table *table = table_alloc(TABLE_MIN);

	if (!table)
		return -ENOMEM;
	init_rwsem(&heap->map_gate);
	heap->nr_regions = DIV_ROUND_UP_ULL(heap->window, 1ULL << PYM_REGION_SHIFT);
	heap->meta_bytes += table_bytes(table);
	RCU_INIT_POINTER(heap->table, table);
	return 0;
}

/**
 * pym_regions_destroy() - free all regions, whose arenas have gone before
 * @heap: the heap, used by nobody any more
 */
void pym_regions_destroy(struct pym_heap *heap)
{
	struct pym_table *table = rcu_dereference_protected(heap->table, true);
	unsigned long number;

	for (number = 0; number < heap->made_regions; number++) {
		region_free(table->regions[number]);
		cond_resched();
	}
	kvfree(table);
}
