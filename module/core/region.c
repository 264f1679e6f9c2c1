// SPDX-License-Identifier: GPL-2.0
/*
 * Regions: the window in parts of 64 arenas, each with its page of the pool
 * map, and the table in which they are found by number.
 *
 * Regions are made one after the other, and stay until the heap ends.  When the table
 * is full, one of twice the size replaces it.  A task that still reads the old table
 * finds there all regions that had been made before.
 */
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "bits.h"
#include "ops.h"
#include "quota.h"
#include "region.h"

/* Charge and allocate a table of so many bytes. */
static struct pym_table *table_new(struct pym_heap *heap, size_t bytes)
{
	struct pym_table *table;
	int err;

	err = pym_meta_charge(heap, bytes);
	if (err)
		return ERR_PTR(err);
	table = kvzalloc(bytes, PYM_GFP);
	if (!table) {
		pym_meta_uncharge(heap, bytes);
		return ERR_PTR(-ENOMEM);
	}
	table->nr = (bytes - sizeof(*table)) / sizeof(*table->regions);
	return table;
}

static void table_free_rcu(struct rcu_head *rcu)
{
	kvfree(container_of(rcu, struct pym_table, rcu));
}

/*
 * Put a table in the place of a smaller one.  The entries are copied under the lock: 8
 * bytes for each 16 MiB of the window that have been used so far.  Returns the table that
 * must be freed: the old one, or @new if another task was faster.
 */
static struct pym_table *table_replace(struct pym_heap *heap, struct pym_table *new)
{
	struct pym_table *old;

	spin_lock(&heap->lock);
	old = rcu_dereference_protected(heap->table, lockdep_is_held(&heap->lock));
	if (old->nr < new->nr) {
		memcpy(new->regions, old->regions, old->nr * sizeof(*old->regions));
		/* Pairs with the rcu_dereference_check() in pym_region_find(). */
		rcu_assign_pointer(heap->table, new);
	} else {
		/* Another task was faster. */
		old = new;
	}
	spin_unlock(&heap->lock);
	return old;
}

/* The size that a table needs for a region; 0 if the present one has an entry for it. */
static size_t table_wanted(struct pym_heap *heap, unsigned long number)
{
	const struct pym_table *table;
	size_t bytes = 0;

	rcu_read_lock();
	table = rcu_dereference(heap->table);
	if (number >= table->nr)
		bytes = 2 * pym_table_bytes(table);
	rcu_read_unlock();
	return bytes;
}

/* Make sure that the table has an entry for the region that is made next. */
static int table_reserve(struct pym_heap *heap, unsigned long number)
{
	size_t bytes = table_wanted(heap, number);
	struct pym_table *table;

	if (!bytes)
		return 0;
	table = table_new(heap, bytes);
	if (IS_ERR(table))
		return PTR_ERR(table);
	table = table_replace(heap, table);
	pym_meta_uncharge(heap, pym_table_bytes(table));
	call_rcu(&table->rcu, table_free_rcu);
	return 0;
}

static void region_free(struct pym_heap *heap, struct pym_region *region)
{
	__free_page(region->map);
	kfree(region);
	pym_meta_uncharge(heap, PYM_REGION_BYTES);
}

/**
 * pym_region_outside() - arena numbers of a region that no arena may have
 * @heap: the heap
 * @region: the region
 *
 * Context: Holds @heap->lock, or @heap->gate for writing.
 * Return: a bit for each: number 0, because ref 0 is no block, and those beyond the
 *	heap's extent.
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

/* Put a region in its place.  Returns false if another task has made it. */
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
	}
	spin_unlock(&heap->lock);
	return inserted;
}

static struct pym_region *region_alloc(struct pym_heap *heap, unsigned long number)
{
	struct pym_region *region = kzalloc(sizeof(*region), PYM_GFP);

