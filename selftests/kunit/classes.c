// SPDX-License-Identifier: GPL-2.0
/*
 * Size classes: which one serves a size, and what a pool of it holds.
 */
#include <linux/mm.h>

#include "kunit.h"

static const u32 alignments[] = { 8, 16 };

static void describe_alignment(const u32 *alignment, char *text)
{
	snprintf(text, KUNIT_PARAM_DESC_SIZE, "alignment %u", *alignment);
}

KUNIT_ARRAY_PARAM(alignment, alignments, describe_alignment);

static void every_size_has_its_class(struct kunit *test)
{
	u32 alignment = *(const u32 *)test->param_value;
	struct pym_heap *heap = &heap_new(test, alignment, TEST_WINDOW)->heap;
	u64 size;

	for (size = 1; size <= PYMALLOC_BLOCK_MAX; size++) {
		u64 ref = alloc_one(test, heap, size), usable = ALIGN(size, alignment);

		KUNIT_EXPECT_EQ_MSG(test, pym_usable(heap, ref), usable, "size %llu", size);
		KUNIT_EXPECT_EQ_MSG(test, heap_map(heap, ref),
				    usable / PYMALLOC_BLOCK_MIN, "size %llu", size);
		KUNIT_EXPECT_EQ(test, free_one(heap, ref), PYMALLOC_REF_OK);
	}
	KUNIT_EXPECT_EQ(test, pym_usable(heap, alloc_one(test, heap, size)),
			PYMALLOC_POOL_SIZE);
}

static void expect_class_stats(struct kunit *test, struct pym_heap *heap, u32 number,
			       u64 full, u64 used, u64 untouched)
{
	struct pym_class_stats stats;

	pym_class_stats(heap, number, &stats);
	KUNIT_EXPECT_EQ_MSG(test, stats.pools_full, full, "class %u", number);
	KUNIT_EXPECT_EQ_MSG(test, stats.pools_used, used, "class %u", number);
	KUNIT_EXPECT_EQ_MSG(test, stats.blocks_untouched, untouched, "class %u", number);
}

/* A pool has no header: it has as many blocks as fit into a page. */
static void every_pool_is_all_blocks(struct kunit *test)
{
	u32 alignment = *(const u32 *)test->param_value;
	struct pym_heap *heap = &heap_new(test, alignment, TEST_WINDOW)->heap;
	u32 size;

	for (size = alignment; size <= PYMALLOC_BLOCK_MAX; size += alignment) {
		u32 capacity = PYMALLOC_POOL_SIZE / size, number = size / PYMALLOC_BLOCK_MIN, i;
		u64 *refs = alloc_many(test, heap, size, capacity);
		u64 pool = round_down(refs[0], PYMALLOC_POOL_SIZE);
		u32 first = (refs[0] - pool) / size;

		for (i = 0; i < capacity; i++)
			KUNIT_EXPECT_EQ_MSG(test, refs[i] - pool, (first + i) % capacity * size,
					    "size %u", size);
		expect_class_stats(test, heap, number, 1, 0, 0);
		alloc_one(test, heap, size);
		expect_class_stats(test, heap, number, 1, 1, capacity - 1);
	}
}

static void the_rest_of_the_classes_is_not_used(struct kunit *test)
{
	u32 alignment = *(const u32 *)test->param_value;
	struct pym_heap *heap = &heap_new(test, alignment, TEST_WINDOW)->heap;
	u32 number;

	for (number = 0; number <= PYMALLOC_NR_CLASSES; number++) {
		u32 size = number * PYMALLOC_BLOCK_MIN;

		KUNIT_EXPECT_EQ(test, heap->classes[number].size, size % alignment ? 0 : size);
	}
}

/* A block's index is found by a multiplication, which must be right for all offsets. */
static void division_is_exact(struct kunit *test)
{
	u32 alignment = *(const u32 *)test->param_value;
	struct pym_heap *heap = &heap_new(test, alignment, TEST_WINDOW)->heap;
	u32 size, offset, wrong;

	for (size = alignment; size <= PYMALLOC_BLOCK_MAX; size += alignment) {
		u32 end = PYMALLOC_POOL_SIZE / size * size;
		u64 *refs = alloc_many(test, heap, size, PYMALLOC_POOL_SIZE / size);
		u64 pool = round_down(refs[0], PYMALLOC_POOL_SIZE);

		for (offset = 0, wrong = 0; offset < PYMALLOC_POOL_SIZE; offset += 4) {
			u64 want = offset % size || offset >= end ? 0 : size;

			wrong += pym_usable(heap, pool + offset) != want;
		}
		KUNIT_EXPECT_EQ_MSG(test, wrong, 0, "size %u", size);
	}
}

static struct kunit_case cases[] = {
	KUNIT_CASE_PARAM(every_size_has_its_class, alignment_gen_params),
	KUNIT_CASE_PARAM(every_pool_is_all_blocks, alignment_gen_params),
	KUNIT_CASE_PARAM(the_rest_of_the_classes_is_not_used, alignment_gen_params),
	KUNIT_CASE_PARAM(division_is_exact, alignment_gen_params),
	{}
};

static struct kunit_suite suite = {
	.name		= "pymalloc_classes",
	.test_cases	= cases,
};

kunit_test_suites(&suite);
