/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A set of live blocks of many sizes. Each step replaces a random one with a block
 * of another size. replace.c has one such set, threads.c one for each thread.
 */
#ifndef SELFTESTS_BENCH_REPLACE_H
#define SELFTESTS_BENCH_REPLACE_H

#include "bench.h"

/* One step: which block is replaced, and the size of the new one. */
struct step {
	__u32 victim;
	__u32 size;
};

/**
 * struct live_set - a set of live blocks
 * @heap: the heap that they come from
 * @live: how many blocks
 * @nr_steps: how many steps are measured
 * @seed: the state of this set's random generator
 * @blocks: the blocks
 * @steps: the steps, chosen before the measurement
 */
struct live_set {
	struct subject heap;
	size_t live;
	size_t nr_steps;
	__u64 seed;
	void **blocks;
	struct step *steps;
};

/*
 * The caller has set all fields but @blocks and @steps. Afterwards the heap is like
 * one that a program has used for some time.
 */
void live_set_prepare(struct live_set *set);
/* Takes all steps. This is what is measured. */
void live_set_replace(struct live_set *set);

#endif /* SELFTESTS_BENCH_REPLACE_H */
