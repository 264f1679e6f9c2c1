// SPDX-License-Identifier: GPL-2.0
/*
 * Trim: empty pools give their pages back.
 *
 * A heap keeps a stock of them, because the next batch may want them: a fixed
 * number and an eighth of its pages.  What is above goes at once, in runs as
 * long as the arenas have them.
 */
#include <linux/sched.h>

#include "arena.h"
#include "page.h"
#include "trim.h"

/**
 * pym_trim_gated() - give pages of empty pools back
 * @heap: the heap
 * @keep: stop when no more than these are left
 *
 * Context: Sleeps.  Holds @heap->gate for reading, and leaves it for a while.
 * Return: how many pages went.
 */
u64 pym_trim_gated(struct pym_heap *heap, u64 keep)
{
	struct pym_arena *arena;
	u64 nr = 0, bits;
	int dropped;

	while (READ_ONCE(heap->nr_cached) > keep) {
		arena = pym_cached_reserve(heap, &bits);
		if (!arena)
			break;
		dropped = pym_pages_drop(heap, arena, bits);
		pym_arena_free(heap, arena, bits);
		if (dropped < 0)
			break;
		nr += dropped;
		cond_resched();
	}
	return nr;
}

/**
 * pym_trim_excess() - give back what is above the stock
 * @heap: the heap
 *
 * Context: Sleeps.  Holds @heap->gate for reading, and leaves it for a while.
 */
void pym_trim_excess(struct pym_heap *heap)
{
	u64 stock = PYM_STOCK_MIN + READ_ONCE(heap->pages) / 8;

	if (READ_ONCE(heap->nr_cached) > stock)
		pym_trim_gated(heap, stock / 2);
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
