/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the core asks of a heap's tenant, if it has one: see struct pym_tenant_ops.
 */
#ifndef PYM_TENANT_H
#define PYM_TENANT_H

#include <linux/sched/signal.h>

#include "types.h"

/* Is the caller to end what it does for a heap?  A tenant's callers rely on an answer. */
static inline bool pym_is_killed(const struct pym_heap *heap)
{
	return !heap->tenant && fatal_signal_pending(current);
}

static inline void pym_tenant_begin(struct pym_heap *heap)
{
	if (heap->tenant)
		heap->tenant->begin(heap);
}

static inline void pym_tenant_page_goes(const struct pym_heap *heap, struct page *page)
{
	if (heap->tenant)
		heap->tenant->page_goes(page);
}

static inline void pym_tenant_flush(struct pym_heap *heap)
{
	if (heap->tenant)
		heap->tenant->flush(heap);
}

static inline void pym_tenant_end(struct pym_heap *heap)
{
	if (heap->tenant)
		heap->tenant->end(heap);
}

#endif /* PYM_TENANT_H */
