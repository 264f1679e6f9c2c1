/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Corruptions that the checkers must find, and a heap to plant them in.
 *
 * The tests of the core use them in user space and inside the kernel.
 */
#ifndef PYM_CORRUPTIONS_H
#define PYM_CORRUPTIONS_H

#include "core/core.h"

/* Places in the scene: pools, except the last one. */
enum scene_place {
	SCENE_FULL,	/* full; the first of its arena */
	SCENE_USED,	/* 40 blocks of 16 bytes, the first 10 of them free */
	SCENE_EMPTY,	/* empty, its page kept */
	SCENE_BARE,	/* without a page */
	SCENE_RUN,	/* a run of 3 pages; the first of its arena */
	SCENE_TAIL,	/* its second page */
	SCENE_NEXT,	/* the run behind it, of 2 pages */
	SCENE_POOLS,
	SCENE_NOWHERE = SCENE_POOLS,
};

/**
 * struct scene - a heap with one pool of each kind
 * @heap: the heap
 * @arena: its arena of pools
 * @runs: its arena of runs
 * @pool: the pools by enum scene_place
 * @offset: where they are; 0 for SCENE_NOWHERE
 * @page: the page that a corruption has taken from its pool
 * @link: where a link led that a corruption has broken
 */
struct scene {
	struct pym_heap *heap;
	struct pym_arena *arena;
	struct pym_arena *runs;
	struct pym_pool *pool[SCENE_POOLS];
	u64 offset[SCENE_POOLS + 1];
	struct page *page;
	struct list_head *link;
};

/**
 * struct corruption - a contradiction in a heap, which the checkers must find
 * @name: its name in the test's output
 * @place: where pym_check() must find it
 * @message: what pym_check() must say first
 * @live: what pym_check_live() must say first; NULL if it must find nothing
 * @toggle: plants it; called again, removes it
 */
struct corruption {
	const char *name;
	enum scene_place place;
	const char *message;
	const char *live;
	void (*toggle)(struct scene *scene);
};

extern const struct corruption corruptions[];
extern const unsigned int nr_corruptions;

bool scene_build(struct scene *scene, struct pym_heap *heap);

#endif /* PYM_CORRUPTIONS_H */
