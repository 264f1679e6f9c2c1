// SPDX-License-Identifier: GPL-2.0
/*
 * Walks: describe a heap piece by piece, for callers that inspect it from outside.
 *
 * Each pool is described under the lock that protects it, so that its figures belong to
 * one moment.  Between two pools the heap may change.
 */
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/string.h>

#include "arena.h"
#include "block.h"
#include "face.h"
#include "pool.h"
#include "walk.h"

/* The place in its arena that an offset lies in. */
static unsigned int walk_index(u64 at)
{
	return (at >> PYM_POOL_SHIFT) % PYMALLOC_ARENA_POOLS;
}

static u32 state_without_class(const struct pym_pool *pool)
{
	if (pool->class == PYM_CLASS_RUN)
		return PYMALLOC_POOL_RUN;
	if (pool->class == PYM_CLASS_TAIL)
		return PYMALLOC_POOL_TAIL;
	return PYMALLOC_POOL_EMPTY;
}

/* How many blocks of a pool's frame are allocated. */
static unsigned int walk_count_blocks(const struct pym_heap *heap, const struct pym_class *class,
				      const struct pym_pool *pool)
{
	if (heap->tenant)
		return class->capacity - bitmap_weight(pool->free, class->capacity);
	return pym_frame_blocks(pool);
}

static void walk_copy_pool_of_blocks(const struct pym_heap *heap, const struct pym_class *class,
				     const struct pym_pool *pool,
				     struct pym_pool_info *info)
{
	unsigned int blocks = walk_count_blocks(heap, class, pool);

	info->state = blocks == class->capacity ? PYMALLOC_POOL_FULL : PYMALLOC_POOL_USED;
	info->size = class->size;
	info->allocated = heap->tenant ? blocks : pool->nr_alloc;
	info->meshed = pool->next_face && pool->next_face != pool->number;
	/* Its free slots are those of the primary face, which alone serves from them. */
	if (pym_pool_is_face(pool)) {
		info->state = PYMALLOC_POOL_USED;
		return;
	}
	info->free = pool->boundary - blocks;
	info->untouched = class->capacity - pool->boundary;
}

/* Describe a pool that is not of blocks, or not any more. */
static void walk_copy_other_pool(struct pym_heap *heap, const struct pym_arena *arena,
				 unsigned int index, struct pym_pool_info *info)
{
	struct pym_pool *pool;

	spin_lock(&heap->lock);
	pool = pym_pool_in(arena, index);
	if (pool)
		info->state = state_without_class(pool);
	if (info->state == PYMALLOC_POOL_RUN)
		info->size = pool->run_pages << PYM_POOL_SHIFT;
	spin_unlock(&heap->lock);
}

static void walk_copy_pool(struct pym_heap *heap, const struct pym_arena *arena,
			   unsigned int index, struct pym_pool_info *info)
{
	const u64 offset = pym_place_offset(arena, index);
	struct pym_class *class;
	struct pym_pool *pool;
	bool blocks;

	*info = (struct pym_pool_info) { .offset = offset, .state = PYMALLOC_POOL_NONE };
	class = pym_pool_lock_at(heap, offset, &pool);
	blocks = class->size;
	if (blocks)
		walk_copy_pool_of_blocks(heap, class, pool, info);
	spin_unlock(&class->lock);
	if (!blocks)
		walk_copy_other_pool(heap, arena, index, info);
}

static void walk_count_pool(struct pym_arena_info *info, const struct pym_pool_info *pool)
{
	switch (pool->state) {
	case PYMALLOC_POOL_NONE:
		info->pools_none++;
		break;
	case PYMALLOC_POOL_EMPTY:
		info->pools_empty++;
		break;
	case PYMALLOC_POOL_USED:
		info->pools_used++;
		break;
	default:
		info->pools_full++;
	}
	info->blocks += pool->allocated + (pool->state == PYMALLOC_POOL_RUN);
}

/**
 * pym_walk_arena() - describe the next arena
 * @heap: the heap
 * @at: in: the offset to search from; out: the end of the arena
 * @end: where to stop
 * @info: out: the arena
 *
 * Return: false if there is none.
 */
bool pym_walk_arena(struct pym_heap *heap, u64 *at, u64 end,
		    struct pym_arena_info *info)
{
	struct pym_pool_info pool;
	struct pym_arena *arena;
	unsigned int i;

	memset(info, 0, sizeof(*info));
	rcu_read_lock();
	arena = pym_arena_next(heap, at, end);
	if (arena) {
		info->offset = (u64)arena->number << PYM_ARENA_SHIFT;
		info->kind = arena->runs ? PYMALLOC_ARENA_RUNS : PYMALLOC_ARENA_OBJECT;
		for (i = 0; i < PYMALLOC_ARENA_POOLS; i++) {
			walk_copy_pool(heap, arena, i, &pool);
			walk_count_pool(info, &pool);
		}
		*at = info->offset + PYMALLOC_ARENA_SIZE;
	}
	rcu_read_unlock();
	return arena;
}

/**
 * pym_walk_pool() - describe the next pool
 * @heap: the heap
 * @at: in: the offset to search from; out: the end of the pool
 * @end: where to stop
 * @info: out: the pool
 *
 * Return: false if there is none.
 */
bool pym_walk_pool(struct pym_heap *heap, u64 *at, u64 end,
		   struct pym_pool_info *info)
{
	struct pym_arena *arena;

	*at = round_down(*at, PYMALLOC_POOL_SIZE);
	rcu_read_lock();
	arena = pym_arena_next(heap, at, end);
	if (arena) {
		walk_copy_pool(heap, arena, walk_index(*at), info);
		*at += PYMALLOC_POOL_SIZE;
	}
	rcu_read_unlock();
	return arena;
}

