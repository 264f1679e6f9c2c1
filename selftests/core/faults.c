// SPDX-License-Identifier: GPL-2.0
/*
 * Failures: each call is repeated with its first allocation failing, then its second, and
 * so on; each time once with that failure alone, and once with all later allocations
 * failing, too.  Nothing may be lost, and afterwards the call must succeed.
 *
 * Limits: a batch stops exactly where the limit allows no more pages.
 */
#include "mappings.h"
#include "shadow.h"
#include "tap.h"

#define WINDOW		(64ULL << 20)
#define POOL		PYMALLOC_POOL_SIZE
#define ARENA		PYMALLOC_ARENA_SIZE
#define MAX_BATCH	2000

/**
 * struct scenario - a call whose allocations fail
 * @name: what it is
 * @before: bytes of an object that is allocated before; 0 is none
 * @kept: bytes of objects that are allocated and freed before, so that there are empty
 *	pools; 0 is none
 * @size: the size that the call asks for
 * @nr: how many objects it asks for; 0 resizes the object of @before
 */
struct scenario {
	const char *name;
	u64 before;
	u64 kept;
	u64 size;
	unsigned int nr;
};

static const struct scenario scenarios[] = {
	{ "one block", 0, 0, 64, 1 },
	{ "blocks of many pools", 0, 0, 64, 1000 },
	{ "blocks of several arenas", 0, 0, 512, 1500 },
	{ "blocks, with empty pools kept", 0, 64, 512, 1000 },
	{ "a run", 0, 0, 5 * POOL, 1 },
	{ "runs, with empty pools kept", 0, 64, 40 * POOL, 5 },
	{ "a run of a whole arena", 0, 0, ARENA, 1 },
	{ "a run of several arenas", 0, 0, 3 * ARENA + 10 * POOL, 2 },
	{ "a block that grows", 16, 0, 400, 0 },
	{ "a block that shrinks", 400, 0, 16, 0 },
	{ "a block that becomes a run", 100, 0, 2 * ARENA, 0 },
	{ "a run that grows", 3 * POOL, 0, 70 * POOL, 0 },
	{ "a run that becomes a block", 3 * POOL, 0, 100, 0 },
	{ "a run that shrinks", 100 * POOL, 0, 50 * POOL, 0 },
};

static const char *const events[] = {
	[KERNEL_PAGE]	= "pages",
	[KERNEL_SLAB]	= "arenas",
	[KERNEL_MEMORY]	= "memory",
	[KERNEL_SIGNAL]	= "signals",
};

struct sweep {
	const struct scenario *scenario;
	enum kernel_event event;
	unsigned long times;
};

static struct shadow *prepare(const struct scenario *scenario, u64 *ref)
{
	struct shadow_config config = { .alignment = 8, .window = WINDOW };
	struct shadow *shadow = shadow_new(&config);
	u64 refs[MAX_BATCH];

	if (scenario->before)
		MUST(shadow_alloc(shadow, scenario->before, false, ref, 1) == 1, "no memory");
	if (scenario->kept) {
		MUST(shadow_alloc(shadow, scenario->kept, false, refs, MAX_BATCH) == MAX_BATCH,
		     "no memory");
		MUST(!shadow_free(shadow, refs, MAX_BATCH), "bad refs");
		MUST(shadow->heap.nr_empty, "nothing is kept");
	}
	return shadow;
}

/* Make the call.  Returns how many objects are missing. */
static unsigned int make(struct shadow *shadow, const struct scenario *scenario, u64 *ref,
			 unsigned int nr)
{
	u64 refs[MAX_BATCH];

	if (!scenario->nr)
		return shadow_resize(shadow, ref, scenario->size) != 0;
	return nr - shadow_alloc(shadow, scenario->size, true, refs, nr);
}

/* How many objects of @size fit into the heap's pages, without those of empty pools. */
static u64 room(const struct shadow *shadow, u64 size)
{
	u64 pages = shadow->heap.pages - shadow->heap.nr_empty;
	u64 rounded = shadow_rounded(shadow, size);

	return rounded < POOL ? pages * (POOL / rounded) : pages * POOL / rounded;
}

