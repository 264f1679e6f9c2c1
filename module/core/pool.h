/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Pools of one size class.
 */
#ifndef PYM_POOL_H
#define PYM_POOL_H

#include "types.h"

/**
 * struct pym_batch - refs that are being freed
 * @refs: the refs
 * @status: an enum pymalloc_ref_status for each ref that has been processed
 * @nr: how many refs there are
 * @until_bad: stop after the first bad ref
 * @done: how many have been processed
 * @bad: how many of those were bad
 * @empty: pools whose last block has been freed, and that have no class any more
 * @many_spent: a class has so many spent faces that it pays to reclaim them
 */
struct pym_batch {
	const u64 *refs;
	u8 *status;
	unsigned int nr;
	bool until_bad;
	unsigned int done;
	unsigned int bad;
	struct list_head empty;
	bool many_spent;
};

void pym_class_init(struct pym_class *class, u32 size, bool spread);
void pym_class_clone(const struct pym_class *class, struct pym_class *child);
void pym_class_link(struct pym_class *class, struct pym_pool *pool);
void pym_class_add_locked(struct pym_class *class, struct pym_pool *pool, u8 number,
			  bool pinned);
void pym_class_add_full_locked(struct pym_class *class, struct pym_pool *pool, u8 number,
			       bool pinned, u64 *refs);
unsigned int pym_class_take_locked(struct pym_heap *heap, struct pym_class *class, u64 *refs,
				   unsigned int nr, bool pinned);
void pym_class_hold_locked(struct pym_class *class, struct pym_pool *pool);
void pym_class_resume_locked(struct pym_class *class, struct pym_pool *pool,
			     struct list_head *empty);
void pym_class_touch_locked(struct pym_class *class, struct pym_pool *pool);
void pym_class_unface_locked(struct pym_class *class, struct pym_pool *pool,
			     struct list_head *empty);
void pym_class_withhold_locked(struct pym_heap *heap, struct pym_class *class,
			       struct pym_pool *pool);
u8 pym_pool_group(const struct pym_class *class, const struct pym_pool *pool);
void pym_class_give_locked(struct pym_heap *heap, struct pym_class *class,
			   struct pym_pool *pool, struct pym_batch *batch);
void pym_pool_withhold(struct pym_heap *heap, u64 offset);
struct pym_class *pym_pool_class_lock(struct pym_heap *heap, struct pym_pool *pool)
	__acquires(class_lock);
struct pym_class *pym_pool_lock_at(struct pym_heap *heap, u64 offset, struct pym_pool **pool)
	__acquires(class_lock);
bool pym_block_is_pinned(struct pym_heap *heap, u64 ref);
u64 pym_block_size(struct pym_heap *heap, u64 ref);

/*
 * What the pool map says of a pool of blocks.  Pinned blocks and those of a type are not kept in
 * magazines, where the next object of their size would get them: so a free of one is the
 * kernel's.
 */
static inline u8 pym_class_shown(u8 number, bool pinned)
{
	return pinned || number > PYMALLOC_NR_CLASSES ? 0 : number;
}

static inline u8 pym_pool_shown_class(const struct pym_pool *pool)
{
	return pym_class_shown(pool->class, pool->role == PYM_POOL_PINNED);
}

#endif /* PYM_POOL_H */
