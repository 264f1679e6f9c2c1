// SPDX-License-Identifier: GPL-2.0
/*
 * Walks: what a heap looks like from outside.  The heap is the scene that the tests of
 * the checker use, too.
 */
#include "kunit.h"

static void arenas_are_described(struct kunit *test)
{
	struct scene *scene = scene_new(test);
	struct pym_arena_info want[] = {
		{
			.offset = scene->offset[SCENE_FULL],
			.kind = PYMALLOC_ARENA_OBJECT,
			.pools_none = 61,
			.pools_empty = 1,
			.pools_used = 1,
			.pools_full = 1,
			.blocks = 8 + 30,
		}, {
			.offset = scene->offset[SCENE_RUN],
			.kind = PYMALLOC_ARENA_RUNS,
			.pools_none = 59,
			.pools_full = 5,
			.blocks = 2,
		},
	};
	struct pym_arena_info info;
	unsigned int i;
	u64 at = 0;

	for (i = 0; i < ARRAY_SIZE(want); i++) {
		KUNIT_ASSERT_TRUE(test, pym_walk_arena(scene->heap, &at, TEST_WINDOW, &info));
		KUNIT_EXPECT_MEMEQ(test, &info, &want[i], sizeof(info));
		KUNIT_EXPECT_EQ(test, at, want[i].offset + PYMALLOC_ARENA_SIZE);
	}
	KUNIT_EXPECT_FALSE(test, pym_walk_arena(scene->heap, &at, TEST_WINDOW, &info));
	at = 0;
	KUNIT_EXPECT_FALSE(test, pym_walk_arena(scene->heap, &at, PYMALLOC_ARENA_SIZE, &info));
}

struct pool_row {
	enum scene_place place;
	struct pym_pool_info info;
};

static const struct pool_row pool_rows[] = {
	{ SCENE_FULL, { .state = PYMALLOC_POOL_FULL, .size = 512, .allocated = 8 } },
	{ SCENE_USED, { .state = PYMALLOC_POOL_USED, .size = 16, .allocated = 30, .free = 10,
			.untouched = 216 } },
	{ SCENE_EMPTY, { .state = PYMALLOC_POOL_EMPTY } },
	{ SCENE_BARE, { .state = PYMALLOC_POOL_NONE } },
	{ SCENE_RUN, { .state = PYMALLOC_POOL_RUN, .size = 3 * 4096 } },
	{ SCENE_TAIL, { .state = PYMALLOC_POOL_TAIL } },
	{ SCENE_NEXT, { .state = PYMALLOC_POOL_RUN, .size = 2 * 4096 } },
};

static void pools_are_described(struct kunit *test)
{
	struct scene *scene = scene_new(test);
	struct pym_pool_info info, want;
	unsigned int i, nr = 0;
	u64 at;

	for (i = 0; i < ARRAY_SIZE(pool_rows); i++) {
		want = pool_rows[i].info;
		want.offset = scene->offset[pool_rows[i].place];
		at = want.offset + 123;
		KUNIT_ASSERT_TRUE(test, pym_walk_pool(scene->heap, &at, TEST_WINDOW, &info));
		KUNIT_EXPECT_MEMEQ_MSG(test, &info, &want, sizeof(info), "place %u",
				       pool_rows[i].place);
		KUNIT_EXPECT_EQ(test, at, want.offset + PYMALLOC_POOL_SIZE);
	}

	for (at = 0; pym_walk_pool(scene->heap, &at, TEST_WINDOW, &info);)
		nr++;
	KUNIT_EXPECT_EQ(test, nr, 2 * PYMALLOC_ARENA_POOLS);
}

static const unsigned int rooms[] = { 1, 7, 64, 512 };

static void describe_room(const unsigned int *room, char *text)
{
	snprintf(text, KUNIT_PARAM_DESC_SIZE, "%u at a time", *room);
}

KUNIT_ARRAY_PARAM(room, rooms, describe_room);

static void blocks_are_described(struct kunit *test)
{
	unsigned int room = *(const unsigned int *)test->param_value, nr, i;
	struct pym_block_info *info;
	struct scene *scene = scene_new(test);
	unsigned int states[PYMALLOC_BLOCK_ALLOCATED + 1] = {};
	u64 at = 0, last = 0, large = 0;

	info = kunit_kcalloc(test, room, sizeof(*info), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, info);
	while (at < TEST_WINDOW) {
		nr = pym_walk_blocks(scene->heap, &at, TEST_WINDOW, info, room);
		KUNIT_ASSERT_LE(test, nr, room);
		for (i = 0; i < nr; i++) {
			KUNIT_EXPECT_GT(test, info[i].ref, last);
			KUNIT_ASSERT_LE(test, info[i].state, PYMALLOC_BLOCK_ALLOCATED);
			states[info[i].state]++;
			if (info[i].size > PYMALLOC_BLOCK_MAX)
				large += info[i].size;
			if (info[i].state == PYMALLOC_BLOCK_ALLOCATED)
				KUNIT_EXPECT_EQ(test, info[i].size,
						pym_usable(scene->heap, info[i].ref));
			last = info[i].ref;
		}
	}
	KUNIT_EXPECT_EQ(test, states[PYMALLOC_BLOCK_ALLOCATED], 8 + 30 + 2);
	KUNIT_EXPECT_EQ(test, states[PYMALLOC_BLOCK_FREE], 10);
	KUNIT_EXPECT_EQ(test, states[PYMALLOC_BLOCK_UNTOUCHED], 216);
	KUNIT_EXPECT_EQ(test, large, 5 * PYMALLOC_POOL_SIZE);
}

static void a_walk_starts_at_the_next_object(struct kunit *test)
{
	struct scene *scene = scene_new(test);
	struct pym_block_info info;
	u64 at = scene->offset[SCENE_USED] + 17;

	KUNIT_EXPECT_EQ(test, pym_walk_blocks(scene->heap, &at, TEST_WINDOW, &info, 1), 1);
	KUNIT_EXPECT_EQ(test, info.ref, scene->offset[SCENE_USED] + 32);
	at = scene->offset[SCENE_RUN] + 1;
	KUNIT_EXPECT_EQ(test, pym_walk_blocks(scene->heap, &at, TEST_WINDOW, &info, 1), 0);
	KUNIT_EXPECT_EQ(test, at, scene->offset[SCENE_TAIL]);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(arenas_are_described),
	KUNIT_CASE(pools_are_described),
	KUNIT_CASE_PARAM(blocks_are_described, room_gen_params),
	KUNIT_CASE(a_walk_starts_at_the_next_object),
	{}
};

static struct kunit_suite suite = {
	.name		= "pymalloc_walk",
	.test_cases	= cases,
};

kunit_test_suites(&suite);