/* Returns whether the call got as far as its @skip-th allocation. */
static bool fail_at(const struct sweep *sweep, unsigned long skip)
{
	const struct scenario *scenario = sweep->scenario;
	unsigned int missing;
	struct shadow *shadow;
	bool failed;
	u64 ref = 0;

	shadow = prepare(scenario, &ref);
	kernel_fail(sweep->event, skip, sweep->times);
	missing = make(shadow, scenario, &ref, scenario->nr);
	failed = kernel.failures;
	kernel_fail_nothing();
	MUST(failed || !missing, "missing without a failure");
	/* The call has used every page that it could get. */
	MUST(!missing || !scenario->nr ||
	     room(shadow, scenario->size) == scenario->nr - missing,
	     "%u are missing, in %llu pages", missing, shadow->heap.pages);
	shadow_verify(shadow);
	MUST(!missing || !make(shadow, scenario, &ref, missing), "it fails again");
	shadow_verify(shadow);
	shadow_delete(shadow);
	return failed;
}

static void fail_everywhere(const void *what)
{
	unsigned long skip = 0;

	MUST(!pym_arena_cache_init(), "no cache");
	while (fail_at(what, skip))
		skip++;
	pym_arena_cache_exit();
}

static void run_scenario(const struct scenario *scenario)
{
	struct sweep sweep = { .scenario = scenario };
	char name[80];

	for (sweep.event = 0; sweep.event < KERNEL_EVENTS; sweep.event++) {
		for (sweep.times = 1; sweep.times; sweep.times = sweep.times == 1 ? ~0UL : 0) {
			snprintf(name, sizeof(name), "%s: %s fail%s", scenario->name,
				 events[sweep.event], sweep.times == 1 ? " once" : "");
			tap_run(name, fail_everywhere, &sweep);
		}
	}
}

/* Making a heap, and checking it, succeeds or fails as a whole. */
static void make_heap(const void *unused)
{
	struct shadow_config config = { .alignment = 16, .window = WINDOW };
	struct shadow *shadow = NULL;
	struct pym_verdict verdict;
	unsigned long skip;

	(void)unused;
	kernel_fail(KERNEL_MEMORY, 0, 1);
	MUST(pym_arena_cache_init() == -ENOMEM, "a cache out of nothing");
	kernel_fail_nothing();
	MUST(!pym_arena_cache_init(), "no cache");
	for (skip = 0; !shadow; skip++) {
		kernel_fail(KERNEL_MEMORY, skip, 1);
		shadow = shadow_new(&config);
		MUST(!shadow == !!kernel.failures, "a heap out of nothing");
		kernel_fail_nothing();
	}
	MUST(skip == 2, "%lu pieces of memory make a heap", skip - 1);
	kernel_fail(KERNEL_MEMORY, 0, 1);
	MUST(pym_check(&shadow->heap, &verdict) == -ENOMEM, "a check out of nothing");
	shadow_verify(shadow);
	shadow_delete(shadow);
	pym_arena_cache_exit();
}

/* A task that is killed while it checks a heap leaves the heap as it was. */
static void kill_check(const void *unused)
{
	struct shadow_config config = { .alignment = 16, .window = WINDOW };
	struct shadow *shadow;
	struct pym_verdict verdict;
	unsigned long skip = 0;
	u64 ref;
	int err;

	(void)unused;
	MUST(!pym_arena_cache_init(), "no cache");
	shadow = shadow_new(&config);
	MUST(shadow_alloc(shadow, 100, false, &ref, 1) == 1, "no block");
	do {
		kernel_fail(KERNEL_SIGNAL, skip++, 1);
		err = pym_check_killable(&shadow->heap, &verdict);
		MUST(err == (kernel.failures ? -EINTR : 0), "killed: %d", err);
		kernel_fail_nothing();
		shadow_verify(shadow);
	} while (err);
	MUST(skip > 2, "it can be killed at %lu places", skip - 1);
	kernel_fail(KERNEL_SIGNAL, 0, ~0UL);
	MUST(!pym_check(&shadow->heap, &verdict), "killed, though that may not be");
	kernel_fail_nothing();
	shadow_delete(shadow);
	pym_arena_cache_exit();
}

