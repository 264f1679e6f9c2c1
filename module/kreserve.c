// SPDX-License-Identifier: GPL-2.0
/*
 * Reservations in other modules' heaps: objects that can be had without fail, as a mempool's.
 *
 * A reservation holds whole pools that nobody else allocates from.  What is freed there is
 * its again.  So as long as no more than the reserved objects are in use, there is one.
 */
#include <linux/slab.h>

#include "kheap_types.h"
#include "kheap_object.h"
#include "kpool.h"
#include "service_heap.h"

/**
 * struct pymalloc_kreserve - objects that are reserved
 * @kheap: their heap
 * @number: their class
 * @nr_pools: how many pools there are
 * @pools: the pools
 */
struct pymalloc_kreserve {
	struct pymalloc_kheap *kheap;
	u32 number;
	unsigned int nr_pools;
	struct pym_pool *pools[] __counted_by(nr_pools);
};

/**
 * pymalloc_kreserve_make() - reserve objects of one size
 * @kheap: the heap
 * @size: as for pymalloc_kheap_alloc()
 * @nr: how many at least: the rest of the last page is reserved, too
 *
 * Context: Sleeps.
 * Return: the reservation; or -EINVAL (no object, or a size that the heap does not have),
 *	or -ENOMEM (no memory, or a limit), and nothing is reserved.
 */
struct pymalloc_kreserve *pymalloc_kreserve_make(struct pymalloc_kheap *kheap, size_t size,
						 unsigned int nr)
{
	u32 number = pym_kheap_number(kheap, size);
	struct pymalloc_kreserve *reserve;
	unsigned int nr_pools;

	if (!number || !nr)
		return ERR_PTR(-EINVAL);
	nr_pools = DIV_ROUND_UP(nr, kheap->heap->classes[number].capacity);
	reserve = kvzalloc(struct_size(reserve, pools, nr_pools), GFP_KERNEL_ACCOUNT);
	if (!reserve)
		return ERR_PTR(-ENOMEM);
	reserve->kheap = kheap;
	reserve->number = number;
	while (reserve->nr_pools < nr_pools) {
		struct pym_pool *pool = pym_kpool_fresh(kheap, number);

		if (!pool) {
			pymalloc_kreserve_end(reserve);
			return ERR_PTR(-ENOMEM);
		}
		reserve->nr_pools++;
		reserve->pools[reserve->nr_pools - 1] = pool;
	}
	return reserve;
}
EXPORT_SYMBOL_GPL(pymalloc_kreserve_make);

/**
 * pymalloc_kreserve_alloc() - allocate a reserved object
 * @reserve: the reservation
 *
 * It is freed as any other, and is reserved again then.  It is not cleared, unless it has
 * never been used, or the kernel clears all objects (init_on_alloc).
 *
 * Context: Any but NMI.  Allocates no memory and takes no lock.
 * Return: the object; NULL if all reserved objects are in use.
 */
void *pymalloc_kreserve_alloc(struct pymalloc_kreserve *reserve)
{
	void *object = NULL;
	unsigned int i;

	for (i = 0; i < reserve->nr_pools && !object; i++)
		object = pym_kpool_take(reserve->pools[i], reserve->number);
	if (!object)
		return NULL;
	this_cpu_inc(reserve->kheap->cpu->allocs[reserve->number]);
	pym_kheap_finish(reserve->kheap, object, reserve->number, 0, _RET_IP_);
	return object;
}
EXPORT_SYMBOL_GPL(pymalloc_kreserve_alloc);

/**
 * pymalloc_kreserve_end() - end a reservation
 * @reserve: the reservation, or NULL.  Objects of it that are in use stay
 *
 * Context: Sleeps.
 */
void pymalloc_kreserve_end(struct pymalloc_kreserve *reserve)
{
	unsigned int i;

	if (!reserve)
		return;
	for (i = 0; i < reserve->nr_pools; i++)
		pym_kpool_put(reserve->kheap, reserve->pools[i]);
	kvfree(reserve);
}
EXPORT_SYMBOL_GPL(pymalloc_kreserve_end);
