/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Blocks: which block a ref names, and in which state that block is.
 */
#ifndef PYM_BLOCK_H
#define PYM_BLOCK_H

#include "types.h"

enum pymalloc_ref_status pym_pool_find_block(const struct pym_class *class,
					     const struct pym_pool *pool, u64 ref);

/*
 * Divide an offset in a pool by the block size, without a division.  The result is a
 * 32.32 fixed-point number.  Its integer part is the index of the block.  Its fraction
 * is less than the class's inverse exactly if the offset is the start of a block (Lemire,
 * Kaser and Kurz, "Faster remainder by direct computation", 2019).
 */
static inline u64 pym_block_position(u32 inverse, u64 offset)
{
	return offset * inverse;
}

static inline u32 pym_block_state(const struct pym_pool *pool, unsigned int index)
{
	if (!(pool->free[index / 64] & BIT_ULL(index % 64)))
		return PYMALLOC_BLOCK_ALLOCATED;
	return index < pool->boundary ? PYMALLOC_BLOCK_FREE : PYMALLOC_BLOCK_UNTOUCHED;
}

#endif /* PYM_BLOCK_H */
