// SPDX-License-Identifier: GPL-2.0
/*
 * A heap without a window, as another module of the kernel would use it: nobody maps it,
 * and it has no operations (struct pym_heap_ops).
 */
#include "kunit.h"

static struct pym_heap *windowless_heap(struct kunit *test)
{
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;

	heap->ops = NULL;
	heap->threshold = PAGE_SIZE;
	return heap;
}

static void it_has_blocks(struct kunit *test)
{
	struct pym_heap *heap = windowless_heap(test);
	u64 *refs = alloc_many(test, heap, 48, 1000);

	fill(heap, refs[999], 48, 7);
	heap_check(test, heap);
	free_many(test, heap, refs, 1000);
	KUNIT_EXPECT_EQ(test, free_one(heap, refs[0]), PYMALLOC_REF_FOREIGN);
	pym_trim(heap);
	KUNIT_EXPECT_EQ(test, free_one(heap, alloc_one(test, heap, 48)), PYMALLOC_REF_OK);
	KUNIT_EXPECT_EQ(test, pym_trim(heap), PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, heap->pages, 0);
}

static void it_has_large_objects(struct kunit *test)
{
	struct pym_heap *heap = windowless_heap(test);
	u64 ref = alloc_one(test, heap, 3 * PYMALLOC_ARENA_SIZE + 1);

	fill(heap, ref, 3 * PYMALLOC_ARENA_SIZE, 7);
	heap_check(test, heap);
	KUNIT_EXPECT_EQ(test, free_one(heap, ref), PYMALLOC_REF_OK);
	KUNIT_EXPECT_EQ(test, heap->pages, 0);
}

static void its_objects_can_be_resized(struct kunit *test)
{
	struct pym_heap *heap = windowless_heap(test);
	u64 ref = alloc_one(test, heap, 100);

	fill(heap, ref, 100, 7);
	KUNIT_EXPECT_EQ(test, pym_resize(heap, &ref, 400), 0);
	KUNIT_EXPECT_EQ(test, pym_resize(heap, &ref, 100000), 0);
	KUNIT_EXPECT_EQ(test, pym_resize(heap, &ref, 10000), 0);
	KUNIT_EXPECT_TRUE(test, is_filled(heap, ref, 100, 7));
	heap_check(test, heap);
}

static void it_can_be_looked_at_while_it_goes_on(struct kunit *test)
{
	struct pym_heap *heap = windowless_heap(test);
	struct pym_verdict verdict;
	u64 shared, pss;

	alloc_many(test, heap, 48, 1000);
	KUNIT_EXPECT_EQ(test, pym_check_live(heap, &verdict), 0);
	KUNIT_EXPECT_EQ(test, verdict.errors, 0);
	KUNIT_EXPECT_EQ(test, pym_pages_shared(heap, &shared, &pss), 0);
	KUNIT_EXPECT_EQ(test, shared, 0);
	KUNIT_EXPECT_EQ(test, pss, heap->pages * PAGE_SIZE);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(it_has_blocks),
	KUNIT_CASE(it_has_large_objects),
	KUNIT_CASE(its_objects_can_be_resized),
	KUNIT_CASE(it_can_be_looked_at_while_it_goes_on),
	{}
};

static struct kunit_suite suite = {
	.name		= "pymalloc_windowless",
	.test_cases	= cases,
};

kunit_test_suites(&suite);
