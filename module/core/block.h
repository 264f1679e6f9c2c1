/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Blocks: which block a ref names, and in which state that block is.
 */
#ifndef PYM_BLOCK_H
#define PYM_BLOCK_H

#include <linux/bitops.h>

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

/*
 * The block of a pool that is handed out first.
 *
 * If it were the same in all pools, a program that keeps each n-th of its blocks would keep
 * the same slots of many pools, which then could not share a frame.  Multiplied by the
 * golden ratio, numbers that follow each other, or lie at equal distances, come to
 * places that are spread evenly (Knuth, "The Art of Computer Programming", 6.4).  It is
 * computed each time: a pool's record has no room left for it.
 */
static inline unsigned int pym_pool_start(const struct pym_class *class,
					  const struct pym_pool *pool)
{
	u32 hash = (pool->number + class->seed) * class->spread;

	return (u64)hash * class->capacity >> 32;
}

/*
 * When a block is handed out for the first time: how many are before it, from the pool's
 * first block on, round the end.  It is untouched if it is not below the pool's boundary.
 */
static inline unsigned int pym_block_turn(const struct pym_class *class,
					  const struct pym_pool *pool, unsigned int index)
{
	unsigned int start = pym_pool_start(class, pool);

	return index >= start ? index - start : index + class->capacity - start;
}

static inline bool pym_block_is_allocated(const struct pym_pool *pool, unsigned int index)
{
	return !(pool->free[index / 64] & BIT_ULL(index % 64));
}

static inline u32 pym_block_state(const struct pym_class *class, const struct pym_pool *pool,
				  unsigned int index)
{
	if (pym_block_is_allocated(pool, index))
		return PYMALLOC_BLOCK_ALLOCATED;
	return pym_block_turn(class, pool, index) < pool->boundary ? PYMALLOC_BLOCK_FREE :
								     PYMALLOC_BLOCK_UNTOUCHED;
}

#endif /* PYM_BLOCK_H */
