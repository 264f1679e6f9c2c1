/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Repacking: see repack.c.
 */
#ifndef PYM_REPACK_H
#define PYM_REPACK_H

#include "types.h"

void pym_repack(struct pym_heap *heap);

#endif /* PYM_REPACK_H */
