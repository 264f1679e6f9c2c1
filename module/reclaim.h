/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Reclaim: how a heap gives memory back, on request and by itself.
 */
#ifndef PYM_RECLAIM_H
#define PYM_RECLAIM_H

#include <linux/types.h>

struct pym_heap;
struct pym_service_heap;
struct pymalloc_compact;

int pym_reclaim_compact(struct pym_service_heap *sheap, u32 what,
			struct pymalloc_compact *done);
bool pym_reclaim_at_limit(struct pym_heap *heap);
u64 pym_reclaim_gain(struct pym_service_heap *sheap);
u64 pym_reclaim_urgent_pages(void);
void pym_reclaim_round(struct pym_service_heap *sheap, bool urgent);

#endif /* PYM_RECLAIM_H */
