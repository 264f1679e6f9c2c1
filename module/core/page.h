/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Pages: how pools get their pages and give them back.
 */
#ifndef PYM_PAGE_H
#define PYM_PAGE_H

#include "types.h"

u64 pym_pages_fill(struct pym_heap *heap, struct pym_span span, unsigned int order,
		   int *err);
void pym_pages_set_leaving(struct pym_heap *heap, struct pym_span span, bool leaving);
void pym_pools_forget(struct pym_heap *heap, struct pym_span span);
unsigned int pym_pages_drop_held(struct pym_heap *heap, const struct pym_mappings *mappings,
				 struct pym_span span);
int pym_pages_drop(struct pym_heap *heap, struct pym_span span);
void pym_pages_destroy(struct pym_heap *heap);
void pym_pages_bury(struct pym_heap *heap);

#endif /* PYM_PAGE_H */
