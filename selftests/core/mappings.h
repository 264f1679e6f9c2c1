/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The mappings of a heap, where there are none.
 */
#ifndef MAPPINGS_H
#define MAPPINGS_H

#include "core.h"

/* fork() would hold them and wait for the gate. */
static inline int mappings_hold(struct pym_heap *heap, struct pym_view *view)
{
	MUST(!current->gates, "the mappings are held under the gate");
	memset(view, 0, sizeof(*view));
	view->space = heap;
	cond_resched();
	return 0;
}

static inline void mappings_release(struct pym_heap *heap, struct pym_view *view)
{
	MUST(view->space == heap, "mappings are released that are not held");
	cond_resched();
}

static inline void mappings_zap(struct pym_heap *heap, const struct pym_view *view, u64 offset,
				u64 bytes)
{
	(void)offset;
	MUST(view->space == heap, "mappings change that are not held");
	MUST(bytes, "no pages are taken away");
}

/* What a fault does to a page that it writes to.  Returns 0 or an error. */
static inline int mappings_own(struct pym_heap *heap, u64 offset)
{
	struct pym_view view;
	struct page *fresh;
	int err;

	mappings_hold(heap, &view);
	err = pym_page_own(heap, offset, &view, &fresh);
	if (fresh) {
		unlock_page(fresh);
		put_page(fresh);
	}
	mappings_release(heap, &view);
	return err;
}

#endif /* MAPPINGS_H */
