/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the two checkers share: the one of a heap at rest (check.c) and the one of
 * a heap that goes on (live.c).
 */
#ifndef PYM_CHECK_H
#define PYM_CHECK_H

#include "types.h"

/**
 * struct pym_verdict - what the checker found
 * @errors: contradictions; 0 is a sound heap
 * @offset: where in the window the first one is, if it has a place
 * @message: the first one in words
 */
struct pym_verdict {
	u64 errors;
	u64 offset;
	char message[80];
};

/* What a checker has seen, to be compared with what the heap believes. */
struct tally {
	struct pym_heap *heap;
	struct pym_verdict *verdict;
	u64 meta;	/* bytes of metadata */
	u64 pages, maybe_shared, apart, empty, arenas, run_arenas, runs, run_pages;
	bool killable;
	u64 nr_own;	/* of the heap, when the walk began */
	u64 tail_end;	/* the run that is being walked ends here */
	u64 empty_arenas;
	u64 buckets[2][PYMALLOC_ARENA_POOLS + 1];	/* arenas of pools and of runs by room */
	u64 region_buckets[PYM_REGION_ARENAS + 1];
	struct {
		u64 groups[PYM_GROUP_FULL + 1], blocks, untouched;
	} class[PYMALLOC_NR_CLASSES + 1];
};

int pym_check(struct pym_heap *heap, struct pym_verdict *verdict);
int pym_check_killable(struct pym_heap *heap, struct pym_verdict *verdict);
struct tally *pym_tally_new(struct pym_heap *heap, struct pym_verdict *verdict);
void pym_contradict(struct pym_verdict *verdict, u64 offset, const char *message);
void pym_check_blocks(struct tally *tally, struct pym_pool *pool, u64 offset);
void pym_check_run(struct tally *tally, struct pym_pool *pool, u64 offset);
bool pym_check_arena(struct tally *tally, struct pym_arena *arena, u64 offset);
void pym_check_region(struct tally *tally, const struct pym_region *region);

/* Note a contradiction unless @ok.  Returns @ok. */
static inline bool expect(struct tally *tally, bool ok, u64 offset, const char *message)
{
	if (!ok)
		pym_contradict(tally->verdict, offset, message);
	return ok;
}

/* Is it the class of a pool of blocks, not that of a run's page, or none? */
static inline bool pym_class_is_of_blocks(u8 class)
{
	return class && class <= PYMALLOC_NR_CLASSES;
}

#endif /* PYM_CHECK_H */
