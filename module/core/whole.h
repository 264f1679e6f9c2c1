/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Whole pools: see whole.c.
 */
#ifndef PYM_WHOLE_H
#define PYM_WHOLE_H

#include "types.h"

struct pym_pool *pym_whole_take(struct pym_heap *heap, u32 number, int *err);
struct pym_pool *pym_whole_make(struct pym_heap *heap, u32 number, gfp_t gfp,
				unsigned int nr);
void pym_whole_discard(struct pym_pool *pool);
int pym_whole_adopt(struct pym_heap *heap, struct pym_pool *pool);
void pym_whole_give_gated(struct pym_heap *heap, struct list_head *pools);
bool pym_whole_has_place(const struct pym_pool *pool);

#endif /* PYM_WHOLE_H */
