// SPDX-License-Identifier: GPL-2.0
/*
 * What the core asks of whoever shows the heap.
 */
#include <linux/sched.h>

#include "ops.h"

/*
 * fork() holds the mappings and wants the gate; so who is in the gate leaves it
 * to hold the mappings, and everybody finds the heap in order meanwhile.
 */
int pym_gate_leave(struct pym_heap *heap, struct pym_view *view)
{
	int err;

	up_read(&heap->gate);
	err = heap->ops->hold(heap, view);
	if (err)
		down_read(&heap->gate);
	return err;
}

void pym_gate_enter(struct pym_heap *heap, struct pym_view *view)
{
	heap->ops->release(heap, view);
	down_read(&heap->gate);
}

/**
 * pym_pages_zap() - take a part of what is mapped out of the mappings
 * @heap: the heap
 * @offset: where in the descriptor it is
 * @bytes: how many
 *
 * Context: Sleeps.  Holds @heap->gate for reading, and leaves it for a while.  In
 *	the heap's process, which always gets its mappings held.
 */
void pym_pages_zap(struct pym_heap *heap, u64 offset, u64 bytes)
{
	struct pym_view view;

	if (pym_gate_leave(heap, &view))
		return;
	heap->ops->zap(heap, &view, offset, bytes);
	pym_gate_enter(heap, &view);
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
	return heap->ops->pause ? heap->ops->pause(heap) : 0;
}