	static_assert(sizeof(*region) + PAGE_SIZE <= PYM_REGION_BYTES);

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
 * It is fresh: no arena is made in it until no process can have zeroes mapped where its
 * part of the pool map is.  See pym_region_open().
 *
 * Context: Sleeps.
 * Return: the region; NULL if another task has made it; or an error as of
 *	pym_meta_charge().
 */
struct pym_region *pym_region_new(struct pym_heap *heap, unsigned long number)
{
	struct pym_region *region;
	int err;

	err = table_reserve(heap, number) ?: pym_meta_charge(heap, PYM_REGION_BYTES);
	if (err)
		return ERR_PTR(err);
	region = region_alloc(heap, number);
	if (!region) {
		pym_meta_uncharge(heap, PYM_REGION_BYTES);
		return ERR_PTR(-ENOMEM);
	}
	if (region_insert(heap, region))
		return region;
	region_free(heap, region);
	return NULL;
}

static void region_requeue(struct pym_heap *heap, struct pym_region *region)
{
	pym_buckets_move(&heap->usable_regions, &region->link, &region->bucket,
			 pym_longest_run(~region->used));
}

/**
 * pym_region_take_locked() - note that an arena has got a number of a region
 * @heap: the heap
 * @region: the region
 * @slot: the number's place in it
 */
void pym_region_take_locked(struct pym_heap *heap, struct pym_region *region,
			    unsigned int slot)
{
	lockdep_assert_held(&heap->lock);

	region->used |= BIT_ULL(slot);
	region_requeue(heap, region);
}

/**
 * pym_region_give_locked() - note that a number of a region is free again
 * @heap: the heap
 * @region: the region
 * @slot: the number's place in it
 */
void pym_region_give_locked(struct pym_heap *heap, struct pym_region *region,
			    unsigned int slot)
{
	lockdep_assert_held(&heap->lock);

	region->used &= ~BIT_ULL(slot);
	region_requeue(heap, region);
}

/**
 * pym_region_open() - let arenas be made in a region
 * @heap: the heap
 * @region: the region, which is fresh; no process has zeroes mapped for its pool map
 *
 * Context: Takes @heap->lock.
 */
void pym_region_open(struct pym_heap *heap, struct pym_region *region)
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
 * Only the last region can have numbers that were outside of the old extent: a region is
 * made only if it starts within the extent.
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

/* Make the region that comes next, unless another task does. */
static int region_create(struct pym_heap *heap, unsigned long number)
{
	struct pym_region *region = pym_region_new(heap, number);

	if (IS_ERR_OR_NULL(region))
		return PTR_ERR(region);
	/*
	 * Before the region has arenas: a process that has zeroes mapped instead of the
	 * pool map would not see the classes of its pools.
	 */
	pym_map_grown(heap, number);
	pym_region_open(heap, region);
	return 0;
}

/**
 * pym_numbers_find_locked() - find arena numbers in a row, all in one region
 * @heap: the heap
 * @nr: how many, at most 64
 *
 * Context: Holds @heap->lock.
 * Return: the first of them, or 0 if no region has so many in a row.
 */
u32 pym_numbers_find_locked(struct pym_heap *heap, unsigned int nr)
{
	struct list_head *link = pym_buckets_find(&heap->usable_regions, nr);
	struct pym_region *region;

	if (!link)
		return 0;
	region = list_entry(link, struct pym_region, link);
	return region->number * PYM_REGION_ARENAS + __ffs64(pym_run_starts(~region->used, nr));
}

/**
 * pym_numbers_reserve() - make regions until there are free arena numbers in a row
 * @heap: the heap
 * @nr: how many, at most 64
 *
 * The numbers stay free: another task may take them before the caller does.
 *
 * Context: Sleeps.  Holds @heap->gate for reading, and may leave it for a while.
 * Return: 0; -ENOSPC when the heap's extent is used up, -ENOMEM when its window or
 *	memory is, -EDQUOT when the user's limit is.
 */
int pym_numbers_reserve(struct pym_heap *heap, unsigned int nr)
{
	unsigned long made;
	bool found;
	u64 extent;
	int err;

	for (;;) {
		spin_lock(&heap->lock);
		found = pym_numbers_find_locked(heap, nr);
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

/* The number behind all that arenas have ever had. */
static u32 number_on_top(const struct pym_heap *heap)
{
	/* Number 0 is no arena's, because ref 0 is no block. */
	return max(heap->top, 1U);
}

/**
 * pym_number_on_top_locked() - find an arena number that no arena has ever had
 * @heap: the heap
 *
 * Context: Holds @heap->lock.
 * Return: the number behind all that have been taken; 0 if it is outside of the heap's extent,
 *	or its region has to be made first.
 */
u32 pym_number_on_top_locked(struct pym_heap *heap)
{
	u32 number = number_on_top(heap);
	struct pym_region *region = pym_region_find(heap, number / PYM_REGION_ARENAS);

	if (!region || region->fresh || region->used & BIT_ULL(number % PYM_REGION_ARENAS))
		return 0;
	return number;
}

/*
 * Make the region of a number, or the next one of those before it: a clone has the numbers of
 * its parent's arenas behind it, and only the regions of those that were there.
 */
static int region_create_for(struct pym_heap *heap, u32 number, unsigned long made)
{
	if (number / PYM_REGION_ARENAS >= made)
		return region_create(heap, made);
	/* Another task has just made it: do the rest as well, so as not to wait. */
	pym_map_grown(heap, number / PYM_REGION_ARENAS);
	pym_region_open(heap, pym_region_get(heap, number / PYM_REGION_ARENAS));
	return 0;
}

/**
 * pym_number_reserve_on_top() - see that there is an arena number that no arena has ever had
 * @heap: the heap
 *
 * As pym_numbers_reserve().
 *
 * Context: as there.
 * Return: as there.
 */
int pym_number_reserve_on_top(struct pym_heap *heap)
{
	unsigned long made;
	u32 number;
	bool found;
	u64 extent;
	int err;

	for (;;) {
		spin_lock(&heap->lock);
		found = pym_number_on_top_locked(heap);
		number = number_on_top(heap);
		made = heap->made_regions;
		extent = heap->extent;
		spin_unlock(&heap->lock);
		if (found)
			return 0;
		if ((u64)number << PYM_ARENA_SHIFT >= extent)
			return extent < heap->window ? -ENOSPC : -ENOMEM;
		err = region_create_for(heap, number, made);
		if (err)
			return err;
	}
}

/**
 * pym_pool_map_page() - a page of the pool map
 * @heap: the heap
 * @number: any number
 *
 * If there is no such page, the caller may map zeroes in its place, which it must take
 * out of the mappings when @heap->ops->map_grown is called.
 *
 * Context: Any.
 * Return: the page with a reference; NULL if its region has not been made.
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
 * pym_regions_init() - prepare a heap's table of regions, which is empty
 * @heap: the heap, its window set
 *
 * Return: 0 or an error as of pym_meta_charge().
 */
int pym_regions_init(struct pym_heap *heap)
{
	struct pym_table *table = table_new(heap, PYM_TABLE_BYTES);

	if (IS_ERR(table))
		return PTR_ERR(table);
	pym_buckets_init(&heap->usable_regions);
	RCU_INIT_POINTER(heap->table, table);
	return 0;
}

/**
 * pym_regions_destroy() - free all regions; their arenas have been freed before
 * @heap: the heap, used by nobody any more
 */
void pym_regions_destroy(struct pym_heap *heap)
{
	struct pym_table *table = rcu_dereference_protected(heap->table, true);
	unsigned long number;

	for (number = 0; number < heap->made_regions; number++) {
		region_free(heap, table->regions[number]);
		cond_resched();
	}
	pym_meta_uncharge(heap, pym_table_bytes(table));
	kvfree(table);
}
