// SPDX-License-Identifier: GPL-2.0
/*
 * The model test: random calls on heaps of many kinds.  The heap's shadow checks each
 * call.
 *
 *	model [-s SEED] [-n CALLS]
 *
 * The same seed makes the same calls.
 */
#include <stdio.h>

#include "shadow.h"
#include "random.h"
#include "tap.h"

#define MAX_HEAPS	4
#define MAX_BATCH	300
#define MAX_OBJECTS	40000
/* Freed refs that are remembered, to free some of them a second time. */
#define NR_FREED	64
/*
 * Calls between two checks of whole heaps, which take much longer than a call, and calls
 * until heaps grow or shrink.  Each is no multiple of the other, so that heaps are
 * checked in all states.
 */
#define VERIFY_EVERY	4000
#define PHASE		3000

#define MIB		(1024 * 1024ULL)

/**
 * struct plan - a kind of heap, and what is done with it
 * @name: its name in the test's output
 * @config: how the heaps are made
 * @heaps: how many there are at first; 0 means 1
 * @forks: how many calls of 1000 fork a heap, or destroy one
 * @user_max: most bytes that all of them may be charged; 0 is no limit
 * @size_max: the largest size that is asked for
 * @batch: the largest batch of objects
 * @faults: before how many calls of 100 failures are planned
 * @share: how many of 100 calls of the whole test are made with this plan
 */
struct plan {
	const char *name;
	struct shadow_config config;
	unsigned int heaps;
	unsigned int forks;
	unsigned long user_max;
	u64 size_max;
	unsigned int batch;
	unsigned int faults;
	unsigned int share;
};

static const struct plan plans[] = {
	{ "blocks in 64 classes", { .alignment = 8, .window = 32 * MIB },
	  .size_max = 512, .batch = MAX_BATCH, .share = 20 },
	{ "blocks in 32 classes", { .alignment = 16, .window = 32 * MIB },
	  .size_max = 512, .batch = MAX_BATCH, .share = 10 },
	{ "objects of all sizes, a threshold",
	  { .alignment = 8, .window = 96 * MIB, .threshold = 8 * MIB },
	  .size_max = PYMALLOC_SIZE_MAX, .batch = 30, .share = 5 },
	{ "a window of three arenas, used up", { .alignment = 8, .window = MIB },
	  .size_max = 100000, .batch = 60, .share = 10 },
	{ "a window that ends within a region", { .alignment = 16, .window = 18 * MIB },
	  .size_max = 2 * MIB, .batch = 20, .share = 5 },
	{ "a heap at its limit",
	  { .alignment = 8, .window = 16 * MIB, .limit = 2 * MIB + 1234, .threshold = MIB },
	  .size_max = 40000, .batch = 60, .share = 15 },
	{ "two heaps of one user at its limit",
	  { .alignment = 8, .window = 16 * MIB, .limit = 3 * MIB },
	  .heaps = 2, .user_max = 4 * MIB, .size_max = 40000, .batch = 60, .share = 10 },
	{ "allocations that fail, and signals", { .alignment = 8, .window = 16 * MIB },
	  .size_max = MIB, .batch = 60, .faults = 20, .share = 5 },
	{ "heaps that fork", { .alignment = 8, .window = 16 * MIB },
	  .size_max = 40000, .batch = 60, .forks = 5, .share = 10 },
	{ "heaps that fork, at their user's limit, with failures",
	  { .alignment = 16, .window = 16 * MIB, .threshold = MIB }, .user_max = 6 * MIB,
	  .size_max = 40000, .batch = 60, .faults = 10, .forks = 5, .share = 10 },
};

static struct {
	const struct plan *plan;
	struct random random;
	u64 seed;
	u64 calls;
	u64 call;
	struct shadow *shadows[MAX_HEAPS];
	unsigned int nr_heaps;
	struct pym_quota user;
	unsigned long user_max;
	u64 freed[NR_FREED];
	unsigned int next_freed;
} test;

static void describe(void)
{
	printf("# \"%s\", call %llu; to repeat: model -s %llu -n %llu\n", test.plan->name,
	       test.call, test.seed, test.calls);
}

static u64 below(u64 end)
{
	return random_below(&test.random, end);
}

static bool chance(unsigned int percent)
{
	return random_chance(&test.random, percent);
}

static u64 a_size(void)
{
	if (test.plan->size_max > PYMALLOC_BLOCK_MAX && chance(20))
		return random_size(&test.random, test.plan->size_max);
	/* Half of all blocks have one of four sizes, so that their pools become full. */
	return chance(50) ? 16 << below(4) : 1 + below(PYMALLOC_BLOCK_MAX);
}

static u64 an_object(const struct shadow *shadow)
{
	return shadow->nr_objects ? shadow->objects[below(shadow->nr_objects)].ref : 0;
}

/* A ref that is probably bad, in one of all the ways in which a ref can be bad. */
static u64 a_bad_ref(const struct shadow *shadow)
{
	switch (below(8)) {
	case 0:
		return test.freed[below(NR_FREED)];
	case 1:
		return an_object(shadow) + 1 + below(PAGE_SIZE);
	case 2:
		return an_object(shadow) + PYMALLOC_BLOCK_MIN * (1 + below(PAGE_SIZE));
	case 3:
		return below(shadow->heap.window);
	case 4:
		return below(PYMALLOC_ARENA_SIZE);
	case 5:
		return shadow->heap.window + below(PYMALLOC_ARENA_SIZE);
	case 6:
		return an_object(shadow) | 1ULL << (40 + below(24));
	default:
		return random_word(&test.random);
	}
}

