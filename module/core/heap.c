// SPDX-License-Identifier: GPL-2.0
/*
 * Heaps: how they begin and end.
 */
#include "core.h"

/**
 * pym_heap_init() - an empty heap
 * @heap: zeroed memory, with @id, @extent (0 is all of the window), @limit,
 *	@base_bytes, @threshold, @ops and @user set
 * @alignment: 8 or 16
 * @window: bytes of the window, a multiple of the arena's size
 *
 * Context: Sleeps.
 * Return: 0; or -ENOMEM (the limit among the reasons) or -EDQUOT (the user's), and
 *	nothing needs to be destroyed.
 */
int pym_heap_init(struct pym_heap *heap, u32 alignment, u64 window)
{
	u32 number, step = alignment / PYMALLOC_BLOCK_MIN;
	int err;

	heap->alignment = alignment;
	heap->window = window;
	heap->extent = heap->extent ?: window;
	heap->quota.max = &heap->limit;
	heap->purse = heap->user;
	spin_lock_init(&heap->lock);
	/* Also of those that this heap has not: a checker meets any in a broken pool. */
	for (number = 0; number <= PYMALLOC_NR_CLASSES; number++)
		spin_lock_init(&heap->classes[number].lock);
	for (number = step; number <= PYMALLOC_NR_CLASSES; number += step)
		pym_class_init(&heap->classes[number], number * PYMALLOC_BLOCK_MIN);

	init_rwsem(&heap->gate);
	err = pym_meta_charge(heap, heap->base_bytes);
	if (err)
		return err;
	err = pym_arenas_init(heap);
	if (err)
		pym_meta_uncharge(heap, heap->base_bytes);
	return err;
}

static int clone_contents(struct pym_heap *heap, struct pym_heap *child)
{
	u32 number;

	for (number = 1; number <= PYMALLOC_NR_CLASSES; number++)
		pym_class_clone(&heap->classes[number], &child->classes[number]);
	child->runs = heap->runs;
	child->run_pages = heap->run_pages;
	child->nr_run_allocs = heap->nr_run_allocs;
	child->nr_run_frees = heap->nr_run_frees;
	return pym_arenas_clone(heap, child);
}

/**
 * pym_heap_clone() - make a heap a copy of another, with the same pages
 * @heap: the heap; from now on its pages may be joint
 * @child: an empty heap, initialised alike but without a user, that nobody else
 *	knows yet
 *
 * Whoever writes to a page must call pym_page_own() before, in either heap.
 *
 * Context: Sleeps.  Nobody maps pages of @heap, nor can before this has returned.
 * Return: 0 or -ENOMEM; then @child must be destroyed.
 */
int pym_heap_clone(struct pym_heap *heap, struct pym_heap *child)
{
	int err;

	down_write(&heap->gate);
	child->purse = heap->purse;
	child->user = heap->user;
	child->pays_apart = heap->pays_apart;
	child->extent = heap->extent;
	pym_quota_move_meta(NULL, child->user, atomic_long_read(&child->quota.meta));
	child->cloning = true;
	err = clone_contents(heap, child);
	child->cloning = false;
	up_write(&heap->gate);
	return err;
}

/**
 * pym_heap_grow() - let arenas lie in more of the window
 * @heap: the heap
 * @extent: bytes of the window, from its start on, a multiple of the arena's size
 *
 * Context: Sleeps.
 * Return: 0, or -EINVAL if that is less than so far, or more than the window.
 */
int pym_heap_grow(struct pym_heap *heap, u64 extent)
{
	int err = -EINVAL;

	down_read(&heap->gate);
	spin_lock(&heap->lock);
	if (extent >= heap->extent && extent <= heap->window) {
		pym_regions_extend_locked(heap, extent);
		err = 0;
	}
	spin_unlock(&heap->lock);
	up_read(&heap->gate);
	return err;
}

/**
 * pym_heap_destroy() - free all that a heap holds
 * @heap: the heap; nobody uses or maps it any more
 *
 * Context: Sleeps.
 */
void pym_heap_destroy(struct pym_heap *heap)
{
	pym_pages_destroy(heap);
	pym_arenas_destroy(heap);
	pym_meta_uncharge(heap, heap->base_bytes);
}
