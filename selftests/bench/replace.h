/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A set of live blocks of many sizes, one of which, at random, is replaced with
 * one of another size. replace.c has one such set, threads.c one a thread.
 */
#ifndef SELFTESTS_BENCH_REPLACE_H
#define SELFTESTS_BENCH_REPLACE_H

#include "bench.h"

/* Which block is replaced, and how large the new one is. */
struct step {
	__u32 victim;
	__u32 size;
};

/**
 * struct live_set - a set of live blocks
 * @heap: where they are from
 * @live: how many
 * @nr_steps: replacements to measure
 * @seed: the random generator's state; each set's own
 * @blocks: the blocks
 * @steps: the replacements, thought up beforehand
 */
struct live_set {
	struct subject heap;
	size_t live;
	size_t nr_steps;
	__u64 seed;
	void **blocks;
	struct step *steps;
};

/* All but @blocks and @steps is set. Leaves a heap that has been at work. */
void live_set_prepare(struct live_set *set);
/* What is measured. */
void live_set_replace(struct live_set *set);

#endif /* SELFTESTS_BENCH_REPLACE_H */