static struct page *page_at(struct shadow *shadow, u64 ref)
{
	struct page *page;

	MUST(pym_pages_get(&shadow->heap, ref, &page, 1), "no page");
	put_page(page);
	return page;
}

/* If fork() fails, the heap is as it was before. */
static void fork_heap(const void *unused)
{
	unsigned long max = 200 * POOL, skip = 0;
	struct pym_quota user = { .max = &max };
	struct shadow_config config = { .alignment = 16, .window = WINDOW, .user = &user };
	enum kernel_event event = 0;
	struct shadow *parent, *child;
	struct page *held[2];
	u64 blocks[100], run, none;

	(void)unused;
	MUST(!pym_arena_cache_init(), "no cache");
	parent = shadow_new(&config);
	MUST(shadow_alloc(parent, 512, true, blocks, 100) == 100, "no memory");
	MUST(shadow_alloc(parent, 100 * POOL, false, &run, 1) == 1, "no memory");
	/* A page with another reference is copied at once. */
	held[0] = page_at(parent, blocks[99]);
	held[1] = page_at(parent, run + 70 * POOL);
	get_page(held[0]);
	get_page(held[1]);
	while (event < KERNEL_SIGNAL) {
		kernel_fail(event, skip++, 1);
		child = shadow_fork(parent);
		kernel_fail_nothing();
		shadow_verify(parent);
		if (!child)
			continue;
		shadow_verify(child);
		MUST(page_at(parent, run) == page_at(child, run), "a page is not shared");
		MUST(page_at(parent, run + 70 * POOL) != page_at(child, run + 70 * POOL),
		     "a page is shared that somebody may be writing to");
		shadow_write(child, run);
		shadow_write(parent, blocks[0]);
		shadow_verify(parent);
		none = blocks[99] + POOL;
		MUST(mappings_own(&child->heap, none) == -EFAULT, "a page out of nothing");
		shadow_delete(child);
		shadow_verify(parent);
		MUST(atomic_long_read(&user.used) == atomic_long_read(&parent->heap.quota.used),
		     "the user is charged for something else");
		event++;
		skip = 0;
	}
	/* At the user's limit fork() succeeds, but then the next page is refused. */
	max = atomic_long_read(&user.used);
	child = shadow_fork(parent);
	MUST(child && pym_quota_pages(&user) == parent->heap.pages + 2,
	     "no copies beyond the limit");
	MUST(atomic_long_read(&user.meta) == atomic_long_read(&parent->heap.quota.meta) +
	     atomic_long_read(&child->heap.quota.meta), "no metadata beyond the limit");
	MUST(!shadow_alloc(child, 2 * POOL, false, &run, 1), "a page beyond the limit");
	shadow_verify(parent);
	shadow_delete(child);
	put_page(held[0]);
	put_page(held[1]);
	shadow_delete(parent);
	MUST(!atomic_long_read(&user.used), "the user is still charged");
	pym_arena_cache_exit();
}

