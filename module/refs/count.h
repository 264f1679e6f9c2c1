/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Counts: how many need each block of a shared heap.  See count.c.
 */
#ifndef PYM_COUNT_H
#define PYM_COUNT_H

#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/xarray.h>

#include "core/block.h"
#include "core/core.h"

/**
 * struct pym_count - how many need a block
 * @needs: holds, entries of inboxes and roots; 0 is a block that is not allocated, or is about
 *	to be, or to be freed
 * @serial: of this allocation of the block: never 0
 */
struct pym_count {
	u32 needs;
	u32 serial;
};

/**
 * struct pym_counts - those of the blocks of a pool, or of a run
 * @blocks: one for each block; a run has one
 * @inverse: 2^32 / @size + 1, for exact division; 0 is a run
 * @size: bytes of a block; 0 is a run
 * @capacity: how many blocks there are
 * @live: those of them with a count
 * @number: the pool's
 */
struct pym_counts {
	struct pym_count *blocks;
	u32 inverse;
	u16 size;
	u16 capacity;
	u16 live;
	u32 number;
};

/**
 * struct pym_refs - who needs which block of a heap
 * @lock: held around all that looks at counts, or at what is counted
 * @heap: the heap
 * @pools: struct pym_counts by number of the pool; none without a count
 * @total: the sum of all counts
 * @serial: the last one that was given
 */
struct pym_refs {
	/* Protects what follows, and what others count. */
	struct mutex lock;
	struct pym_heap *heap;
	struct xarray pools;
	u64 total;
	u32 serial;
};

/**
 * struct pym_place - where a block's count is
 * @counts: those of its pool
 * @index: which of them
 */
struct pym_place {
	struct pym_counts *counts;
	unsigned int index;
};

/* What a table by pools takes for one of them: nodes of 576 bytes have 64 entries. */
#define PYM_ENTRY_BYTES	16

/* Blocks to be freed at once, without the lock: no more than this. */
#define PYM_UNNEEDED_MAX	64U

/**
 * struct pym_unneeded - blocks that nobody needs any more
 * @nr: how many
 * @refs: which
 */
struct pym_unneeded {
	unsigned int nr;
	u64 refs[PYM_UNNEEDED_MAX];
};

void pym_refs_init(struct pym_refs *refs, struct pym_heap *heap);
void pym_refs_destroy(struct pym_refs *refs);
int pym_count_begin(struct pym_refs *refs, u64 ref, struct pym_place *place);
void pym_counts_empty(struct pym_refs *refs, struct pym_place *place);
void pym_unneeded_free(struct pym_refs *refs, struct pym_unneeded *unneeded);

static inline struct pym_count *pym_count_at(const struct pym_place *place)
{
	return &place->counts->blocks[place->index];
}

/* Divide as pym_block_position() does.  A run has one place, at its start. */
static inline enum pymalloc_ref_status pym_place_in(u32 offset, struct pym_place *place)
{
	const struct pym_counts *counts = place->counts;
	u64 position = pym_block_position(counts->inverse, offset);

	place->index = position >> 32;
	if (!counts->inverse)
		return offset ? PYMALLOC_REF_MISALIGNED : PYMALLOC_REF_OK;
	if ((u32)position >= counts->inverse || place->index >= counts->capacity)
		return PYMALLOC_REF_MISALIGNED;
	return PYMALLOC_REF_OK;
}

/* Which block of its pool a ref names.  A place that was looked up before may be of use. */
static inline enum pymalloc_ref_status pym_place_find(struct pym_refs *refs, u64 ref,
						      struct pym_place *place)
{
	u32 number = ref >> PYM_POOL_SHIFT;

	if (ref < PYMALLOC_ARENA_SIZE || ref >= refs->heap->window)
		return PYMALLOC_REF_RANGE;
	if (!place->counts || place->counts->number != number)
		place->counts = xa_load(&refs->pools, number);
	if (!place->counts)
		return PYMALLOC_REF_FOREIGN;
	return pym_place_in(ref & (PYMALLOC_POOL_SIZE - 1), place);
}

/**
 * pym_count_find() - find the count of a block that somebody needs
 * @refs: the counts
 * @ref: any offset
 * @place: in: an earlier one that may still be right, or one without counts; out: where the
 *	count is, if all is well
 *
 * Context: Holds @refs->lock, and has held it since @place was filled in.
 * Return: PYMALLOC_REF_OK, or what is wrong.
 */
static inline enum pymalloc_ref_status pym_count_find(struct pym_refs *refs, u64 ref,
						      struct pym_place *place)
{
	enum pymalloc_ref_status status = pym_place_find(refs, ref, place);

	if (status == PYMALLOC_REF_OK && !pym_count_at(place)->needs)
		status = PYMALLOC_REF_FREE;
	return status;
}

/**
 * pym_count_less() - one less needs a block
 * @refs: the counts
 * @place: its count; then still of use to find others
 *
 * Context: Holds @refs->lock.  Sleeps.
 * Return: true if that was the last one: then it has no count any more, and the caller frees it.
 */
static inline bool pym_count_less(struct pym_refs *refs, struct pym_place *place)
{
	refs->total--;
	if (--pym_count_at(place)->needs)
		return false;
	if (!--place->counts->live)
		pym_counts_empty(refs, place);
	return true;
}

/* One more needs a block that somebody needs. */
static inline void pym_count_more(struct pym_refs *refs, const struct pym_place *place)
{
	pym_count_at(place)->needs++;
	refs->total++;
}

/* One less needs a block: if nobody does, it is to be freed.  There is room for it. */
static inline void pym_count_drop(struct pym_refs *refs, struct pym_place *place, u64 ref,
				  struct pym_unneeded *unneeded)
{
	if (pym_count_less(refs, place))
		unneeded->refs[unneeded->nr++] = ref;
}

/* The ref of a block with a count. */
static inline u64 pym_count_ref(const struct pym_counts *counts, unsigned int index)
{
	return ((u64)counts->number << PYM_POOL_SHIFT) + index * counts->size;
}

#endif /* PYM_COUNT_H */
