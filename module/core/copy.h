/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Contents: the kernel itself clears and copies bytes of a heap's pages.
 */
#ifndef PYM_COPY_H
#define PYM_COPY_H

#include "types.h"

int pym_pages_zero(struct pym_heap *heap, u64 offset, u64 bytes);
int pym_pages_copy(struct pym_heap *heap, u64 to, u64 from, u64 bytes);

#endif /* PYM_COPY_H */