/* A heap can write to a page that it has, even at its user's limit. */
static void copy_at_limit(const void *unused)
{
	unsigned long max = 0;
	struct pym_quota user = { .max = &max };
	struct shadow_config config = { .alignment = 8, .window = WINDOW, .user = &user };
	struct shadow *parent, *child;
	u64 refs[64], more[64], ref;

	(void)unused;
	MUST(!pym_arena_cache_init(), "no cache");
	parent = shadow_new(&config);
	MUST(shadow_alloc(parent, 64, false, refs, 64) == 64, "no memory");
	MUST(shadow_alloc(parent, 128, false, more, 20) == 20, "no memory");
	child = shadow_fork(parent);
	max = atomic_long_read(&user.used);
	MUST(!shadow_free(parent, refs, 32), "bad refs");
	MUST(shadow_alloc(parent, 64, false, refs, 16) == 16, "blocks of a shared page");
	MUST(shadow_alloc(parent, 64, true, refs, 16) == 16, "a page was not copied");
	ref = refs[40];
	MUST(!shadow_resize(parent, &ref, 128), "a page was not copied");
	ref = more[0];
	MUST(!shadow_resize(parent, &ref, 64), "a page was not copied");
	MUST(pym_quota_pages(&user) > parent->heap.pages, "copies cost nothing");
	MUST(!shadow_alloc(parent, 512, false, refs, 64), "pages beyond the limit");
	shadow_verify(parent);
	shadow_verify(child);
	shadow_delete(child);
	shadow_verify(parent);
	shadow_delete(parent);
	MUST(!atomic_long_read(&user.used), "the user is still charged");
	pym_arena_cache_exit();
}

/* How many objects of @rounded bytes fit into @pages. */
static u64 objects_in(u64 pages, u64 rounded)
{
	return rounded > POOL ? pages * POOL / rounded : pages * (POOL / rounded);
}

/* What describes a pool of such blocks, or a page of a run. */
static u64 record_of(u64 rounded)
{
	return pym_sheet_bytes(order_base_2(DIV_ROUND_UP(max(POOL / rounded, 1ULL), 64)), 0);
}

/*
 * The metadata of a heap with @nr objects of @rounded bytes in @pages, and at least one
 * arena.
 */
static u64 meta_of(u64 nr, u64 rounded, u64 pages)
{
	u64 in_arena = objects_in(PYMALLOC_ARENA_POOLS, rounded);
	u64 arenas = in_arena ? DIV_ROUND_UP(nr, in_arena) : nr * DIV_ROUND_UP(rounded, ARENA);

	return SHADOW_BASE_BYTES + PYM_TABLE_BYTES + PYM_REGION_BYTES +
	       max(arenas, 1ULL) * PYM_ARENA_BYTES + pages * record_of(rounded);
}

/*
 * With a limit of @pages, and of half of another, for a heap or for its user: exactly as
 * many objects of @size can be allocated as fit into @pages.  The records of many pages
 * together take a little less than is reckoned here.
 */
static void stop_at(u64 pages, bool user, u64 size)
{
	u64 rounded = size > PYMALLOC_BLOCK_MAX ? ALIGN(size, POOL) : size;
	u64 fit = objects_in(pages, rounded);
	unsigned long max = pages * POOL + POOL / 2 + meta_of(fit, rounded, pages);
	struct pym_quota quota = { .max = &max };
	struct shadow_config config = {
		.alignment = 8, .window = WINDOW, .limit = user ? 0 : max,
		.user = user ? &quota : NULL,
	};
	struct shadow *shadow = shadow_new(&config);
	u64 refs[MAX_BATCH];
	unsigned int i;

	/* Once without pages, and once with empty pools, which must be trimmed first. */
	for (i = 0; i < 2; i++) {
		unsigned int done = shadow_alloc(shadow, size, false, refs, MAX_BATCH);

		MUST(done == min(fit, MAX_BATCH), "%u of %llu bytes in %llu pages", done, size,
		     pages);
		MUST(!shadow_free(shadow, refs, done), "bad refs");
		done = shadow_alloc(shadow, 24, false, refs, 1);
		MUST(done == (pages > 0), "%u in %llu pages", done, pages);
		MUST(!shadow_free(shadow, refs, done), "bad refs");
	}
	shadow_verify(shadow);
	shadow_delete(shadow);
	MUST(!atomic_long_read(&quota.used), "the user is still charged");
}

