// SPDX-License-Identifier: GPL-2.0
/*
 * The registry: all heaps of the machine by number.
 *
 * It holds no references.  A call that finds a heap gets one, unless the heap is
 * already ending.
 */
#include <linux/rcupdate.h>
#include <linux/sched/mm.h>
#include <linux/xarray.h>

#include "family.h"
#include "registry.h"
#include "service_heap.h"

static DEFINE_XARRAY(registry);
static atomic_long_t last_id;
static atomic_long_t nr_heaps;

/**
 * pym_registry_reserve() - give a heap its number, by which no call finds it yet
 * @sheap: the heap; its number is set
 *
 * Context: Sleeps.
 * Return: 0 or -ENOMEM.
 */
int pym_registry_reserve(struct pym_service_heap *sheap)
{
	sheap->heap.id = atomic_long_inc_return(&last_id);
	return xa_reserve(&registry, sheap->heap.id, PYM_GFP);
}

/**
 * pym_registry_cancel() - give a number back that was only reserved
 * @sheap: the heap
 */
void pym_registry_cancel(struct pym_service_heap *sheap)
{
	xa_release(&registry, sheap->heap.id);
}

/**
 * pym_registry_add() - make a heap known: nothing can fail any more
 * @sheap: the heap, whole, its number reserved
 */
void pym_registry_add(struct pym_service_heap *sheap)
{
	atomic_long_inc(&nr_heaps);
	xa_store(&registry, sheap->heap.id, sheap, 0);
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
 * pym_registry_sum() - add up a figure of all heaps
 * @figure: of a heap, which may be about to end: only its structs are there for sure.
 *	Does not sleep
 *
 * Context: Any.
 * Return: the sum.
 */
u64 pym_registry_sum(u64 (*figure)(struct pym_service_heap *sheap))
{
	struct pym_service_heap *sheap;
	unsigned long id;
	u64 sum = 0;

	rcu_read_lock();
	xa_for_each(&registry, id, sheap)
		sum += figure(sheap);
	rcu_read_unlock();
	return sum;
}

/**
 * pym_registry_exit() - free the nodes that failed reservations have left
 *
 * Context: There are no heaps any more.
 */
void pym_registry_exit(void)
{
	xa_destroy(&registry);
}

/* Under RCU: take a reference, unless the heap is ending or its process has died. */
static bool registry_get_alive(struct pym_service_heap *sheap)
{
	if (!kref_get_unless_zero(&sheap->ref))
		return false;
	if (!READ_ONCE(sheap->ended) && !pym_service_is_dead(sheap))
		return true;
	pym_service_put_later(sheap);
	return false;
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

	rcu_read_lock();
	sheap = xa_load(&registry, id);
	if (sheap && !registry_get_alive(sheap))
		sheap = NULL;
	rcu_read_unlock();
	return sheap;
}

/**
 * pym_registry_bury() - end the heaps of processes that have died
 *
 * Most of them end without this, see pym_family_bury().  It is for a heap that was not
 * mapped, and whose process has left its descriptor to other processes: such a heap
 * must not use up its user's limits.
 *
 * Context: Sleeps.
 */
void pym_registry_bury(void)
{
	struct pym_service_heap *sheap;
	unsigned long id = 0;

	for (;;) {
		rcu_read_lock();
		do {
			sheap = xa_find_after(&registry, &id, ULONG_MAX, XA_PRESENT);
		} while (sheap && !kref_get_unless_zero(&sheap->ref));
		rcu_read_unlock();
		if (!sheap)
			return;
		pym_family_bury(sheap->family);
		pym_service_put_dead(sheap);
		cond_resched();
	}
}

static int registry_charge_once(struct pym_service_heap *sheap, pym_charged_fn work, void *args)
{
	struct mem_cgroup *memcg = set_active_memcg(sheap->memcg);
	int err = work(sheap, args);

	set_active_memcg(memcg);
	return err;
}

/**
 * pym_registry_charge() - do something that is charged to a heap, its user and its memory cgroup
 * @sheap: the heap; the caller has a reference
 * @work: does it, and returns 0 or a negative error
 * @args: what it gets beside the heap
 *
 * If the user's limit is in the way, heaps of processes that have died may hold what is
 * missing: ends them, and has it done once more.
 *
 * Context: Sleeps.
 * Return: as @work.
 */
int pym_registry_charge(struct pym_service_heap *sheap, pym_charged_fn work, void *args)
{
	int err = registry_charge_once(sheap, work, args);

	if (err != -EDQUOT)
		return err;
	pym_registry_bury();
	return registry_charge_once(sheap, work, args);
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
	rcu_read_lock();
	do {
		sheap = xa_find_after(&registry, &id, ULONG_MAX, XA_PRESENT);
	} while (sheap && !registry_get_alive(sheap));
	rcu_read_unlock();
	return sheap;
}
