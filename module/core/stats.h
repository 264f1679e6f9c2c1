/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A heap's figures.
 */
#ifndef PYM_STATS_H
#define PYM_STATS_H

#include "types.h"

void pym_class_stats(struct pym_heap *heap, u32 number, struct pymalloc_class_stats *stats);
void pym_heap_stats(struct pym_heap *heap, struct pymalloc_stats *stats);
int pym_pages_shared(struct pym_heap *heap, u64 *shared_bytes, u64 *pss_bytes);

#endif /* PYM_STATS_H */
