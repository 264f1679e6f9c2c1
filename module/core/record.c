// SPDX-License-Identifier: GPL-2.0
/*
 * Records: a struct pym_pool exists exactly as long as its pool has a page.
 *
 * It is made before it gets the page, and goes with the page, or when the pool needs one
 * with a longer bitmap.  So a heap that has become small has few of them, whatever
 * it once had: what stays in each arena is a pointer for each pool.  The length of the
 * bitmap follows the class for which the page was taken.
 */
#include <linux/errno.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "quota.h"
#include "record.h"

static struct kmem_cache *record_caches[PYM_RECORD_ORDERS];

static struct kmem_cache *record_cache_new(unsigned int order)
{
	static const char * const names[PYM_RECORD_ORDERS] = {
		"pymalloc_pool_1", "pymalloc_pool_2", "pymalloc_pool_4", "pymalloc_pool_8",
	};

	return kmem_cache_create(names[order], pym_record_size(order), 0, SLAB_ACCOUNT, NULL);
}

/**
 * pym_record_caches_init() - make the slab caches for struct pym_pool
 *
 * Return: 0 or -ENOMEM.
 */
int pym_record_caches_init(void)
{
	unsigned int order;

	/* The longest bitmap has a bit for each of the smallest blocks. */
	static_assert(64 << (PYM_RECORD_ORDERS - 1) == PYMALLOC_POOL_SIZE / PYMALLOC_BLOCK_MIN);

	for (order = 0; order < PYM_RECORD_ORDERS; order++) {
		record_caches[order] = record_cache_new(order);
		if (!record_caches[order])
			goto destroy;
	}
	return 0;

destroy:
	while (order--)
		kmem_cache_destroy(record_caches[order]);
	return -ENOMEM;
}

/**
 * pym_record_caches_exit() - the reverse of pym_record_caches_init()
 *
 * Context: No heap exists, and rcu_barrier() has been called since the last one ended.
 */
void pym_record_caches_exit(void)
{
	unsigned int order;

	for (order = 0; order < PYM_RECORD_ORDERS; order++)
		kmem_cache_destroy(record_caches[order]);
}

/**
 * pym_records_new() - charge and allocate records
 * @heap: the heap
 * @order: each has a bitmap of 2 to the power of @order words
 * @pools: out: the records, all zero but for @order; the bitmaps are not set
 * @nr: how many, at least 1
 *
 * Context: Sleeps.  As pym_meta_charge().
 * Return: 0, or an error as of pym_meta_charge() and there are none.
 */
int pym_records_new(struct pym_heap *heap, unsigned int order, struct pym_pool **pools,
		    unsigned int nr)
{
	unsigned int i;
	int err;

	err = pym_meta_charge(heap, nr * pym_record_bytes(order));
	if (err)
		return err;
	if (!kmem_cache_alloc_bulk(record_caches[order], PYM_GFP, nr, (void **)pools)) {
		pym_meta_uncharge(heap, nr * pym_record_bytes(order));
		return -ENOMEM;
	}
	for (i = 0; i < nr; i++) {
		memset(pools[i], 0, sizeof(*pools[i]));
		pools[i]->order = order;
	}
	return 0;
}

/**
 * pym_records_delete() - free records that nobody could find yet
 * @heap: the heap
 * @pools: the records
 * @nr: how many
 *
 * Context: as pym_meta_charge().
 */
void pym_records_delete(struct pym_heap *heap, struct pym_pool **pools, unsigned int nr)
{
	while (nr--) {
		pym_meta_uncharge(heap, pym_record_bytes(pools[nr]->order));
		kmem_cache_free(record_caches[pools[nr]->order], pools[nr]);
	}
}

static void records_free_rcu(struct rcu_head *rcu)
{
	struct pym_pool *pool = container_of(rcu, struct pym_pool, rcu), *next;

	for (; pool; pool = next) {
		next = pool->next_gone;
		kmem_cache_free(record_caches[pool->order], pool);
	}
}

/**
 * pym_records_retire() - free records that have just been removed from their arenas
 * @heap: the heap
 * @gone: the first of them; the others follow by @next_gone; or NULL.  Their class is
 *	PYM_CLASS_NONE, so that a task that still finds one under RCU leaves it alone
 *
 * Context: as pym_meta_charge().
 */
void pym_records_retire(struct pym_heap *heap, struct pym_pool *gone)
{
	unsigned long bytes = 0;
	struct pym_pool *pool;

	if (!gone)
		return;
	for (pool = gone; pool; pool = pool->next_gone)
		bytes += pym_record_bytes(pool->order);
	pym_meta_uncharge(heap, bytes);
	call_rcu(&gone->rcu, records_free_rcu);
}
