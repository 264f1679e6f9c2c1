// SPDX-License-Identifier: GPL-2.0
/*
 * Limits: a heap's own, and its user's.
 */
#include "kunit.h"

#define PAGES(nr)	((u64)(nr) * PYMALLOC_POOL_SIZE)
#define POOL_BLOCKS	(PYMALLOC_POOL_SIZE / PYMALLOC_BLOCK_MAX)
#define MOST		(64 * POOL_BLOCKS)

static u64 refs[MOST];

/*
 * Pages of blocks of that size, or of runs, with what describes them.  If the pages are taken
 * together, this is a little less.
 */
#define FILLED(nr)	((nr) * (PAGES(1) + pym_sheet_bytes(0, 0)))

/* The metadata of a heap that has so many arenas, all in its first region, and no page. */
static unsigned long meta_with(const struct pym_heap *heap, unsigned int arenas)
{
	return heap->base_bytes + PYM_TABLE_BYTES + PYM_REGION_BYTES + arenas * PYM_ARENA_BYTES;
}

/* Allocate the largest blocks until there are no more; @err says why. */
static unsigned int alloc_all(struct pym_heap *heap, int *err)
{
	return pym_alloc(heap, PYMALLOC_BLOCK_MAX, false, refs, MOST, err);
}

struct limit {
	unsigned long bytes;
	unsigned int pages;
};

static const struct limit limits[] = {
	{ 1, 0 }, { 4095, 0 }, { 4096, 1 }, { 8191, 1 }, { 7 * 4096, 7 }, { 33 * 4096 + 5, 33 },
};

static void describe_limit(const struct limit *limit, char *text)
{
	snprintf(text, KUNIT_PARAM_DESC_SIZE, "%lu bytes", limit->bytes);
}

KUNIT_ARRAY_PARAM(limit, limits, describe_limit);

static void a_heap_ends_at_its_limit(struct kunit *test)
{
	const struct limit *limit = test->param_value;
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;
	unsigned int done;
	int err;

	heap->limit = meta_with(heap, 1) + limit->pages * pym_sheet_bytes(0, 0) +
		      limit->bytes;
	done = alloc_all(heap, &err);
	KUNIT_EXPECT_EQ(test, done, limit->pages * POOL_BLOCKS);
	KUNIT_EXPECT_EQ(test, err, -ENOMEM);
	KUNIT_EXPECT_EQ(test, heap->pages, limit->pages);
	heap_check(test, heap);
	if (!done)
		return;
	KUNIT_EXPECT_EQ(test, free_one(heap, refs[0]), PYMALLOC_REF_OK);
	KUNIT_EXPECT_EQ(test, alloc_one(test, heap, PYMALLOC_BLOCK_MAX), refs[0]);
}

static void a_limit_may_sink_below_what_is_held(struct kunit *test)
{
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;
	unsigned int done;
	int err;

	heap->limit = meta_with(heap, 1) + FILLED(8);
	done = alloc_all(heap, &err);
	heap->limit = meta_with(heap, 2) + FILLED(2);
	KUNIT_EXPECT_EQ(test, pym_alloc(heap, 8, false, refs + done, 1, &err), 0);
	KUNIT_EXPECT_EQ(test, err, -ENOMEM);
	free_many(test, heap, refs, 7 * POOL_BLOCKS);
	alloc_one(test, heap, PAGES(1));
	KUNIT_EXPECT_EQ_MSG(test, heap->pages, 2, "what was empty has gone");
}

static void heaps_share_their_users_limit(struct kunit *test)
{
	struct test_heap *one = heap_new(test, 8, TEST_WINDOW);
	struct test_heap *two = heap_new(test, 8, TEST_WINDOW);
	int err;

	heap_set_user(two, &one->user);
	one->user_max = meta_with(&one->heap, 1) + meta_with(&two->heap, 1) + FILLED(8);
	alloc_many(test, &one->heap, PYMALLOC_BLOCK_MAX, 5 * POOL_BLOCKS);
	KUNIT_EXPECT_EQ(test, alloc_all(&two->heap, &err), 3 * POOL_BLOCKS);
	KUNIT_EXPECT_EQ(test, err, -EDQUOT);
	KUNIT_EXPECT_EQ(test, pym_quota_pages(&one->user), 8);
	heap_check(test, &one->heap);
	heap_check(test, &two->heap);

	free_many(test, &two->heap, refs, 3 * POOL_BLOCKS);
	pym_trim(&two->heap);
	alloc_one(test, &one->heap, PAGES(3));
}

