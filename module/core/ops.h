/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Calls of the code that maps the heap's window: see struct pym_heap_ops.  A heap
 * without operations has no window.  Nobody maps it, and these functions do nothing.
 */
#ifndef PYM_OPS_H
#define PYM_OPS_H

#include "types.h"

int pym_gate_leave(struct pym_heap *heap, struct pym_mappings *mappings);
void pym_gate_enter(struct pym_heap *heap, struct pym_mappings *mappings);
void pym_zap(struct pym_heap *heap, const struct pym_mappings *mappings, u64 offset,
	     struct page **pages, unsigned int nr);
int pym_mesh_begin(struct pym_heap *heap);
int pym_gate_enter_held(struct pym_heap *heap, struct pym_mappings *mappings);
bool pym_gate_is_wanted(struct pym_heap *heap, const struct pym_mappings *mappings);
void pym_gate_leave_held(struct pym_heap *heap, struct pym_mappings *mappings);
void pym_map_grown(struct pym_heap *heap, unsigned long number);
void pym_threshold_passed(struct pym_heap *heap);
bool pym_reclaim(struct pym_heap *heap);
int pym_pause(struct pym_heap *heap);

/* A page is about to leave the heap, and nobody maps it any more. */
static inline void pym_page_goes(const struct pym_heap *heap, struct page *page)
{
	if (heap->ops && heap->ops->page_goes)
		heap->ops->page_goes(page);
}

#endif /* PYM_OPS_H */
