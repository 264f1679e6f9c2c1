// SPDX-License-Identifier: GPL-2.0
/*
 * Trim: give the pages of empty pools back to the system.
 *
 * A heap keeps some of these pages, because the next batch may need them: PYM_EMPTY_MIN
 * and an eighth of its pages, so that at most about that share of its memory is unused.
 * When it has more, it is trimmed down to half of that.  Then each trim gives back enough
 * to be worth its cost, which is mostly the TLB flush of an arena, and a program that
 * allocates and frees in turn at the limit does not trim each time.
 *
 * Pools that stay empty go earlier: see pym_trim_idle().
 */
#include <linux/sched.h>

#include "arena.h"
#include "mesh.h"
#include "ops.h"
#include "page.h"
#include "tenant.h"
#include "trim.h"

/**
 * pym_trim_gated() - give pages of empty pools back
 * @heap: the heap
 * @keep: stop when no more than so many empty pools are left
 *
 * Context: Sleeps.  Holds @heap->gate for reading, and leaves it for a while.
 * Return: how many pages went.
 */
u64 pym_trim_gated(struct pym_heap *heap, u64 keep)
{
	struct pym_span span;
	u64 nr = 0;
	int dropped;

	if (!keep) {
		pym_tenant_flush(heap);
		pym_faces_reclaim_gated(heap);
	}
	while (READ_ONCE(heap->nr_empty) > keep) {
		span = pym_empty_reserve(heap);
		if (!span.arena)
			break;
		pym_pages_set_leaving(heap, span, true);
		dropped = pym_pages_drop(heap, span);
		pym_pools_release(heap, span);
		if (dropped < 0)
			break;
		nr += dropped;
		cond_resched();
	}
	return nr;
}

/* So many pools may be empty without a trim. */
static u64 most_empty(const struct pym_heap *heap)
{
	return PYM_EMPTY_MIN + READ_ONCE(heap->pages) / 8;
}

/**
 * pym_trim_excess() - give pages back when too many pools are empty
 * @heap: the heap
 *
 * Context: Sleeps.  Holds @heap->gate for reading, and leaves it for a while.
 */
void pym_trim_excess(struct pym_heap *heap)
{
	u64 max = most_empty(heap);

	if (READ_ONCE(heap->nr_empty) > max)
		pym_trim_gated(heap, max / 2);
}

/**
 * pym_trim_held() - give pages of empty pools back for another task that needs memory
 * @heap: the heap
 * @mappings: its mappings, held
 * @nr: how many pages are wanted; more may go
 *
 * Context: Waits for nothing but spinlocks.  Holds @heap->gate for reading.
 * Return: how many pages went.
 */
u64 pym_trim_held(struct pym_heap *heap, const struct pym_mappings *mappings, u64 nr)
{
	struct pym_span span;
	unsigned int dropped;
	u64 done = 0;

	while (done < nr) {
		span = pym_empty_reserve(heap);
		if (!span.arena)
			break;
		dropped = pym_pages_drop_held(heap, mappings, span);
		pym_pools_release(heap, span);
		if (!dropped)
			break;
		done += dropped;
	}
	return done;
}

/*
 * The mappings and the gate are held together, and for one arena at a time: so a task that
 * may not wait never has to enter the gate again.
 */
static u64 trim_down_to(struct pym_heap *heap, u64 keep)
{
	struct pym_mappings mappings;
	u64 nr = 0, dropped;

	while (READ_ONCE(heap->nr_empty) > keep && !pym_gate_enter_held(heap, &mappings)) {
		dropped = pym_trim_held(heap, &mappings, 1);
		pym_gate_leave_held(heap, &mappings);
		if (!dropped)
			break;
		nr += dropped;
		cond_resched();
	}
	return nr;
}

/**
 * pym_trim_surplus() - pym_trim_excess() for a caller outside of the gate
 * @heap: the heap
 *
 * Context: Sleeps.  Holds nothing.  May be a task that may not wait for the gate.
 */
void pym_trim_surplus(struct pym_heap *heap)
{
	u64 max = most_empty(heap);

	if (READ_ONCE(heap->nr_empty) > max)
		trim_down_to(heap, max / 2);
}

/**
 * pym_trim_round() - pym_trim() for a task that may not wait for the gate
 * @heap: the heap
 *
 * When the gate is closed, it ends.  It passes over pools whose page is locked.
 *
 * Context: Sleeps.  Holds nothing.
 * Return: how many pages went.
 */
u64 pym_trim_round(struct pym_heap *heap)
{
	pym_faces_reclaim(heap);
	return trim_down_to(heap, 0);
}

/* As many empty pools have not been in use since the last call.  Begins anew to count. */
static u64 trim_count_idle(struct pym_heap *heap, u64 *empty)
{
	u64 idle;

	spin_lock(&heap->lock);
	idle = heap->least_empty;
	*empty = heap->nr_empty;
	heap->least_empty = *empty;
	spin_unlock(&heap->lock);
	return idle;
}

/**
 * pym_trim_idle() - give back pages of pools that have been empty since the last call
 * @heap: the heap
 * @keep: how many pools may stay empty for good
 *
 * The heap has had at least so many empty pools all the time: it does not need them.
 *
 * Context: Sleeps.  Holds nothing.  May be a task that may not wait for the gate.
 * Return: how many pages went.
 */
u64 pym_trim_idle(struct pym_heap *heap, u64 keep)
{
	u64 empty, idle;

	pym_faces_reclaim(heap);
	idle = trim_count_idle(heap, &empty);
	return trim_down_to(heap, max(keep, empty - idle));
}

/**
 * pym_trim() - give the pages of all empty pools back
 * @heap: the heap
 *
 * Context: Sleeps.
 * Return: how many bytes went.
 */
u64 pym_trim(struct pym_heap *heap)
{
	u64 nr;

	down_read(&heap->gate);
	nr = pym_trim_gated(heap, 0);
	up_read(&heap->gate);
	return nr << PYM_POOL_SHIFT;
}
