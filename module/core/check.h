/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the two checkers share: the one of a heap at rest (check.c) and the one of a heap
 * that is in use meanwhile (live.c).
 */
#ifndef PYM_CHECK_H
#define PYM_CHECK_H

#include "types.h"

/**
 * struct pym_verdict - what the checker has found
 * @errors: the number of contradictions; 0 is a sound heap
 * @offset: where in the window the first one is; 0 if it has no place
 * @message: the first one in words; 80 bytes are enough for all that the checkers say
 */
struct pym_verdict {
	u64 errors;
	u64 offset;
	char message[80];
};

/* What a checker has counted, to compare with the heap's own counts. */
struct pym_tally {
	struct pym_heap *heap;
	struct pym_verdict *verdict;
	u64 meta;	/* bytes of metadata */
	u64 pages, maybe_shared, apart, empty, arenas, run_arenas, runs, run_pages;
	bool killable;
	u64 nr_own;	/* heap->nr_own when the walk began */
	u64 tail_end;	/* where the run ends that was found last */
	u64 empty_arenas;
	u64 buckets[2][PYMALLOC_ARENA_POOLS + 1];	/* arenas of pools and of runs by room */
	u32 type_arenas[PYMALLOC_TYPES_MAX + 1];	/* those of types are not among these */
	u32 type_usable[PYMALLOC_TYPES_MAX + 1];	/* of @type_arenas, those with room */
	u64 region_buckets[PYM_REGION_ARENAS + 1];
	struct {
		u64 groups[PYM_GROUP_FULL + 1], blocks, untouched, faces, spent, pinned;
	} class[PYM_CLASS_RUN];
};

int pym_check(struct pym_heap *heap, struct pym_verdict *verdict);
int pym_check_killable(struct pym_heap *heap, struct pym_verdict *verdict);
struct pym_tally *pym_tally_new(struct pym_heap *heap, struct pym_verdict *verdict);
void pym_contradict(struct pym_verdict *verdict, u64 offset, const char *message);
void pym_check_blocks(struct pym_tally *tally, struct pym_pool *pool, u64 offset);
void pym_check_run(struct pym_tally *tally, struct pym_pool *pool, u64 offset);
bool pym_check_record(struct pym_tally *tally, const struct pym_pool *pool, u64 offset);
bool pym_check_arena(struct pym_tally *tally, struct pym_arena *arena, u64 offset);
void pym_check_region(struct pym_tally *tally, unsigned long number);

/* Note a contradiction unless @ok.  Returns @ok. */
static inline bool pym_expect(struct pym_tally *tally, bool ok, u64 offset,
			      const char *message)
{
	if (!ok)
		pym_contradict(tally->verdict, offset, message);
	return ok;
}

#endif /* PYM_CHECK_H */
