/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Settling: the end of what fork() has begun.  See settle.c.
 */
#ifndef PYM_SETTLE_H
#define PYM_SETTLE_H

#include "service_heap.h"

void pym_settle_protect(struct pym_client *client);
void pym_settle_later(struct pym_service_heap *sheap);
void pym_settle_slow(struct pym_service_heap *sheap);
int pym_settle_mesh_begin(struct pym_heap *heap);

/**
 * pym_settle() - let a heap's windows be as before fork(), if they can
 * @sheap: the caller's heap, which is about to allocate
 *
 * Context: Sleeps.  May take the mmap_lock for writing.
 */
static inline void pym_settle(struct pym_service_heap *sheap)
{
	if (unlikely(READ_ONCE(sheap->client.protected)))
		pym_settle_slow(sheap);
}

#endif /* PYM_SETTLE_H */
