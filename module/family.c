// SPDX-License-Identifier: GPL-2.0
/*
 * Families: a heap and those that fork() has made of it.
 *
 * They have one inode, because a child's mappings are mappings of its parent's
 * descriptor.  That descriptor finds the heap of who calls by his mm.
 */
#include <linux/err.h>
#include <linux/slab.h>

#include "service.h"

/**
 * pym_family_new() - a family without clones
 *
 * Context: Sleeps.
 * Return: the family with one reference, or an error pointer.
 */
struct pym_family *pym_family_new(void)
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
	init_waitqueue_head(&family->wait);
	xa_init(&family->clones);
	return family;
}

/**
 * pym_family_get() - one more member
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
 * pym_family_put() - one member less
 * @family: the family
 *
 * Context: Sleeps.
 */
void pym_family_put(struct pym_family *family)
{
	if (!refcount_dec_and_test(&family->refs))
		return;
	pym_heapfs_put_inode(family->inode);
	kfree(family);
}

/**
 * pym_family_is_alone() - has the family a single heap?
 * @family: the family of a heap that is not being cloned
 *
 * Return: true if so: then no page of it belongs to another any more.
 */
bool pym_family_is_alone(struct pym_family *family)
{
	if (refcount_read(&family->refs) > 1)
		return false;
	/* Pairs with pym_family_put(): who left has done with all pages. */
	smp_acquire__after_ctrl_dep();
	return true;
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
	return xa_insert(&family->clones, (unsigned long)clone->mm, clone, PYM_GFP);
}

/**
 * pym_family_remove() - forget a child's heap
 * @family: the family
 * @clone: the heap
 */
void pym_family_remove(struct pym_family *family, struct pym_service_heap *clone)
{
	xa_erase(&family->clones, (unsigned long)clone->mm);
}

/**
 * pym_family_find() - the heap that an address space has inherited
 * @family: the family
 * @mm: the address space
 *
 * Return: the heap, with a reference, or NULL.
 */
struct pym_service_heap *pym_family_find(struct pym_family *family, struct mm_struct *mm)
{
	struct pym_service_heap *clone;

	xa_lock(&family->clones);
	clone = xa_load(&family->clones, (unsigned long)mm);
	if (clone && !kref_get_unless_zero(&clone->ref))
		clone = NULL;
	xa_unlock(&family->clones);
	return clone;
}
