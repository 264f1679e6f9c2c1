// SPDX-License-Identifier: GPL-2.0
/*
 * Counts: how many need each block of a shared heap: clients that hold it, entries of inboxes
 * and roots.  Who counts one down to 0 frees the block.
 *
 * A pool has counts as long as one of its blocks is needed, which keeps the pool, and its size
 * class.  A block is allocated before it has a count, and freed after it has none: in between
 * nobody can come to need it.
 */
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "count.h"

/**
 * pym_refs_init() - begin with nothing
 * @refs: what is to be made
 * @heap: its heap
 *
 * Context: Any.
 */
void pym_refs_init(struct pym_refs *refs, struct pym_heap *heap)
{
	mutex_init(&refs->lock);
	refs->heap = heap;
	xa_init_flags(&refs->pools, XA_FLAGS_ACCOUNT);
}

static unsigned long counts_bytes(unsigned int capacity)
{
	return sizeof(struct pym_counts) + PYM_ENTRY_BYTES +
	       roundup_pow_of_two(capacity * sizeof(struct pym_count));
}

static void counts_free(struct pym_counts *counts)
{
	kfree(counts->blocks);
	kfree(counts);
}

/**
 * pym_refs_destroy() - free all counts
 * @refs: the counts; their heap is ending
 *
 * Context: Sleeps.
 */
void pym_refs_destroy(struct pym_refs *refs)
{
	struct pym_counts *counts;
	unsigned long number;

	xa_for_each(&refs->pools, number, counts) {
		pym_heap_remove_meta(refs->heap, counts_bytes(counts->capacity));
		counts_free(counts);
	}
	xa_destroy(&refs->pools);
	mutex_destroy(&refs->lock);
}

static struct pym_counts *counts_alloc(u64 size, u32 number)
{
	struct pym_counts *counts = kzalloc(sizeof(*counts), PYM_GFP);

	if (!counts)
		return NULL;
	counts->number = number;
	counts->capacity = 1;
	if (size <= PYMALLOC_BLOCK_MAX) {
		counts->size = size;
		counts->capacity = PYMALLOC_POOL_SIZE / size;
		counts->inverse = (u32)(BIT_ULL(32) / size) + 1;
	}
	counts->blocks = kcalloc(counts->capacity, sizeof(*counts->blocks), PYM_GFP);
	if (!counts->blocks) {
		kfree(counts);
		return NULL;
	}
	return counts;
}

/* Make the counts of the pool, or of the run, of an allocated object. */
static struct pym_counts *counts_new(struct pym_refs *refs, u64 ref)
{
	u32 number = ref >> PYM_POOL_SHIFT;
	struct pym_counts *counts = counts_alloc(pym_usable(refs->heap, ref), number);
	int err;

	if (!counts)
		return ERR_PTR(-ENOMEM);
	err = pym_heap_add_meta(refs->heap, counts_bytes(counts->capacity));
	if (err)
		goto free;
	err = xa_err(xa_store(&refs->pools, number, counts, PYM_GFP));
	if (!err)
		return counts;
	pym_heap_remove_meta(refs->heap, counts_bytes(counts->capacity));
free:
	counts_free(counts);
	return ERR_PTR(err);
}

static void counts_delete(struct pym_refs *refs, struct pym_counts *counts)
{
	xa_erase(&refs->pools, counts->number);
	pym_heap_remove_meta(refs->heap, counts_bytes(counts->capacity));
	counts_free(counts);
}

static u32 next_serial(struct pym_refs *refs)
{
	if (!++refs->serial)
		refs->serial = 1;
	return refs->serial;
}

/**
 * pym_count_begin() - a block has been allocated, and one needs it
 * @refs: the counts
 * @ref: the block, which has no count
 * @place: as for pym_count_find()
 *
 * Context: Holds @refs->lock, as for pym_count_find().  Sleeps.
 * Return: 0; or -ENOMEM or -EDQUOT, and it has no count.
 */
int pym_count_begin(struct pym_refs *refs, u64 ref, struct pym_place *place)
{
	if (pym_place_find(refs, ref, place) != PYMALLOC_REF_OK) {
		place->counts = counts_new(refs, ref);
		if (IS_ERR(place->counts)) {
			int err = PTR_ERR(place->counts);

			place->counts = NULL;
			return err;
		}
		pym_place_find(refs, ref, place);
	}
	*pym_count_at(place) = (struct pym_count) { .needs = 1, .serial = next_serial(refs) };
	place->counts->live++;
	refs->total++;
	return 0;
}

/**
 * pym_counts_empty() - nobody needs a block of a pool any more
 * @refs: the counts
 * @place: one of its places; afterwards one without counts
 *
 * Context: Holds @refs->lock.  Sleeps.
 */
void pym_counts_empty(struct pym_refs *refs, struct pym_place *place)
{
	counts_delete(refs, place->counts);
	place->counts = NULL;
}

/**
 * pym_unneeded_free() - free blocks that nobody needs
 * @refs: the counts
 * @unneeded: the blocks: none afterwards
 *
 * Context: Sleeps.  Does not hold @refs->lock.
 */
void pym_unneeded_free(struct pym_refs *refs, struct pym_unneeded *unneeded)
{
	u8 status[PYM_UNNEEDED_MAX];

	if (unneeded->nr)
		pym_free(refs->heap, unneeded->refs, status, unneeded->nr);
	unneeded->nr = 0;
}