/* Describe the blocks of a pool from *@at to @end, and move *@at behind them. */
static unsigned int walk_copy_blocks(const struct pym_class *class,
				     const struct pym_pool *pool, u64 mark,
				     u64 *at, u64 end, struct pym_block_info *info,
				     unsigned int room)
{
	u64 base = pym_pool_offset(pool);
	unsigned int index = DIV_ROUND_UP((u32)(*at - base), class->size);
	unsigned int done;

	for (done = 0; index < class->capacity && done < room; done++, index++) {
		if (base + index * class->size >= end)
			break;
		info[done] = (struct pym_block_info) {
			.ref = base + index * class->size,
			.size = class->size,
			.state = pym_block_state(class, pool, index),
		};
	}
	*at = base + (index < class->capacity ? index * class->size : PYMALLOC_POOL_SIZE);
	return done;
}

/* Does a block lie in a magazine?  Its first word is the mark then. */
static bool walk_is_marked(const void *memory, u32 offset, u64 mark)
{
	return memory && READ_ONCE(*(const u64 *)(memory + offset)) == mark;
}

/* As walk_copy_blocks(), but only the allocated ones.  Without @memory, none is marked. */
static unsigned int walk_copy_live(const struct pym_class *class, const struct pym_pool *pool,
				   const void *memory, u64 mark, u64 *at, u64 end,
				   struct pym_block_info *info, unsigned int room)
{
	u64 base = pym_pool_offset(pool);
	unsigned int index = DIV_ROUND_UP((u32)(*at - base), class->size), done = 0;

	for (; index < class->capacity && done < room; index++) {
		u32 offset = index * class->size;

		if (base + offset >= end)
			break;
		if (pym_block_state(class, pool, index) != PYMALLOC_BLOCK_ALLOCATED)
			continue;
		info[done++] = (struct pym_block_info) {
			.ref = base + offset,
			.size = class->size,
			.state = PYMALLOC_BLOCK_ALLOCATED,
			.cached = walk_is_marked(memory, offset, mark),
		};
	}
	*at = base + (index < class->capacity ? index * class->size : PYMALLOC_POOL_SIZE);
	return done;
}

/* The same, with the pool's page if there is one (a dead heap has none) that can be read. */
static unsigned int walk_copy_marked(const struct pym_class *class, const struct pym_pool *pool,
				     u64 mark, u64 *at, u64 end, struct pym_block_info *info,
				     unsigned int room)
{
	unsigned int done;
	void *memory;

	if (!mark || !pool->page || PageHWPoison(pool->page))
		return walk_copy_live(class, pool, NULL, mark, at, end, info, room);
	memory = kmap_local_page(pool->page);
	done = walk_copy_live(class, pool, memory, mark, at, end, info, room);
	kunmap_local(memory);
	return done;
}

static unsigned int walk_copy_run(struct pym_heap *heap, const struct pym_arena *arena,
				  u64 *at, struct pym_block_info *info)
{
	unsigned int index = walk_index(*at);
	struct pym_pool_info run;
	bool whole = !offset_in_page(*at);

	*at = round_down(*at, PYMALLOC_POOL_SIZE) + PYMALLOC_POOL_SIZE;
	walk_copy_pool(heap, arena, index, &run);
	if (run.state != PYMALLOC_POOL_RUN || !whole)
		return 0;
	*info = (struct pym_block_info) {
		.ref = run.offset,
		.size = run.size,
		.state = PYMALLOC_BLOCK_ALLOCATED,
	};
	return 1;
}

/* What a walk over blocks does with a pool of them. */
typedef unsigned int (*walk_pool_fn)(const struct pym_class *class, const struct pym_pool *pool,
				     u64 mark, u64 *at, u64 end, struct pym_block_info *info,
				     unsigned int room);

static unsigned int walk_next_blocks(struct pym_heap *heap, u64 *at, u64 end, u64 mark,
				     struct pym_block_info *info, unsigned int room,
				     walk_pool_fn copy)
{
	struct pym_arena *arena;
	struct pym_class *class;
	struct pym_pool *pool;
	unsigned int done = 0;
	bool blocks;

	rcu_read_lock();
	arena = pym_arena_next(heap, at, end);
	if (!arena)
		goto unlock;
	class = pym_pool_lock_at(heap, *at, &pool);
	blocks = class->size;
	if (blocks)
		done = copy(class, pool, mark, at, end, info, room);
	spin_unlock(&class->lock);
	if (!blocks)
		done = walk_copy_run(heap, arena, at, info);
unlock:
	rcu_read_unlock();
	return done;
}

/**
 * pym_walk_blocks() - describe the blocks of the next pool
 * @heap: the heap
 * @at: in: the offset to search from; out: the end of the last block described
 * @end: where to stop
 * @info: out: the blocks
 * @room: how many @info has room for, at least 1
 *
 * Return: how many were described.  0 does not mean that there are none after *@at.
 */
unsigned int pym_walk_blocks(struct pym_heap *heap, u64 *at, u64 end,
			     struct pym_block_info *info, unsigned int room)
{
	return walk_next_blocks(heap, at, end, 0, info, room, walk_copy_blocks);
}

/**
 * pym_walk_live() - describe the allocated blocks of the next pool
 * @heap: the heap
 * @at: as for pym_walk_blocks()
 * @end: as for pym_walk_blocks()
 * @mark: what the first word of a block in a magazine is; 0 if that is not known
 * @info: out: the blocks
 * @room: as for pym_walk_blocks()
 *
 * Return: as pym_walk_blocks().
 */
unsigned int pym_walk_live(struct pym_heap *heap, u64 *at, u64 end, u64 mark,
			   struct pym_block_info *info, unsigned int room)
{
	return walk_next_blocks(heap, at, end, mark, info, room, walk_copy_marked);
}
