/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Counts: how many need each block of a shared heap.  See count.c.
 */
#ifndef PYM_COUNT_H
#define PYM_COUNT_H

#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/xarray.h>

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

/* Blocks to be freed at once, without the lock: no more than this. */
#define PYM_UNNEEDED_MAX	128

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
enum pymalloc_ref_status pym_count_find(struct pym_refs *refs, u64 ref,
					struct pym_place *place);
int pym_count_begin(struct pym_refs *refs, u64 ref, struct pym_place *place);
bool pym_count_less(struct pym_refs *refs, struct pym_place *place);
void pym_unneeded_free(struct pym_refs *refs, struct pym_unneeded *unneeded);

static inline struct pym_count *pym_count_at(const struct pym_place *place)
{
	return &place->counts->blocks[place->index];
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
