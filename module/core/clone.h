/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Clones: the heap that fork() gives a child.
 */
#ifndef PYM_CLONE_H
#define PYM_CLONE_H

#include "types.h"

int pym_heap_clone(struct pym_heap *heap, struct pym_heap *child);

#endif /* PYM_CLONE_H */
