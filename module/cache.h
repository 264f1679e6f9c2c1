/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Caches: the magazines of threads.
 */
#ifndef PYM_CACHE_H
#define PYM_CACHE_H

#include <linux/types.h>

struct pym_service_heap;

u64 pym_caches_steal(struct pym_service_heap *sheap, bool all);
bool pym_caches_pending(struct pym_service_heap *sheap);

#endif /* PYM_CACHE_H */
