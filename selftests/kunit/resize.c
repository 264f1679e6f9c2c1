// SPDX-License-Identifier: GPL-2.0
/*
 * Resizing: which objects stay, which move, and that contents are kept.
 */
#include "kunit.h"

struct resize {
	u64 from;
	u64 to;
	bool stays;
};

/* CPython's rule: an object that shrinks moves only if that saves a quarter or more. */
static const struct resize resizes[] = {
	{ 8, 1, true }, { 8, 8, true }, { 8, 9, false }, { 1, 8, true },
	{ 104, 79, true }, { 104, 78, false }, { 104, 105, false },
	{ 512, 512, true }, { 512, 385, true }, { 512, 384, false }, { 512, 1, false },
	{ 512, 513, false }, { 16, 70000, false },
	{ 513, 4096, true }, { 4096, 513, true }, { 4096, 4097, false },
	{ 513, 512, false }, { 70000, 16, false },
	{ 20480, 12288, true }, { 300000, 600000, false }, { 600000, 300000, true },
};

static void describe_resize(const struct resize *resize, char *text)
{
	snprintf(text, KUNIT_PARAM_DESC_SIZE, "%llu to %llu bytes", resize->from, resize->to);
}

KUNIT_ARRAY_PARAM(resize, resizes, describe_resize);

static void an_object_keeps_its_bytes(struct kunit *test)
{
	const struct resize *resize = test->param_value;
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;
	u64 kept = min(resize->from, resize->to), ref, now;

	/* Another object first: so a block is not at the start of its page. */
	alloc_one(test, heap, resize->from);
	ref = alloc_one(test, heap, resize->from);
	now = ref;
	fill(heap, ref, resize->from, 0xa5);

	KUNIT_ASSERT_EQ(test, pym_resize(heap, &now, resize->to), 0);
	KUNIT_EXPECT_EQ(test, now == ref, resize->stays);
	KUNIT_EXPECT_GE(test, pym_usable(heap, now), resize->to);
	KUNIT_EXPECT_TRUE(test, is_filled(heap, now, kept, 0xa5));
	if (!resize->stays)
		KUNIT_EXPECT_EQ(test, pym_usable(heap, ref), 0);
	heap_check(test, heap);
	KUNIT_EXPECT_EQ(test, free_one(heap, now), PYMALLOC_REF_OK);
}

static void what_is_no_object_cannot_be_resized(struct kunit *test)
{
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;
	u64 block = alloc_one(test, heap, 64), freed = alloc_one(test, heap, 64);
	u64 run = alloc_one(test, heap, 10000);
	const u64 refs[] = {
		0, 8, block + 8, freed, freed + 64, run + 8, run + PYMALLOC_POOL_SIZE,
		TEST_WINDOW - 64, TEST_WINDOW, U64_MAX,
	};
	unsigned int i;

	free_one(heap, freed);
	for (i = 0; i < ARRAY_SIZE(refs); i++) {
		u64 ref = refs[i];

		KUNIT_EXPECT_EQ_MSG(test, pym_resize(heap, &ref, 100), -EBADSLT, "ref %u", i);
		KUNIT_EXPECT_EQ_MSG(test, ref, refs[i], "ref %u", i);
	}
}

static void without_memory_an_object_is_as_it_was(struct kunit *test)
{
	struct test_heap *th = heap_new(test, 8, TEST_WINDOW);
	struct pym_heap *heap = &th->heap;
	u64 ref = alloc_one(test, heap, 512), now = ref;

	fill(heap, ref, 512, 0xa5);
	heap->limit = PYMALLOC_POOL_SIZE;
	KUNIT_EXPECT_EQ(test, pym_resize(heap, &now, 513), -ENOMEM);
	KUNIT_EXPECT_EQ(test, now, ref);
	KUNIT_EXPECT_EQ_MSG(test, pym_resize(heap, &now, 8), 0, "what shrinks can stay");
	KUNIT_EXPECT_EQ(test, now, ref);

	heap->limit = 0;
	th->user_max = PYMALLOC_POOL_SIZE;
	KUNIT_EXPECT_EQ(test, pym_resize(heap, &now, 513), -EDQUOT);
	KUNIT_EXPECT_EQ(test, now, ref);
	KUNIT_EXPECT_EQ(test, pym_usable(heap, ref), 512);
	KUNIT_EXPECT_TRUE(test, is_filled(heap, ref, 512, 0xa5));
}

static struct kunit_case cases[] = {
	KUNIT_CASE_PARAM(an_object_keeps_its_bytes, resize_gen_params),
	KUNIT_CASE(what_is_no_object_cannot_be_resized),
	KUNIT_CASE(without_memory_an_object_is_as_it_was),
	{}
};

static struct kunit_suite suite = {
	.name		= "pymalloc_resize",
	.test_cases	= cases,
};

kunit_test_suites(&suite);
