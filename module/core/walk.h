/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Walks: describe a heap piece by piece.
 */
#ifndef PYM_WALK_H
#define PYM_WALK_H

#include "types.h"

/**
 * struct pym_arena_info - one arena
 * @offset: where it is in the window
 * @kind: an enum pymalloc_arena_kind
 * @pools_none: pools, or pages of an arena of runs, without a page
 * @pools_empty: pools without a block that have kept their page
 * @pools_used: pools of which some blocks are allocated and some are not
 * @pools_full: pools all of whose blocks are allocated; pages of runs
 * @blocks: objects allocated
 */
struct pym_arena_info {
	u64 offset;
	u32 kind;
	u32 pools_none;
	u32 pools_empty;
	u32 pools_used;
	u32 pools_full;
	u32 blocks;
};

/**
 * struct pym_pool_info - one pool
 * @offset: where it is in the window
 * @state: an enum pymalloc_pool_state
 * @size: bytes of a block; of the run, if it starts here; else 0
 * @allocated: blocks that are allocated
 * @free: blocks that are free
 * @untouched: blocks that are untouched
 * @meshed: its page is that of other pools, too
 */
struct pym_pool_info {
	u64 offset;
	u32 state;
	u32 size;
	u32 allocated;
	u32 free;
	u32 untouched;
	bool meshed;
};

/**
 * struct pym_block_info - one block or large object
 * @ref: where it is in the window
 * @size: its bytes
 * @state: an enum pymalloc_block_state
 * @site: left to the caller
 * @idle: the same
 * @cached: it lies in a magazine; only from pym_walk_live()
 */
struct pym_block_info {
	u64 ref;
	u32 size;
	u32 state;
	u32 site;
	u32 idle;
	bool cached;
};

bool pym_walk_arena(struct pym_heap *heap, u64 *at, u64 end,
		    struct pym_arena_info *info);
bool pym_walk_pool(struct pym_heap *heap, u64 *at, u64 end,
		   struct pym_pool_info *info);
unsigned int pym_walk_blocks(struct pym_heap *heap, u64 *at, u64 end,
			     struct pym_block_info *info, unsigned int room);
unsigned int pym_walk_live(struct pym_heap *heap, u64 *at, u64 end, u64 mark,
			   struct pym_block_info *info, unsigned int room);

#endif /* PYM_WALK_H */
