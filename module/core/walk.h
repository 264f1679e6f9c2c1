/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Walks: a heap piece by piece.
 */
#ifndef PYM_WALK_H
#define PYM_WALK_H

#include "types.h"

bool pym_walk_arena(struct pym_heap *heap, u64 *at, u64 end,
		    struct pymalloc_arena_info *info);
bool pym_walk_pool(struct pym_heap *heap, u64 *at, u64 end,
		   struct pymalloc_pool_info *info);
unsigned int pym_walk_blocks(struct pym_heap *heap, u64 *at, u64 end,
			     struct pymalloc_block_info *info, unsigned int room);

#endif /* PYM_WALK_H */
