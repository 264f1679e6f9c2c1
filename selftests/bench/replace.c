// SPDX-License-Identifier: GPL-2.0
/* A set of live blocks: one after the other is replaced, chosen at random. */
#include <sys/cdefs.h>

#include "replace.h"

#define STEPS	400000

/* Always inline: otherwise the compiler would choose by subject, and loops differ. */
static __always_inline void take(struct live_set *set, const struct step *step)
{
	void **block = &set->blocks[step->victim];

	subject_free(set->heap, *block);
	*block = subject_alloc(set->heap, step->size);
	use(*block);
}

void live_set_replace(struct live_set *set)
{
	size_t i;

	for (i = 0; i < set->nr_steps; i++)
		take(set, &set->steps[i]);
}

static void fill(struct live_set *set)
{
	size_t i;

	for (i = 0; i < set->live; i++) {
		set->blocks[i] = subject_alloc(set->heap, random_size(&set->seed));
		use(set->blocks[i]);
	}
}

static struct step random_step(struct live_set *set)
{
	return (struct step){
		.victim = random_below(&set->seed, set->live),
		.size = random_size(&set->seed),
	};
}

/*
 * Replaces more blocks than there are, so that most of them lie where another one
 * has been: this is the heap of a program that has run for some time.
 */
static void wear(struct live_set *set)
{
	size_t left = set->live + set->nr_steps;

	while (left--) {
		struct step step = random_step(set);

		take(set, &step);
	}
}

void live_set_prepare(struct live_set *set)
{
	size_t i;

	set->blocks = table(set->live, sizeof(*set->blocks));
	set->steps = table(set->nr_steps, sizeof(*set->steps));
	fill(set);
	wear(set);
	for (i = 0; i < set->nr_steps; i++)
		set->steps[i] = random_step(set);
}

void replace(const struct workload *workload)
{
	struct live_set set = {
		.heap = subject_create(),
		.live = scaled(workload->live),
		.nr_steps = scaled(STEPS),
		.seed = 1,
	};
	__u64 start;

	live_set_prepare(&set);
	start = nanoseconds();
	live_set_replace(&set);
	report_time(workload, (double)(nanoseconds() - start) / set.nr_steps);
}
