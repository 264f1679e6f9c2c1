// SPDX-License-Identifier: GPL-2.0
/*
 * Blocks: which block a ref names, and in which state that block is.
 */
#include "block.h"

/**
 * pym_pool_find_block() - say whether a ref names an allocated block
 * @class: the pool's class
 * @pool: the pool that the ref points into
 * @ref: the ref
 *
 * Context: Holds @class->lock.
 * Return: PYMALLOC_REF_OK if it is an allocated block, else what is wrong.
 */
enum pymalloc_ref_status pym_pool_find_block(const struct pym_class *class,
					     const struct pym_pool *pool, u64 ref)
{
	u64 position = pym_block_position(class->inverse, ref & (PYMALLOC_POOL_SIZE - 1));
	unsigned int index = position >> 32;

	lockdep_assert_held(&class->lock);

	if ((u32)position >= class->inverse || index >= class->capacity)
		return PYMALLOC_REF_MISALIGNED;
	switch (pym_block_state(class, pool, index)) {
	case PYMALLOC_BLOCK_UNTOUCHED:
		return PYMALLOC_REF_UNTOUCHED;
	case PYMALLOC_BLOCK_FREE:
		return PYMALLOC_REF_FREE;
	default:
		return PYMALLOC_REF_OK;
	}
}
