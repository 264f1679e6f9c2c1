/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Heaps: how they begin, change and end.
 */
#ifndef PYM_HEAP_H
#define PYM_HEAP_H

#include "types.h"

int pym_heap_init(struct pym_heap *heap, u32 alignment, u64 window);
int pym_heap_grow(struct pym_heap *heap, u64 extent);
void pym_heap_change_user(struct pym_heap *heap, struct pym_quota *user);
int pym_heap_add_meta(struct pym_heap *heap, unsigned long bytes);
int pym_heap_try_add_meta(struct pym_heap *heap, unsigned long bytes);
void pym_heap_remove_meta(struct pym_heap *heap, unsigned long bytes);
void pym_heap_destroy(struct pym_heap *heap);

#endif /* PYM_HEAP_H */
