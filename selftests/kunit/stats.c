// SPDX-License-Identifier: GPL-2.0
/*
 * Statistics, trim, and the notice that a heap has passed its threshold.
 */
#include "kunit.h"

static void figures_add_up(struct kunit *test)
{
	struct scene *scene = scene_new(test);
	struct pym_stats want = {
		.limit = 1 << 20,
		.threshold = 1 << 19,
		.page_bytes = 8 * PYMALLOC_POOL_SIZE,
		.page_bytes_peak = 8 * PYMALLOC_POOL_SIZE,
		.meta_bytes = atomic_long_read(&scene->heap->quota.meta),
		.arenas = 1,
		.run_arenas = 1,
		.pools_used = 1,
		.pools_full = 1,
		.pools_empty = 1,
		.blocks = 8 + 30,
		.block_bytes = 8 * 512 + 30 * 16,
		.runs = 2,
		.run_pages = 5,
		.nr_allocs = 8 + 40 + 1 + 2,
		.nr_frees = 10 + 1,
		.nr_bad_refs = 1,
		.nr_pages_in = 8,
	};
	struct pym_stats stats;

	scene->heap->limit = want.limit;
	scene->heap->threshold = want.threshold;
	free_one(scene->heap, 1);
	stats = heap_stats(scene->heap);
	KUNIT_EXPECT_MEMEQ(test, &stats, &want, sizeof(stats));
}

static void a_class_has_its_figures(struct kunit *test)
{
	struct scene *scene = scene_new(test);
	struct pym_class_stats stats, want = {
		.size = 16,
		.pools_used = 1,
		.blocks = 30,
		.blocks_free = 10,
		.blocks_untouched = 216,
		.nr_allocs = 40,
		.nr_frees = 10,
	};

	pym_class_stats(scene->heap, 16 / PYMALLOC_BLOCK_MIN, &stats);
	KUNIT_EXPECT_MEMEQ(test, &stats, &want, sizeof(stats));
}

/* The first arena does not count: it comes with what the heap and a region take once. */
static void metadata_is_at_most_three_percent(struct kunit *test)
{
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;
	u64 pages, meta;

	alloc_many(test, heap, 512, PYMALLOC_ARENA_SIZE / 512);
	pages = heap->pages;
	meta = heap_stats(heap).meta_bytes;
	alloc_many(test, heap, 512, 32 * PYMALLOC_ARENA_SIZE / 512);
	pages = heap->pages - pages;
	meta = heap_stats(heap).meta_bytes - meta;
	KUNIT_EXPECT_EQ(test, pages, 32 * PYMALLOC_ARENA_POOLS);
	KUNIT_EXPECT_LE(test, meta * 100, 3 * pages * PYMALLOC_POOL_SIZE);
}

static void trim_gives_back_all_that_is_empty(struct kunit *test)
{
	struct test_heap *th = heap_new(test, 8, TEST_WINDOW);
	struct pym_heap *heap = &th->heap;
	u64 *refs = alloc_many(test, heap, 512, 40 * 8), held = heap->pages;

	/* Empty every second pool. */
	for (unsigned int pool = 0; pool < 40; pool += 2)
		free_many(test, heap, refs + pool * 8, 8);
	KUNIT_EXPECT_EQ(test, th->zapped, 0);
	KUNIT_EXPECT_EQ(test, pym_trim(heap), (held - 20) * PYMALLOC_POOL_SIZE);
	KUNIT_EXPECT_EQ(test, th->zapped, held - 20);
	KUNIT_EXPECT_EQ(test, heap->pages, 20);
	KUNIT_EXPECT_EQ(test, heap->nr_empty, 0);
	KUNIT_EXPECT_EQ(test, pym_trim(heap), 0);
	KUNIT_EXPECT_EQ(test, heap->pages_peak, held);
}

static void a_heap_says_when_it_passes_its_threshold(struct kunit *test)
{
	struct test_heap *th = heap_new(test, 8, TEST_WINDOW);
	struct pym_heap *heap = &th->heap;
	u64 ref;

	alloc_one(test, heap, 4096);
	KUNIT_EXPECT_EQ_MSG(test, th->grown, 0, "it has none");
	heap->threshold = 3 * PYMALLOC_POOL_SIZE;
	alloc_one(test, heap, 4096);
	KUNIT_EXPECT_EQ(test, th->grown, 0);
	ref = alloc_one(test, heap, 4096);
	KUNIT_EXPECT_EQ(test, th->grown, 1);
	alloc_one(test, heap, 4096);
	KUNIT_EXPECT_EQ_MSG(test, th->grown, 1, "it is above already");
	free_one(heap, ref);
	free_one(heap, ref - PYMALLOC_POOL_SIZE);
	alloc_one(test, heap, 10 * PYMALLOC_POOL_SIZE);
	KUNIT_EXPECT_EQ(test, th->grown, 2);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(figures_add_up),
	KUNIT_CASE(a_class_has_its_figures),
	KUNIT_CASE(metadata_is_at_most_three_percent),
	KUNIT_CASE(trim_gives_back_all_that_is_empty),
	KUNIT_CASE(a_heap_says_when_it_passes_its_threshold),
	{}
};

static struct kunit_suite suite = {
	.name		= "pymalloc_stats",
	.test_cases	= cases,
};

kunit_test_suites(&suite);
