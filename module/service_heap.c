// SPDX-License-Identifier: GPL-2.0
/*
 * References to a heap that has an owner, and when the last one ends it.
 *
 * What ending a heap means is known above (owner.c), which hands it down.
 */
#include <linux/cred.h>
#include <linux/uidgid.h>
#include <linux/workqueue.h>

#include "service_heap.h"

static struct workqueue_struct *service_queue;
static void (*service_destroy)(struct pym_service_heap *sheap);

static void service_destroy_work(struct work_struct *work)
{
	service_destroy(container_of(work, struct pym_upkeep, release)->sheap);
}

/**
 * pym_service_ref_init() - give a new heap its first reference, the caller's
 * @sheap: the heap, which has its upkeep
 *
 * Context: Any.
 */
void pym_service_ref_init(struct pym_service_heap *sheap)
{
	kref_init(&sheap->ref);
	INIT_WORK(&sheap->upkeep->release, service_destroy_work);
}

static void service_destroy_now(struct kref *ref)
{
	service_destroy(container_of(ref, struct pym_service_heap, ref));
}

static void service_destroy_later(struct kref *ref)
{
	struct pym_service_heap *sheap = container_of(ref, struct pym_service_heap, ref);

	queue_work(service_queue, &sheap->upkeep->release);
}

/**
 * pym_service_put() - drop a reference; the last one ends the heap
 * @sheap: the heap
 *
 * Context: Sleeps.  Not with an mmap_lock held.
 */
void pym_service_put(struct pym_service_heap *sheap)
{
	kref_put(&sheap->ref, service_destroy_now);
}

/**
 * pym_service_put_later() - the same where the caller may not sleep for long
 * @sheap: the heap
 *
 * If this was the last reference, a worker ends the heap.
 *
 * Context: Any but interrupts.  An mmap_lock may be held.
 */
void pym_service_put_later(struct pym_service_heap *sheap)
{
	kref_put(&sheap->ref, service_destroy_later);
}

/**
 * pym_service_put_dead() - drop a reference so that what the heap holds is given back
 * @sheap: the heap, whose process may have died
 *
 * If this was the last reference, the heap ends before this function returns for
 *
 * - a process that is ending itself and has no mm any more;
 * - the heap's own process;
 * - processes of the heap's user, which may need what the heap gives back.
 *
 * For all others a worker ends it: that takes long.
 *
 * Context: Sleeps.  Not with an mmap_lock held.
 */
void pym_service_put_dead(struct pym_service_heap *sheap)
{
	if (!current->mm || current->mm == sheap->client.mm ||
	    uid_eq(READ_ONCE(sheap->uid), current_euid()))
		pym_service_put(sheap);
	else
		pym_service_put_later(sheap);
}

/**
 * pym_service_is_dead() - has a heap's process died?
 * @sheap: the heap
 *
 * Context: Any.
 * Return: true if so: the heap is ending, or will with the last descriptor.
 */
bool pym_service_is_dead(const struct pym_service_heap *sheap)
{
	return !atomic_read(&sheap->client.mm->mm_users);
}

/**
 * pym_service_init() - prepare for heaps
 * @end: ends a heap whose last reference has gone, and frees it.  May sleep
 *
 * Context: Process context, while the module is being loaded.
 * Return: 0 or -ENOMEM.
 */
int pym_service_init(void (*end)(struct pym_service_heap *sheap))
{
	service_destroy = end;
	service_queue = alloc_workqueue("pymalloc", WQ_UNBOUND, 0);
	return service_queue ? 0 : -ENOMEM;
}

/**
 * pym_service_exit() - wait until the last heaps have ended
 *
 * Context: Sleeps.
 */
void pym_service_exit(void)
{
	destroy_workqueue(service_queue);
}