static void call_alloc(struct shadow *shadow)
{
	unsigned int nr = chance(50) ? 1 : 1 + below(test.plan->batch);
	u64 refs[MAX_BATCH], size = a_size();

	/* Only few very large ones: they would leave no room for others. */
	if (size > PYMALLOC_ARENA_SIZE)
		nr = min(nr, 2U);
	shadow_alloc(shadow, size, chance(30), refs, nr);
}

static void call_free(struct shadow *shadow)
{
	unsigned int nr = chance(50) ? 1 : 1 + below(test.plan->batch), i;
	u64 refs[MAX_BATCH];

	for (i = 0; i < nr; i++) {
		refs[i] = chance(90) ? an_object(shadow) : a_bad_ref(shadow);
		/* Neighbours, as programs free them. */
		if (i && chance(30))
			refs[i] = refs[i - 1] + shadow_rounded(shadow, 1 + below(512));
		test.freed[test.next_freed++ % NR_FREED] = refs[i];
	}
	shadow_free(shadow, refs, nr);
}

static void call_resize(struct shadow *shadow)
{
	u64 ref = chance(95) ? an_object(shadow) : a_bad_ref(shadow);
	u64 now = shadow_usable(shadow, ref);

	shadow_resize(shadow, &ref, now && chance(50) ? 1 + below(now) : a_size());
}

static void call_walk(struct shadow *shadow)
{
	u64 start = below(shadow->heap.window), end = start + below(4 * PYMALLOC_ARENA_SIZE);

	shadow_walk(shadow, start, min(end, shadow->heap.window), 1 + below(600));
}

static void call_other(struct shadow *shadow)
{
	switch (below(10)) {
	case 0:
		shadow_trim(shadow);
		break;
	case 1:
		call_walk(shadow);
		break;
	case 2:
	case 3:
		shadow_write(shadow, an_object(shadow));
		break;
	case 4:
		if (test.plan->user_max)
			test.user_max = below(2 * test.plan->user_max) + 1;
		break;
	default:
		shadow_usable(shadow, chance(50) ? an_object(shadow) : a_bad_ref(shadow));
	}
}

static void some_failures(void)
{
	kernel_fail_nothing();
	if (chance(test.plan->faults))
		kernel_fail(below(KERNEL_EVENTS), below(20),
			    chance(50) ? 1 + below(3) : ~0UL);
}

static void verify(void)
{
	/* All pages that there are, without those of the pool maps. */
	unsigned long pages = kernel.pages;
	long meta = 0;
	unsigned int i;

	kernel_fail_nothing();
	for (i = 0; i < test.nr_heaps; i++) {
		shadow_verify(test.shadows[i]);
		pages -= test.shadows[i]->heap.made_regions;
		meta += atomic_long_read(&test.shadows[i]->heap.quota.meta);
	}
	MUST(pym_quota_pages(&test.user) == pages, "the user is charged for %lu pages, not %lu",
	     pym_quota_pages(&test.user), pages);
	MUST(atomic_long_read(&test.user.meta) == meta,
	     "the user is charged for %ld bytes of metadata, not %ld",
	     atomic_long_read(&test.user.meta), meta);
}

/* Fork a heap, or destroy one. */
static void fork_or_delete(void)
{
	struct shadow **place = &test.shadows[below(test.nr_heaps)], *child;

	if (test.nr_heaps > 1 && (test.nr_heaps == MAX_HEAPS || chance(30))) {
		shadow_delete(*place);
		*place = test.shadows[--test.nr_heaps];
		return;
	}
	child = shadow_fork(*place);
	if (child)
		test.shadows[test.nr_heaps++] = child;
}

/* Make one call.  For PHASE calls heaps grow, then they shrink for as long. */
static void call(void)
{
	struct shadow *shadow = test.shadows[below(test.nr_heaps)];
	bool grow = test.call / PHASE % 2 == 0 && shadow->nr_objects < MAX_OBJECTS;
	u64 what = below(100);

	some_failures();
	if (below(1000) < test.plan->forks)
		fork_or_delete();
	else if (what < 80)
		(what < (grow ? 50 : 30) ? call_alloc : call_free)(shadow);
	else if (what < 90)
		call_resize(shadow);
	else
		call_other(shadow);
	if (test.call % VERIFY_EVERY == VERIFY_EVERY - 1)
		verify();
}

static void run(const void *plan)
{
	struct shadow_config config;

	test.plan = plan;
	test.random.state = test.seed * 1000 + (test.plan - plans) + 1;
	test.user_max = test.plan->user_max;
	test.user.max = &test.user_max;
	config = test.plan->config;
	config.user = &test.user;
	kernel.describe = describe;
	MUST(!pym_arena_cache_init(), "no cache");
	while (test.nr_heaps < max(test.plan->heaps, 1U))
		test.shadows[test.nr_heaps++] = shadow_new(&config);
	for (test.call = 0; test.call < test.calls * test.plan->share / 100; test.call++)
		call();
	verify();
	while (test.nr_heaps)
		shadow_delete(test.shadows[--test.nr_heaps]);
	MUST(!atomic_long_read(&test.user.used), "the user is still charged");
	pym_arena_cache_exit();
}

int main(int argc, char **argv)
{
	const struct plan *plan;

	test.seed = 1;
	test.calls = 1000000;
	if (!random_options(argc, argv, &test.seed, &test.calls))
		return 2;
	tap_begin();
	printf("# seed %llu, %llu calls\n", test.seed, test.calls);
	for (plan = plans; plan < plans + ARRAY_SIZE(plans); plan++)
		tap_run(plan->name, run, plan);
	return tap_end();
}
