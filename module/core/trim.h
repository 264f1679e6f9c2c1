/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Trim: give the pages of empty pools back to the system.
 */
#ifndef PYM_TRIM_H
#define PYM_TRIM_H

#include "types.h"

u64 pym_trim(struct pym_heap *heap);
u64 pym_trim_gated(struct pym_heap *heap, u64 keep);
u64 pym_trim_held(struct pym_heap *heap, const struct pym_mappings *mappings, u64 nr);
u64 pym_trim_idle(struct pym_heap *heap, u64 keep);
u64 pym_trim_round(struct pym_heap *heap);
void pym_trim_excess(struct pym_heap *heap);
void pym_trim_surplus(struct pym_heap *heap);

#endif /* PYM_TRIM_H */
