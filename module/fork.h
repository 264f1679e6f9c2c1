/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What fork() makes of a heap.
 */
#ifndef PYM_FORK_H
#define PYM_FORK_H

struct vm_area_struct;

void pym_fork_inherit(struct vm_area_struct *vma);

#endif /* PYM_FORK_H */
