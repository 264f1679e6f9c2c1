// SPDX-License-Identifier: GPL-2.0
/*
 * The checker: it finds nothing in a sound heap, and every corruption in another.
 */
#include "kunit.h"

static const void *next_corruption(const void *last, char *text)
{
	const struct corruption *corruption = last ? last + sizeof(*corruption) : corruptions;

	if (corruption == corruptions + nr_corruptions)
		return NULL;
	strscpy(text, corruption->name, KUNIT_PARAM_DESC_SIZE);
	return corruption;
}

static void it_finds(struct kunit *test)
{
	const struct corruption *corruption = test->param_value;
	struct scene *scene = scene_new(test);
	struct pym_verdict verdict, live;

	heap_check(test, scene->heap);
	corruption->toggle(scene);
	KUNIT_EXPECT_EQ(test, pym_check(scene->heap, &verdict), 0);
	KUNIT_EXPECT_EQ(test, pym_check_live(scene->heap, &live), 0);
	corruption->toggle(scene);
	KUNIT_EXPECT_STREQ(test, live.message, corruption->live ?: "");
	KUNIT_EXPECT_GT(test, verdict.errors, 0);
	KUNIT_EXPECT_STREQ(test, verdict.message, corruption->message);
	KUNIT_EXPECT_EQ(test, verdict.offset, scene->offset[corruption->place]);
}

static void it_is_content_without_arenas(struct kunit *test)
{
	heap_check(test, &heap_new(test, 8, PYMALLOC_WINDOW_MIN)->heap);
	heap_check(test, &heap_new(test, 16, PYMALLOC_WINDOW_MAX)->heap);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(it_is_content_without_arenas),
	KUNIT_CASE_PARAM(it_finds, next_corruption),
	{}
};

static struct kunit_suite suite = {
	.name		= "pymalloc_checker",
	.test_cases	= cases,
};

kunit_test_suites(&suite);
