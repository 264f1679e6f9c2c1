// SPDX-License-Identifier: GPL-2.0
/*
 * Repacking: the last records of sheets move together.
 *
 * A sheet goes with its last record.  When one page in twenty is left, spread over a heap,
 * nearly every sheet has a last one, and the records take as much as those of all pages did.
 * So records of sheets that are nearly empty get new sheets, which are as small as they can be.
 *
 * Nobody is in the gate meanwhile.  Who has looked a record up outside of it finds that it
 * has no class any more, as if its pool had gone, and looks again.
 */
#include <linux/bitops.h>
#include <linux/list.h>
#include <linux/sched/signal.h>
#include <linux/string.h>

#include "arena.h"
#include "bits.h"
#include "pool.h"
#include "record.h"
#include "repack.h"

/* A sheet is left to others when no more than one of so many records is live. */
#define SPARSE	4

static bool record_is_sparse(const struct pym_pool *pool)
{
	const struct pym_sheet *sheet = pym_sheet_of(pool);

	return hweight64(atomic_read(&sheet->live)) * SPARSE <= 1U << sheet->shift;
}

/* Which pools of an arena have such a record, for each length of the bitmap. */
static void find_sparse_records(struct pym_arena *arena, u64 found[PYM_RECORD_ORDERS])
{
	/* The others belong to a task, which may be out of the gate just now. */
	struct pym_span span = { arena, ~arena->busy };
	struct pym_pool *pool;

	memset(found, 0, PYM_RECORD_ORDERS * sizeof(*found));
	pym_for_each_pool(pool, span)
		if (record_is_sparse(pool))
			found[pool->order] |= BIT_ULL(pym_pool_index(pool));
}

/* Put a record in the place of another one. */
static void record_replace_locked(struct pym_arena *arena, struct pym_pool *old,
				  struct pym_pool *new)
{
	pym_record_copy(new, old);
	if (!list_empty(&old->link))
		list_replace(&old->link, &new->link);
	WRITE_ONCE(old->class, PYM_CLASS_NONE);
	pym_pool_publish(arena, new);
}

static void record_move(struct pym_heap *heap, struct pym_arena *arena, struct pym_pool *old,
			struct pym_pool *new)
{
	struct pym_class *class;

	rcu_read_lock();
	class = pym_pool_class_lock(heap, old);
	spin_lock(&heap->lock);
	record_replace_locked(arena, old, new);
	spin_unlock(&heap->lock);
	spin_unlock(&class->lock);
	rcu_read_unlock();
	pym_record_retire(heap, old);
}

/* Give pools records with others of their length.  Returns 0; or an error, and nothing is done. */
static int repack_pools(struct pym_heap *heap, struct pym_arena *arena, unsigned int order,
			u64 bits)
{
	struct pym_pool *pools[PYMALLOC_ARENA_POOLS] __uninitialized;
	unsigned int index, nr = 0;
	int err;

	if (!bits)
		return 0;
	err = pym_records_new(heap, order, pools, hweight64(bits));
	if (err)
		return err;
	pym_for_each_bit(index, bits)
		record_move(heap, arena, pym_pool_in(arena, index), pools[nr++]);
	return 0;
}

/* Returns 0; or an error, and not all of the arena's records have been moved. */
static int repack_arena(struct pym_heap *heap, struct pym_arena *arena)
{
	u64 sparse[PYM_RECORD_ORDERS];
	unsigned int order;
	int err = 0;

	find_sparse_records(arena, sparse);
	for (order = 0; order < PYM_RECORD_ORDERS && !err; order++)
		err = repack_pools(heap, arena, order, sparse[order]);
	return err;
}

/**
 * pym_repack() - move the last records of sheets together
 * @heap: the heap
 *
 * Ends early if there is no memory, or when somebody is in the gate.
 *
 * Context: Sleeps.  Takes @heap->gate for writing, but does not wait for it.
 */
void pym_repack(struct pym_heap *heap)
{
	struct pym_arena *arena;
	u64 offset = 0;
	int err;

	/* A tenant uses records without the gate. */
	if (heap->tenant)
		return;
	do {
		if (!down_write_trylock(&heap->gate))
			return;
		arena = pym_arena_at_rest(heap, &offset);
		err = arena ? repack_arena(heap, arena) : -ENOENT;
		up_write(&heap->gate);
		offset += PYMALLOC_ARENA_SIZE;
	} while (!err && !fatal_signal_pending(current));
}
