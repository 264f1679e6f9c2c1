// SPDX-License-Identifier: GPL-2.0
/*
 * The registry: all heaps of the machine by number.
 *
 * It holds no references.  Who finds a heap gets one, unless the heap is
 * already going away.
 */
#include <linux/xarray.h>

#include "service.h"

static DEFINE_XARRAY(registry);
static atomic_long_t last_id;
static atomic_long_t nr_heaps;

/**
 * pym_registry_add() - number a heap and make it known
 * @sheap: the heap; its number is set
 *
 * Context: Sleeps.
 * Return: 0 or -ENOMEM.
 */
int pym_registry_add(struct pym_service_heap *sheap)
{
	int err;

	sheap->heap.id = atomic_long_inc_return(&last_id);
	atomic_long_inc(&nr_heaps);
	err = xa_insert(&registry, sheap->heap.id, sheap, PYM_GFP);
	if (err)
		atomic_long_dec(&nr_heaps);
	return err;
}

/**
 * pym_registry_remove() - forget a heap
 * @sheap: the heap
 */
void pym_registry_remove(struct pym_service_heap *sheap)
{
	xa_erase(&registry, sheap->heap.id);
	atomic_long_dec(&nr_heaps);
}

/**
 * pym_registry_count() - how many heaps there are
 *
 * Return: their number, which may have changed already.
 */
unsigned long pym_registry_count(void)
{
	return atomic_long_read(&nr_heaps);
}

/**
 * pym_registry_find() - the heap of a number
 * @id: the number
 *
 * Return: the heap, with a reference, or NULL.
 */
struct pym_service_heap *pym_registry_find(u64 id)
{
	struct pym_service_heap *sheap;

	xa_lock(&registry);
	sheap = xa_load(&registry, id);
	if (sheap && !kref_get_unless_zero(&sheap->ref))
		sheap = NULL;
	xa_unlock(&registry);
	return sheap;
}

/**
 * pym_registry_next() - the next heap by number
 * @after: the number to start behind
 *
 * Return: the heap, with a reference, or NULL if that was the last one.
 */
struct pym_service_heap *pym_registry_next(u64 after)
{
	struct pym_service_heap *sheap;
	unsigned long id = after;

	if (after >= ULONG_MAX)
		return NULL;
	xa_lock(&registry);
	do {
		sheap = xa_find_after(&registry, &id, ULONG_MAX, XA_PRESENT);
	} while (sheap && !kref_get_unless_zero(&sheap->ref));
	xa_unlock(&registry);
	return sheap;
}
