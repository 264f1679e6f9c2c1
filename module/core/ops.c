// SPDX-License-Identifier: GPL-2.0
/*
 * Calls of the code that maps the heap's window: see struct pym_heap_ops.
 */
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "ops.h"

/**
 * pym_gate_leave() - leave the gate for a while, with the mappings held
 * @heap: the heap
 * @mappings: out: its mappings
 *
 * fork() holds the mappings when it enters the gate.  So an operation that is in the gate
 * must leave it before it holds the mappings, or the two would deadlock.  Meanwhile the
 * heap must be consistent for other tasks: the pools that the operation changes are busy,
 * or its region is fresh.
 *
 * Context: Sleeps.  Holds @heap->gate for reading, and leaves it (but keeps it if the
 *	heap has no window).  Not for a task that may not wait for the gate: it could not
 *	enter it again.
 * Return: 0; or -EINTR (the caller is not the heap's process, and is being killed): then
 *	the gate is held again.
 */
int pym_gate_leave(struct pym_heap *heap, struct pym_mappings *mappings)
{
	int err;

	if (!heap->ops)
		return 0;
	up_read(&heap->gate);
	err = heap->ops->hold(heap, mappings);
	if (err)
		down_read(&heap->gate);
	return err;
}

/**
 * pym_gate_enter() - release the mappings and enter the gate again
 * @heap: the heap
 * @mappings: as pym_gate_leave() has filled it in
 *
 * Context: Sleeps.
 */
void pym_gate_enter(struct pym_heap *heap, struct pym_mappings *mappings)
{
	if (!heap->ops)
		return;
	heap->ops->release(heap, mappings);
	down_read(&heap->gate);
}

/**
 * pym_zap() - take pages out of the mappings
 * @heap: the heap
 * @mappings: its mappings, held
 * @offset: where the pages have been in the window
 * @pages: the pages
 * @nr: how many
 *
 * Context: Sleeps.  The caller has locked none of @pages, or all of them, and then
 *	@pages is NULL.  A page that is not locked and can still be found at @offset may
 *	be mapped again at once.
 */
void pym_zap(struct pym_heap *heap, const struct pym_mappings *mappings, u64 offset,
	     struct page **pages, unsigned int nr)
{
	if (heap->ops)
		heap->ops->zap(heap, mappings, offset, pages, nr);
}

/**
 * pym_mesh_begin() - tell that pages may be shown at more than one place of the window
 * @heap: the heap, which has a window
 *
 * Context: Sleeps.  Holds nothing.
 * Return: 0, or an error as of pym_gate_enter_held().
 */
int pym_mesh_begin(struct pym_heap *heap)
{
	return heap->ops->mesh_begin ? heap->ops->mesh_begin(heap) : 0;
}

static bool gate_lock(struct pym_heap *heap, const struct pym_mappings *mappings)
{
	if (mappings->try_gate)
		return down_read_trylock(&heap->gate);
	down_read(&heap->gate);
	return true;
}

/**
 * pym_gate_enter_held() - hold the mappings, then enter the gate
 * @heap: the heap.  If it has no window, only the gate is entered, and not waited for
 * @mappings: out: its mappings
 *
 * fork() takes both in this order, too.  What is done then need not leave the gate.
 *
 * Context: Sleeps.  Holds nothing.
 * Return: 0; or -EINTR (the caller is not the heap's process, and is being killed) or
 *	-EAGAIN (it may not wait, and would have to): then nothing is held.
 */
int pym_gate_enter_held(struct pym_heap *heap, struct pym_mappings *mappings)
{
	int err;

	if (!heap->ops) {
		*mappings = (struct pym_mappings) { .try_gate = true };
		return gate_lock(heap, mappings) ? 0 : -EAGAIN;
	}
	err = heap->ops->hold(heap, mappings);
	if (err || gate_lock(heap, mappings))
		return err;
	heap->ops->release(heap, mappings);
	return -EAGAIN;
}

/**
 * pym_gate_is_wanted() - does anybody wait for the gate, or for the mappings?
 * @heap: the heap
 * @mappings: its mappings, held
 *
 * Context: Between pym_gate_enter_held() and pym_gate_leave_held().
 * Return: true if so, or if the caller is being killed: then it should end soon.
 */
bool pym_gate_is_wanted(struct pym_heap *heap, const struct pym_mappings *mappings)
{
	return rwsem_is_contended(&heap->gate) || fatal_signal_pending(current) ||
	       (heap->ops && heap->ops->wanted && heap->ops->wanted(heap, mappings));
}

/**
 * pym_gate_leave_held() - the reverse of pym_gate_enter_held()
 * @heap: the heap
 * @mappings: as that has filled it in
 *
 * Context: Sleeps.
 */
void pym_gate_leave_held(struct pym_heap *heap, struct pym_mappings *mappings)
{
	up_read(&heap->gate);
	if (heap->ops)
		heap->ops->release(heap, mappings);
}

/**
 * pym_map_grown() - take zeroes out of the mappings that stand for a page of the pool map
 * @heap: the heap
 * @number: which page; pym_pool_map_page() finds it already
 *
 * Context: Sleeps.  Holds @heap->gate for reading, and leaves it for a while.  The
 *	caller is the heap's process: for that, holding the mappings never fails.
 */
void pym_map_grown(struct pym_heap *heap, unsigned long number)
{
	struct pym_mappings mappings;

	if (!heap->ops || pym_gate_leave(heap, &mappings))
		return;
	heap->ops->map_grown(heap, &mappings, number);
	pym_gate_enter(heap, &mappings);
}

/**
 * pym_threshold_passed() - tell that the heap's pages have passed its threshold
 * @heap: the heap
 *
 * Context: Any.
 */
void pym_threshold_passed(struct pym_heap *heap)
{
	if (heap->ops)
		heap->ops->threshold_passed(heap);
}

/**
 * pym_reclaim() - the heap has met a limit: have what can be given back given back
 * @heap: the heap, of which the caller has nothing busy
 *
 * Context: Sleeps.  Holds @heap->gate for reading, and leaves it for a while.
 * Return: true if it is worth trying again.
 */
bool pym_reclaim(struct pym_heap *heap)
{
	bool again;

	if (!heap->ops || !heap->ops->reclaim)
		return false;
	up_read(&heap->gate);
	again = heap->ops->reclaim(heap);
	down_read(&heap->gate);
	return again;
}

/**
 * pym_pause() - let others run between two pieces of a long inspection
 * @heap: the heap
 *
 * Context: Sleeps.  Holds nothing.
 * Return: 0, or a negative error if the inspection must end.
 */
int pym_pause(struct pym_heap *heap)
{
	cond_resched();
	return heap->ops && heap->ops->pause ? heap->ops->pause(heap) : 0;
}
