// SPDX-License-Identifier: GPL-2.0
/*
 * Runs: whole pages in a row, for large objects.
 */
#include <linux/mm.h>

#include "kunit.h"

#define PAGES(nr)	((u64)(nr) * PYMALLOC_POOL_SIZE)

static const unsigned int lengths[] = { 1, 2, 63, 64, 65, 127, 128, 129, 4096 };

static void describe_length(const unsigned int *length, char *text)
{
	snprintf(text, KUNIT_PARAM_DESC_SIZE, "%u pages", *length);
}

KUNIT_ARRAY_PARAM(length, lengths, describe_length);

static void a_run_is_whole_zeroed_and_goes(struct kunit *test)
{
	unsigned int nr = *(const unsigned int *)test->param_value;
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;
	struct pym_stats stats;
	u64 ref;

	/* One byte on the last page; for a single page, all bytes but the last one. */
	ref = alloc_one(test, heap, nr == 1 ? PAGES(1) - 1 : PAGES(nr - 1) + 1);
	stats = heap_stats(heap);
	KUNIT_EXPECT_EQ(test, pym_usable(heap, ref), PAGES(nr));
	KUNIT_EXPECT_EQ(test, stats.runs, 1);
	KUNIT_EXPECT_EQ(test, stats.run_pages, nr);
	KUNIT_EXPECT_EQ(test, stats.page_bytes, PAGES(nr));
	KUNIT_EXPECT_EQ(test, stats.run_arenas, DIV_ROUND_UP(nr, PYMALLOC_ARENA_POOLS));
	KUNIT_EXPECT_TRUE(test, is_filled(heap, ref, PAGES(nr), 0));
	heap_check(test, heap);

	fill(heap, ref, PAGES(nr), 0xa5);
	KUNIT_EXPECT_EQ(test, free_one(heap, ref), PYMALLOC_REF_OK);
	stats = heap_stats(heap);
	KUNIT_EXPECT_EQ(test, stats.page_bytes, 0);
	KUNIT_EXPECT_EQ(test, stats.run_arenas, 0);

	KUNIT_EXPECT_EQ(test, alloc_one(test, heap, PAGES(nr)), ref);
	KUNIT_EXPECT_TRUE(test, is_filled(heap, ref, PAGES(nr), 0));
}

static void every_ref_is_what_it_is(struct kunit *test)
{
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;
	u64 ref = alloc_one(test, heap, PAGES(3));
	const struct {
		u64 ref;
		enum pymalloc_ref_status status;
	} refs[] = {
		{ 0, PYMALLOC_REF_RANGE },
		{ PYMALLOC_ARENA_SIZE - 1, PYMALLOC_REF_RANGE },
		{ ref + 1, PYMALLOC_REF_MISALIGNED },
		{ ref + PAGES(1), PYMALLOC_REF_MISALIGNED },
		{ ref + PAGES(3) - 1, PYMALLOC_REF_MISALIGNED },
		{ ref + PAGES(3), PYMALLOC_REF_FOREIGN },
		{ ref + PYMALLOC_ARENA_SIZE, PYMALLOC_REF_FOREIGN },
		{ TEST_WINDOW - 8, PYMALLOC_REF_FOREIGN },
		{ TEST_WINDOW, PYMALLOC_REF_RANGE },
		{ U64_MAX, PYMALLOC_REF_RANGE },
		{ ref, PYMALLOC_REF_OK },
		{ ref, PYMALLOC_REF_FOREIGN },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(refs); i++) {
		bool ok = refs[i].status == PYMALLOC_REF_OK;

		KUNIT_EXPECT_EQ_MSG(test, pym_usable(heap, refs[i].ref), ok ? PAGES(3) : 0,
				    "ref %u", i);
		KUNIT_EXPECT_EQ_MSG(test, free_one(heap, refs[i].ref), refs[i].status,
				    "ref %u", i);
	}
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->nr_bad_refs), ARRAY_SIZE(refs) - 1);
}

struct shrink {
	unsigned int from;
	unsigned int to;
};

static const struct shrink shrinks[] = {
	{ 3, 3 }, { 3, 1 }, { 64, 63 }, { 65, 64 }, { 65, 1 }, { 129, 65 }, { 129, 64 },
};

static void describe_shrink(const struct shrink *shrink, char *text)
{
	snprintf(text, KUNIT_PARAM_DESC_SIZE, "%u to %u pages", shrink->from, shrink->to);
}

KUNIT_ARRAY_PARAM(shrink, shrinks, describe_shrink);

static void a_run_shrinks_in_place(struct kunit *test)
{
	const struct shrink *shrink = test->param_value;
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;
	u64 ref = alloc_one(test, heap, PAGES(shrink->from)), now = ref;

	fill(heap, ref, PAGES(shrink->from), 0xa5);
	KUNIT_EXPECT_EQ(test, pym_resize(heap, &now, PAGES(shrink->to) - 100), 0);
	KUNIT_EXPECT_EQ(test, now, ref);
	KUNIT_EXPECT_EQ(test, pym_usable(heap, ref), PAGES(shrink->to));
	KUNIT_EXPECT_TRUE(test, is_filled(heap, ref, PAGES(shrink->to), 0xa5));
	KUNIT_EXPECT_EQ(test, heap->pages, shrink->to);
	KUNIT_EXPECT_EQ(test, heap->nr_run_arenas,
			DIV_ROUND_UP(shrink->to, PYMALLOC_ARENA_POOLS));
	heap_check(test, heap);
	KUNIT_EXPECT_EQ(test, free_one(heap, ref), PYMALLOC_REF_OK);
	KUNIT_EXPECT_EQ(test, heap->nr_run_arenas, 0);
}

