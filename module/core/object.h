/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Objects: allocated, freed and resized in batches.
 */
#ifndef PYM_OBJECT_H
#define PYM_OBJECT_H

#include "types.h"

unsigned int pym_alloc(struct pym_heap *heap, u64 size, bool zero, u64 *refs,
		       unsigned int nr, int *err);
unsigned int pym_free(struct pym_heap *heap, const u64 *refs, u8 *status, unsigned int nr);
unsigned int pym_free_blocks(struct pym_heap *heap, const u64 *refs, u8 *status,
			     unsigned int nr);
unsigned int pym_free_until_bad(struct pym_heap *heap, const u64 *refs, u8 *status,
				unsigned int nr);
u64 pym_usable(struct pym_heap *heap, u64 ref);
int pym_resize(struct pym_heap *heap, u64 *ref, u64 size);

#endif /* PYM_OBJECT_H */
