// SPDX-License-Identifier: GPL-2.0
/*
 * What the core asks of whoever shows the heap.
 */
#include <linux/sched.h>

#include "ops.h"

/**
 * pym_gate_leave() - leave the gate for a while, with the mappings held
 * @heap: the heap
 * @view: out: its mappings
 *
 * fork() holds the mappings and wants the gate.  So an operation that is in the gate
 * must leave it before it holds the mappings.  Others find the heap in order
 * meanwhile: what the operation is about is busy, or fresh.
 *
 * Context: Sleeps.  Holds @heap->gate for reading, and leaves it (but stays in that
 *	of a heap without a window).
 * Return: 0; or -EINTR (the caller is not the heap's process, and is being killed),
 *	and the gate has been entered again.
 */
int pym_gate_leave(struct pym_heap *heap, struct pym_view *view)
{
	int err;

	if (!heap->ops)
		return 0;
	up_read(&heap->gate);
	err = heap->ops->hold(heap, view);
	if (err)
		down_read(&heap->gate);
	return err;
}

/**
 * pym_gate_enter() - the reverse of pym_gate_leave()
 * @heap: the heap
 * @view: what that has filled in
 *
 * Context: Sleeps.
 */
void pym_gate_enter(struct pym_heap *heap, struct pym_view *view)
{
	if (!heap->ops)
		return;
	heap->ops->release(heap, view);
	down_read(&heap->gate);
}

/**
 * pym_zap() - take pages out of the mappings
 * @heap: the heap
 * @view: its mappings, held
 * @offset: where in the window the pages were found so far
 * @pages: the pages
 * @nr: how many
 *
 * Context: Sleeps.  The pages can no longer be found at @offset, or are locked by
 *	nobody and may be mapped again at once.
 */
void pym_zap(struct pym_heap *heap, const struct pym_view *view, u64 offset,
	     struct page **pages, unsigned int nr)
{
	if (heap->ops)
		heap->ops->zap(heap, view, offset, pages, nr);
}

/**
 * pym_map_grown() - have a new page of the pool map seen by everybody
 * @heap: the heap
 * @number: which one; it can be found already
 *
 * Context: Sleeps.  Holds @heap->gate for reading, and leaves it for a while.  In
 *	the heap's process, which always gets its mappings held.
 */
void pym_map_grown(struct pym_heap *heap, unsigned long number)
{
	struct pym_view view;

	if (!heap->ops || pym_gate_leave(heap, &view))
		return;
	heap->ops->map_grown(heap, &view, number);
	pym_gate_enter(heap, &view);
}

/**
 * pym_grown() - tell that the heap's pages have passed its threshold
 * @heap: the heap
 *
 * Context: Any.
 */
void pym_grown(struct pym_heap *heap)
{
	if (heap->ops)
		heap->ops->grown(heap);
}

/**
 * pym_pause() - between two pieces of a look at a heap
 * @heap: the heap
 *
 * Context: Sleeps.  Holds nothing.
 * Return: 0, or a negative error if the look is to end.
 */
int pym_pause(struct pym_heap *heap)
{
	cond_resched();
	return heap->ops && heap->ops->pause ? heap->ops->pause(heap) : 0;
}
