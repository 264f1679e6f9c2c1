/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Stand-ins for the functions that hold and change the mappings of a heap: in user space
 * there are none.
 */
#ifndef MAPPINGS_H
#define MAPPINGS_H

#include "core.h"

/* Not under the gate: fork() holds the mappings and then waits for the gate. */
static inline int mappings_hold(struct pym_heap *heap, struct pym_mappings *mappings)
{
	MUST(!current->gates, "the mappings are held under the gate");
	memset(mappings, 0, sizeof(*mappings));
	mappings->space = heap;
	cond_resched();
	return 0;
}

static inline void mappings_release(struct pym_heap *heap, struct pym_mappings *mappings)
{
	MUST(mappings->space == heap, "mappings are released that are not held");
	cond_resched();
}

/* Wait for faults that have found a page before: they lock it until it is mapped. */
static inline void mappings_zap(struct pym_heap *heap, const struct pym_mappings *mappings,
				u64 offset, struct page **pages, unsigned int nr)
{
	(void)offset;
	MUST(mappings->space == heap, "mappings change that are not held");
	MUST(nr, "no pages are taken away");
	/* The caller has locked them itself. */
	if (!pages)
		return;
	while (nr--)
		wait_on_page_locked(*pages++);
}

static inline void mappings_map_grown(struct pym_heap *heap, const struct pym_mappings *mappings,
				      unsigned long number)
{
	struct page *page = pym_pool_map_page(heap, number);

	MUST(mappings->space == heap, "mappings change that are not held");
	MUST(page, "a page of the pool map cannot be found");
	put_page(page);
}

/* What a fault does to a page that it writes to.  Returns 0 or an error. */
static inline int mappings_own(struct pym_heap *heap, u64 offset)
{
	struct pym_mappings mappings;
	struct page *fresh;
	int err;

	mappings_hold(heap, &mappings);
	err = pym_page_own(heap, offset, &mappings, &fresh);
	if (fresh)
		pym_frame_done(fresh);
	mappings_release(heap, &mappings);
	return err;
}

/* The only heap, of a user without a limit. */
static inline void mappings_heap_init(struct pym_heap *heap, struct pym_quota *user,
				      const struct pym_heap_ops *ops, u64 window)
{
	static const unsigned long no_limit;

	MUST(!pym_arena_cache_init(), "no cache");
	memset(heap, 0, sizeof(*heap));
	user->max = &no_limit;
	heap->ops = ops;
	heap->user = user;
	heap->purse = user;
	MUST(!pym_heap_init(heap, 8, window), "no heap");
}

#endif /* MAPPINGS_H */