static void limits(const void *user)
{
	static const u64 pages[] = { 0, 1, 2, 7, 63, 64, 65, 130, 200 };
	static const u64 sizes[] = { 8, 16, 48, 208, 512, POOL + 1, 60 * POOL, 70 * POOL };
	size_t i, j;

	MUST(!pym_arena_cache_init(), "no cache");
	for (i = 0; i < ARRAY_SIZE(pages); i++)
		for (j = 0; j < ARRAY_SIZE(sizes); j++)
			stop_at(pages[i], user, sizes[j]);
	pym_arena_cache_exit();
}

/* A heap is full when its window is. */
static void window_used_up(const void *unused)
{
	struct shadow_config config = { .alignment = 8, .window = PYMALLOC_WINDOW_MIN };
	struct shadow *shadow;
	u64 refs[MAX_BATCH];

	(void)unused;
	MUST(!pym_arena_cache_init(), "no cache");
	shadow = shadow_new(&config);
	MUST(!shadow_alloc(shadow, ARENA + 1, false, refs, 1), "a run without a place");
	MUST(shadow_alloc(shadow, 512, false, refs, 1000) == 512, "an arena of 512 blocks");
	MUST(!shadow_alloc(shadow, POOL, false, refs + 512, 1), "a run in an arena of pools");
	MUST(!shadow_free(shadow, refs, 512), "bad refs");
	/* The arena of the empty pools is removed to make room. */
	MUST(shadow_alloc(shadow, ARENA / 2, false, refs, 5) == 2, "an arena of two runs");
	MUST(!shadow_alloc(shadow, 512, false, refs + 2, 1), "a block in an arena of runs");
	MUST(!shadow_free(shadow, refs, 2), "bad refs");
	MUST(shadow_alloc(shadow, 512, false, refs, 1000) == 512, "an arena of 512 blocks");
	shadow_verify(shadow);
	shadow_delete(shadow);
	pym_arena_cache_exit();
}

/*
 * Arenas lie only within the heap's extent, and can fill it, wherever in a region it ends
 * and however often it grows.  The same holds for a clone.
 */
static void extent_grows(const void *unused)
{
	static const u64 arenas[] = { 2, 3, 63, 64, 65, 127, 128, 129, 200 };
	struct shadow_config config = {
		.alignment = 8, .window = 200 * ARENA, .extent = 2 * ARENA,
	};
	struct shadow *shadow, *clone;
	u64 refs[200];
	size_t i, done = 0;

	(void)unused;
	MUST(!pym_arena_cache_init(), "no cache");
	shadow = shadow_new(&config);
	for (i = 0; i < ARRAY_SIZE(arenas); i++) {
		MUST(!pym_heap_grow(&shadow->heap, arenas[i] * ARENA), "no growth");
		done += shadow_alloc(shadow, ARENA, false, refs + done, 200 - done);
		MUST(done == arenas[i] - 1, "%zu of %llu arenas", done, arenas[i]);
		MUST(pym_heap_grow(&shadow->heap, (arenas[i] - 1) * ARENA) == -EINVAL,
		     "a heap shrinks");
		shadow_verify(shadow);
		clone = shadow_fork(shadow);
		MUST(!shadow_alloc(clone, 8, false, refs + done, 1), "a clone's extent");
		shadow_verify(clone);
		shadow_delete(clone);
	}
	MUST(pym_heap_grow(&shadow->heap, 201 * ARENA) == -EINVAL, "beyond the window");
	shadow_delete(shadow);
	pym_arena_cache_exit();
}

int main(void)
{
	size_t i;

	tap_begin();
	for (i = 0; i < ARRAY_SIZE(scenarios); i++)
		run_scenario(&scenarios[i]);
	tap_run("making and checking a heap", make_heap, NULL);
	tap_run("killing a task that checks a heap", kill_check, NULL);
	tap_run("forking a heap", fork_heap, NULL);
	tap_run("writing to shared pages at the user's limit", copy_at_limit, NULL);
	tap_run("the heap's limit", limits, NULL);
	tap_run("the user's limit", limits, "");
	tap_run("the end of the window", window_used_up, NULL);
	tap_run("the end of the extent", extent_grows, NULL);
	return tap_end();
}