static void holes_are_used_again(struct kunit *test)
{
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;
	u64 hole;

	alloc_one(test, heap, PAGES(4));
	hole = alloc_one(test, heap, PAGES(4));
	alloc_one(test, heap, PAGES(56));
	free_one(heap, hole);
	KUNIT_EXPECT_EQ(test, alloc_one(test, heap, PAGES(4)), hole);
	free_one(heap, hole);
	KUNIT_EXPECT_EQ(test, alloc_one(test, heap, PAGES(1)), hole);
	KUNIT_EXPECT_EQ(test, alloc_one(test, heap, PAGES(3)), hole + PAGES(1));
	KUNIT_EXPECT_EQ_MSG(test, alloc_one(test, heap, PAGES(1)), 2 * PYMALLOC_ARENA_SIZE,
			    "the arena is full");
}

static void the_arena_with_the_least_room_serves(struct kunit *test)
{
	static const struct {
		unsigned int pages;
		unsigned int arena;
	} steps[] = {
		{ 60, 1 }, { 50, 2 }, { 20, 3 },	/* leave 4, 14 and 44 */
		{ 9, 2 }, { 4, 1 }, { 3, 2 }, { 40, 3 }, { 2, 2 }, { 5, 4 },
	};
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		u64 ref = alloc_one(test, heap, PAGES(steps[i].pages));

		KUNIT_EXPECT_EQ_MSG(test, ref >> PYM_ARENA_SHIFT, steps[i].arena, "step %u", i);
	}
}

static void a_long_run_leaves_the_rest_to_others(struct kunit *test)
{
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;
	u64 ref = alloc_one(test, heap, PAGES(65));

	KUNIT_EXPECT_EQ(test, alloc_one(test, heap, PAGES(63)), ref + PAGES(65));
	KUNIT_EXPECT_EQ(test, heap->nr_run_arenas, 2);
	free_one(heap, ref);
	KUNIT_EXPECT_EQ(test, heap->nr_run_arenas, 1);
	KUNIT_EXPECT_EQ(test, alloc_one(test, heap, PAGES(1)), ref + PAGES(64));
}

static unsigned int get_pages(struct pym_heap *heap, u64 offset, struct page **pages)
{
	unsigned int nr = pym_pages_get(heap, offset, pages, 16), i;

	for (i = 0; i < nr; i++)
		put_page(pages[i]);
	return nr;
}

static void pages_are_found_in_a_row(struct kunit *test)
{
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;
	u64 ref = alloc_one(test, heap, PAGES(5)), end = ref + PYMALLOC_ARENA_SIZE;
	struct page *pages[16];

	KUNIT_EXPECT_EQ(test, get_pages(heap, ref, pages), 5);
	KUNIT_EXPECT_PTR_EQ(test, pages[4], heap_pool(heap, ref + PAGES(4))->page);
	KUNIT_EXPECT_EQ(test, pym_pages_same(heap, ref, pages, 5), 5);
	KUNIT_EXPECT_EQ(test, pym_pages_same(heap, ref + PAGES(1), pages + 1, 4), 4);
	KUNIT_EXPECT_EQ(test, pym_pages_same(heap, ref + PAGES(1), pages, 4), 0);
	KUNIT_EXPECT_EQ(test, get_pages(heap, ref + PAGES(4) + 1, pages), 1);
	KUNIT_EXPECT_EQ(test, get_pages(heap, ref + PAGES(5), pages), 0);
	KUNIT_EXPECT_EQ(test, get_pages(heap, 0, pages), 0);
	KUNIT_EXPECT_EQ(test, get_pages(heap, U64_MAX, pages), 0);

	get_pages(heap, ref, pages);
	pym_resize(heap, &ref, PAGES(3));
	KUNIT_EXPECT_EQ(test, pym_pages_same(heap, ref, pages, 5), 3);

	/* pym_pages_get() stops at the end of the arena, although the run does not. */
	alloc_one(test, heap, PAGES(61));
	KUNIT_EXPECT_EQ(test, alloc_one(test, heap, PAGES(65)), end);
	end += PYMALLOC_ARENA_SIZE;
	KUNIT_EXPECT_EQ(test, get_pages(heap, end - PAGES(2), pages), 2);
	KUNIT_EXPECT_EQ(test, get_pages(heap, end, pages), 1);
}

static struct kunit_case cases[] = {
	KUNIT_CASE_PARAM(a_run_is_whole_zeroed_and_goes, length_gen_params),
	KUNIT_CASE(every_ref_is_what_it_is),
	KUNIT_CASE_PARAM(a_run_shrinks_in_place, shrink_gen_params),
	KUNIT_CASE(holes_are_used_again),
	KUNIT_CASE(the_arena_with_the_least_room_serves),
	KUNIT_CASE(a_long_run_leaves_the_rest_to_others),
	KUNIT_CASE(pages_are_found_in_a_row),
	{}
};

static struct kunit_suite suite = {
	.name		= "pymalloc_runs",
	.test_cases	= cases,
};

kunit_test_suites(&suite);
