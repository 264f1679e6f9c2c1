/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Objects: allocated, freed and resized in batches.
 */
#ifndef PYM_OBJECT_H
#define PYM_OBJECT_H

#include <linux/bits.h>

#include "types.h"

/* What pym_alloc() is asked for */
#define PYM_ALLOC_ZERO		BIT(0)	/* the objects read as zero */
#define PYM_ALLOC_PINNED	BIT(1)	/* blocks in pools that are never meshed */
#define PYM_ALLOC_TYPE_SHIFT	PYMALLOC_ALLOC_TYPE_SHIFT	/* that of a type's number */

unsigned int pym_alloc(struct pym_heap *heap, u64 size, u32 flags, u64 *refs,
		       unsigned int nr, int *err);
unsigned int pym_free(struct pym_heap *heap, const u64 *refs, u8 *status, unsigned int nr);
unsigned int pym_free_blocks(struct pym_heap *heap, const u64 *refs, u8 *status,
			     unsigned int nr);
unsigned int pym_free_until_bad(struct pym_heap *heap, const u64 *refs, u8 *status,
				unsigned int nr);
u64 pym_usable(struct pym_heap *heap, u64 ref);
int pym_resize(struct pym_heap *heap, u64 *ref, u64 size);

#endif /* PYM_OBJECT_H */
