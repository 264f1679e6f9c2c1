/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What fork() makes of a heap.
 */
#ifndef PYM_FORK_H
#define PYM_FORK_H

struct pym_service_heap;
struct vm_area_struct;

void pym_fork_inherit(struct vm_area_struct *vma);
void pym_fork_settle(struct pym_service_heap *sheap);

#endif /* PYM_FORK_H */
