// SPDX-License-Identifier: GPL-2.0
/*
 * Families: a heap and those that fork() has made of it.
 *
 * They have one inode, because a child's mappings are mappings of its parent's file.
 * A descriptor knows the family, and finds the caller's heap by its mm: so no
 * descriptor and no mapping of one process keeps the heap of another.
 */
#include <linux/err.h>
#include <linux/poll.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "family.h"
#include "heapfs.h"
#include "service_heap.h"

/**
 * pym_family_new() - make a family
 * @founder: its first heap, which has its process
 *
 * The family holds a reference to the heap until pym_family_forget().
 *
 * Context: Sleeps.
 * Return: the family with one reference, or an error pointer.
 */
struct pym_family *pym_family_new(struct pym_service_heap *founder)
{
	struct pym_family *family = kzalloc(sizeof(*family), PYM_GFP);
	struct inode *inode;

	if (!family)
		return ERR_PTR(-ENOMEM);
	inode = pym_heapfs_inode();
	if (IS_ERR(inode)) {
		kfree(family);
		return ERR_CAST(inode);
	}
	family->inode = inode;
	refcount_set(&family->refs, 1);
	atomic_set(&family->nr_heaps, 1);
	init_waitqueue_head(&family->wait);
	xa_init(&family->clones);
	family->mm = founder->client.mm;
	mmgrab(family->mm);
	kref_get(&founder->ref);
	RCU_INIT_POINTER(family->founder, founder);
	return family;
}

/**
 * pym_family_get() - take a reference
 * @family: the family
 *
 * Return: @family.
 */
struct pym_family *pym_family_get(struct pym_family *family)
{
	refcount_inc(&family->refs);
	return family;
}

/**
 * pym_family_put() - drop a reference; the last one frees the family
 * @family: the family
 *
 * Context: Sleeps.
 */
void pym_family_put(struct pym_family *family)
{
	if (!refcount_dec_and_test(&family->refs))
		return;
	mmdrop(family->mm);
	/* An insertion that failed may have left nodes without entries. */
	xa_destroy(&family->clones);
	pym_heapfs_put_inode(family->inode);
	kfree(family);
}

/**
 * pym_family_leave() - one heap less
 * @family: the family; the heap has left its last page
 */
void pym_family_leave(struct pym_family *family)
{
	/*
	 * Pairs with the acquire in pym_family_is_alone(): whoever sees the lower count
	 * sees that this heap has left its pages.
	 */
	smp_mb__before_atomic();
	atomic_dec(&family->nr_heaps);
}

/**
 * pym_family_is_alone() - has the family a single heap?
 * @family: the family of a heap
 *
 * Return: true if so: then no page of it belongs to another any more.
 */
bool pym_family_is_alone(struct pym_family *family)
{
	/* Pairs with the barrier in pym_family_leave(). */
	return atomic_read_acquire(&family->nr_heaps) == 1;
}

/**
 * pym_family_add() - make a child's heap known
 * @family: the family
 * @clone: the heap
 *
 * Context: Sleeps.
 * Return: 0 or -ENOMEM.
 */
int pym_family_add(struct pym_family *family, struct pym_service_heap *clone)
{
	int err = xa_insert(&family->clones, (unsigned long)clone->client.mm, clone, PYM_GFP);

	if (!err)
		atomic_inc(&family->nr_heaps);
	return err;
}

/* Take over the family's reference to its first heap, if it still has one. */
static struct pym_service_heap *family_take_founder(struct pym_family *family)
{
	struct pym_service_heap *founder = unrcu_pointer(xchg(&family->founder, NULL));

	if (founder)
		WRITE_ONCE(founder->forgotten, true);
	return founder;
}

static void family_put_founder(struct pym_family *family)
{
	struct pym_service_heap *founder = family_take_founder(family);

	if (founder)
		pym_service_put_dead(founder);
}

/**
 * pym_family_forget() - make sure that no descriptor finds, or keeps, a heap any more
 * @family: the family
 * @sheap: the heap; the caller has a reference
 *
 * Context: Sleeps.
 */
void pym_family_forget(struct pym_family *family, struct pym_service_heap *sheap)
{
	WRITE_ONCE(sheap->forgotten, true);
	if (sheap->inherited)
		xa_cmpxchg(&family->clones, (unsigned long)sheap->client.mm, sheap, NULL, 0);
	else if (family_take_founder(family))
		pym_service_put_later(sheap);
}

/**
 * pym_family_threshold_passed() - a heap's pages have passed its threshold: .threshold_passed
 * @heap: the heap
 *
 * Context: Any.
 */
void pym_family_threshold_passed(struct pym_heap *heap)
{
	wake_up_interruptible_poll(&pym_service_of(heap)->family->wait, EPOLLPRI);
}

/**
 * pym_family_lose_keeper() - a descriptor that kept the first heap has been closed
 * @family: the family
 *
 * Context: Sleeps.  Not with an mmap_lock held.
 */
void pym_family_lose_keeper(struct pym_family *family)
{
	if (atomic_dec_and_test(&family->keepers))
		family_put_founder(family);
}

/**
 * pym_family_bury() - end the first heap if its process has died
 * @family: the family
 *
 * A process that has mapped its heap ends it when its mappings go; this is for
 * one that has not.
 *
 * Context: Sleeps.  Not with an mmap_lock held.
 */
void pym_family_bury(struct pym_family *family)
{
	if (!atomic_read(&family->mm->mm_users))
		family_put_founder(family);
}

/**
 * pym_family_enter() - the heap of an address space
 * @family: the family
 * @mm: the address space
 *
 * Return: its own heap of the family, with a reference, or NULL.
 */
struct pym_service_heap *pym_family_enter(struct pym_family *family, struct mm_struct *mm)
{
	struct pym_service_heap *sheap;

	rcu_read_lock();
	if (mm == family->mm)
		sheap = rcu_dereference(family->founder);
	else
		sheap = xa_load(&family->clones, (unsigned long)mm);
	if (sheap && !kref_get_unless_zero(&sheap->ref))
		sheap = NULL;
	rcu_read_unlock();
	return sheap;
}