/* A heap at its limit gives back the pages of empty pools before an allocation fails. */
static void a_heap_trims_before_it_fails(struct kunit *test)
{
	struct test_heap *th = heap_new(test, 8, TEST_WINDOW);
	struct pym_heap *heap = &th->heap;
	int err;

	heap->limit = meta_with(heap, 1) + FILLED(4);
	KUNIT_EXPECT_EQ(test, alloc_all(heap, &err), 4 * POOL_BLOCKS);
	free_many(test, heap, refs, 4 * POOL_BLOCKS);
	KUNIT_EXPECT_EQ(test, heap->nr_empty, 4);
	free_one(heap, alloc_one(test, heap, PAGES(4)));
	KUNIT_EXPECT_EQ(test, heap->nr_empty, 0);

	heap->limit = 0;
	th->user_max = meta_with(heap, 1) + FILLED(4);
	KUNIT_EXPECT_EQ(test, alloc_all(heap, &err), 4 * POOL_BLOCKS);
	free_many(test, heap, refs, 4 * POOL_BLOCKS);
	alloc_one(test, heap, PAGES(4));
}

/* The same for blocks, if all empty pools are in an arena that is not the fullest. */
static void a_class_trims_before_it_fails(struct kunit *test)
{
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;
	unsigned int arena = PYMALLOC_ARENA_POOLS * POOL_BLOCKS;
	u64 *all = alloc_many(test, heap, PYMALLOC_BLOCK_MAX, 2 * arena - POOL_BLOCKS);

	/* The first arena is nearly full, but its free pool has no page. */
	free_many(test, heap, all, POOL_BLOCKS);
	pym_trim(heap);
	free_many(test, heap, all + arena, 2 * POOL_BLOCKS);
	heap->limit = meta_with(heap, 2) + FILLED(heap->pages);
	KUNIT_ASSERT_EQ(test, heap->nr_empty, 2);
	KUNIT_EXPECT_EQ(test, alloc_one(test, heap, 8), all[0]);
	KUNIT_EXPECT_EQ(test, heap->nr_empty, 0);
}

static void a_run_is_charged_whole_or_not_at_all(struct kunit *test)
{
	struct test_heap *th = heap_new(test, 8, TEST_WINDOW);
	struct pym_heap *heap = &th->heap;
	int err;

	heap->limit = meta_with(heap, 2) + FILLED(70);
	KUNIT_EXPECT_EQ(test, pym_alloc(heap, PAGES(71), false, refs, 1, &err), 0);
	KUNIT_EXPECT_EQ(test, err, -ENOMEM);
	KUNIT_EXPECT_EQ(test, heap->pages, 0);
	KUNIT_EXPECT_EQ(test, heap->nr_run_arenas, 0);
	heap_check(test, heap);

	th->user_max = meta_with(heap, 2) + FILLED(69);
	KUNIT_EXPECT_EQ(test, pym_alloc(heap, PAGES(70), false, refs, 1, &err), 0);
	KUNIT_EXPECT_EQ(test, err, -EDQUOT);
	KUNIT_EXPECT_EQ(test, pym_quota_pages(&th->user), 0);
	heap_check(test, heap);

	KUNIT_EXPECT_EQ(test, pym_alloc(heap, PAGES(30), false, refs, 3, &err), 2);
	KUNIT_EXPECT_EQ(test, err, -EDQUOT);
	KUNIT_EXPECT_EQ(test, pym_quota_pages(&th->user), 60);
}

static void a_quota_is_exact(struct kunit *test)
{
	unsigned long max = 10;
	struct pym_quota quota = { .max = &max };

	KUNIT_EXPECT_EQ(test, pym_quota_charge(&quota, 11), -EDQUOT);
	KUNIT_EXPECT_EQ(test, pym_quota_charge(&quota, 4), 0);
	KUNIT_EXPECT_EQ(test, pym_quota_charge(&quota, 7), -EDQUOT);
	KUNIT_EXPECT_EQ(test, pym_quota_charge(&quota, 6), 0);
	KUNIT_EXPECT_EQ(test, pym_quota_charge(&quota, 1), -EDQUOT);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&quota.used), 10);
	pym_quota_uncharge(&quota, 1);
	KUNIT_EXPECT_EQ(test, pym_quota_charge(&quota, 1), 0);
	max = 0;
	KUNIT_EXPECT_EQ(test, pym_quota_charge(&quota, 1000), 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&quota.used), 1010);

	KUNIT_EXPECT_EQ(test, pym_quota_charge(NULL, 1000), 0);
	pym_quota_uncharge(NULL, 1000);
}

/*
 * Allocate runs of a whole arena, and shrink each to a page, until that fails; @err says
 * why.  Returns how many.
 */
static unsigned int alloc_thin(struct kunit *test, struct pym_heap *heap, int *err)
{
	unsigned int nr;

	for (nr = 0; nr < MOST; nr++) {
		u64 used = atomic_long_read(&heap->quota.used);

		if (!pym_alloc(heap, PAGES(64), false, &refs[nr], 1, err))
			break;
		KUNIT_ASSERT_EQ(test, pym_resize(heap, &refs[nr], PAGES(1)), 0);
		KUNIT_ASSERT_GE(test, atomic_long_read(&heap->quota.used) - used,
				PAGES(1) + PYM_ARENA_BYTES);
	}
	heap_check(test, heap);
	return nr;
}

