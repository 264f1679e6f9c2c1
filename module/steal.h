/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Blocks in the caches of threads are taken back without the threads' help.
 */
#ifndef PYM_STEAL_H
#define PYM_STEAL_H

#include <linux/types.h>

struct pym_cache;
struct pym_heap;
struct pym_service_heap;

u64 pym_caches_steal(struct pym_service_heap *sheap, bool all);
bool pym_caches_pending(struct pym_service_heap *sheap);
void pym_steal_everything(struct pym_heap *heap, const struct pym_cache *cache);
void pym_steal_at_end(struct pym_service_heap *sheap);
int pym_steal_in_fork(struct pym_service_heap *sheap, struct pym_service_heap *child);

#endif /* PYM_STEAL_H */
