/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What fork() makes of a heap.
 */
#ifndef PYM_FORK_H
#define PYM_FORK_H

#include "service_heap.h"

struct vm_area_struct;

void pym_fork_inherit(struct vm_area_struct *vma);
void pym_fork_settle_slow(struct pym_service_heap *sheap);

/**
 * pym_fork_settle() - let a heap's windows be as before fork(), if they can
 * @sheap: the caller's heap, which is about to allocate
 *
 * Context: Sleeps.  May take the mmap_lock for writing.
 */
static inline void pym_fork_settle(struct pym_service_heap *sheap)
{
	if (unlikely(READ_ONCE(sheap->client.protected)))
		pym_fork_settle_slow(sheap);
}

#endif /* PYM_FORK_H */