/* The metadata of arenas counts: limits bound them even if each has only one page. */
static void metadata_counts(struct kunit *test)
{
	struct test_heap *th = heap_new(test, 8, TEST_WINDOW);
	struct pym_heap *heap = &th->heap;
	/* The pages of a run are taken by 16.  Of four times 16, the first one is left. */
	unsigned long sheet = pym_sheet_bytes(0, PYM_SHEET_SHIFT_MAX);
	unsigned int nr = 50;
	int err;

	heap->limit = meta_with(heap, nr) + PAGES(nr + 63) + (nr + 3) * sheet;
	KUNIT_EXPECT_EQ(test, alloc_thin(test, heap, &err), nr);
	KUNIT_EXPECT_EQ(test, err, -ENOMEM);
	KUNIT_EXPECT_EQ(test, heap_stats(heap).meta_bytes,
			meta_with(heap, nr) + nr * sheet);
	free_many(test, heap, refs, nr);
	KUNIT_EXPECT_EQ(test, heap_stats(heap).meta_bytes, meta_with(heap, 0));

	th->user_max = heap->limit - 1;
	heap->limit = 0;
	KUNIT_EXPECT_EQ(test, alloc_thin(test, heap, &err), nr - 1);
	KUNIT_EXPECT_EQ(test, err, -EDQUOT);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&th->user.meta),
			meta_with(heap, nr - 1) + (nr - 1) * sheet);
	KUNIT_EXPECT_EQ(test, pym_quota_pages(&th->user), nr - 1);
}

/* The largest window costs no more than the smallest as long as it is not used. */
static void a_window_costs_by_use(struct kunit *test)
{
	struct pym_heap *small = &heap_new(test, 8, PYMALLOC_WINDOW_MIN)->heap;
	struct pym_heap *large = &heap_new(test, 8, PYMALLOC_WINDOW_MAX)->heap;
	unsigned int nr, regions = 100;
	u64 meta;

	KUNIT_EXPECT_EQ(test, heap_stats(small).meta_bytes, heap_stats(large).meta_bytes);
	for (nr = 0; nr < regions; nr++) {
		refs[nr] = alloc_one(test, large, PYMALLOC_SIZE_MAX);
		KUNIT_ASSERT_EQ(test, pym_resize(large, &refs[nr], PAGES(1)), 0);
	}
	/* One more, because the first region has no room for a run of 64 arenas. */
	KUNIT_EXPECT_EQ(test, large->made_regions, regions + 1);
	heap_check(test, large);
	free_many(test, large, refs, regions);
	meta = heap_stats(large).meta_bytes - large->base_bytes;
	KUNIT_EXPECT_LE(test, meta, (regions + 1) * (PYM_REGION_BYTES + 2 * sizeof(void *)) +
			PYM_TABLE_BYTES);
	heap_check(test, large);
}

/* fork() is not refused, but a clone's metadata is charged, and moves to its new user. */
static void a_clones_metadata_counts(struct kunit *test)
{
	struct test_heap *parent = heap_new(test, 8, TEST_WINDOW), *child;
	struct test_heap *other = heap_new(test, 8, TEST_WINDOW);
	u64 meta, others = atomic_long_read(&other->user.meta), more;
	int err;

	alloc_many(test, &parent->heap, 64, 100);
	meta = heap_stats(&parent->heap).meta_bytes;
	parent->user_max = atomic_long_read(&parent->user.used);
	child = heap_clone(test, parent);
	KUNIT_EXPECT_EQ(test, heap_stats(&child->heap).meta_bytes, meta);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&parent->user.meta), 2 * meta);
	KUNIT_EXPECT_EQ(test, pym_alloc(&child->heap, PAGES(1), false, &more, 1, &err), 0);
	KUNIT_EXPECT_EQ(test, err, -EDQUOT);

	pym_heap_change_user(&child->heap, &other->user);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&parent->user.meta), meta);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&other->user.meta), others + meta);
	more = alloc_one(test, &child->heap, PAGES(1));
	KUNIT_EXPECT_EQ(test, atomic_long_read(&other->user.meta),
			others + meta + PYM_ARENA_BYTES + pym_sheet_bytes(0, 0));
	free_one(&child->heap, more);
	heap_drop(test, child);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&other->user.meta), others);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&parent->user.meta), meta);
	parent->user_max = 0;
}

static struct kunit_case cases[] = {
	KUNIT_CASE_PARAM(a_heap_ends_at_its_limit, limit_gen_params),
	KUNIT_CASE(a_limit_may_sink_below_what_is_held),
	KUNIT_CASE(heaps_share_their_users_limit),
	KUNIT_CASE(a_heap_trims_before_it_fails),
	KUNIT_CASE(a_class_trims_before_it_fails),
	KUNIT_CASE(a_run_is_charged_whole_or_not_at_all),
	KUNIT_CASE(a_quota_is_exact),
	KUNIT_CASE(metadata_counts),
	KUNIT_CASE(a_window_costs_by_use),
	KUNIT_CASE(a_clones_metadata_counts),
	{}
};

static struct kunit_suite suite = {
	.name		= "pymalloc_limits",
	.test_cases	= cases,
};

kunit_test_suites(&suite);
