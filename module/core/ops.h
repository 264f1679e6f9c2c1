/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the core asks of whoever shows the heap.
 */
#ifndef PYM_OPS_H
#define PYM_OPS_H

#include "types.h"

int pym_gate_leave(struct pym_heap *heap, struct pym_view *view);
void pym_gate_enter(struct pym_heap *heap, struct pym_view *view);
void pym_pages_zap(struct pym_heap *heap, u64 offset, u64 bytes);
int pym_pause(struct pym_heap *heap);

#endif /* PYM_OPS_H */
