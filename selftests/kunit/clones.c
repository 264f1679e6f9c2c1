// SPDX-License-Identifier: GPL-2.0
/*
 * Clones: a heap and its copy share pages until one of them writes.
 *
 * Here nobody maps the heaps.  So a test that writes to a page must first call
 * heap_own(), as a write fault would.
 */
#include <linux/mm.h>

#include "kunit.h"

static struct page *page_at(struct test_heap *th, u64 ref)
{
	struct pym_pool *pool = heap_pool(&th->heap, ref);

	return pool ? pool->page : NULL;
}

static void write(struct kunit *test, struct test_heap *th, u64 ref, u64 bytes, u8 value)
{
	KUNIT_ASSERT_EQ(test, heap_own(th, ref), 0);
	fill(&th->heap, ref, bytes, value);
}

static void a_clone_has_what_the_heap_has(struct kunit *test)
{
	struct scene *scene = scene_new(test);
	struct test_heap *parent = container_of(scene->heap, struct test_heap, heap);
	struct test_heap *child = heap_clone(test, parent);
	struct pym_stats stats = heap_stats(&parent->heap), copy = heap_stats(&child->heap);
	struct pym_pool_info pool, pool_copy;
	u64 at = 0, at_copy = 0;

	heap_check(test, &parent->heap);
	heap_check(test, &child->heap);
	KUNIT_EXPECT_EQ(test, copy.blocks, stats.blocks);
	KUNIT_EXPECT_EQ(test, copy.block_bytes, stats.block_bytes);
	KUNIT_EXPECT_EQ(test, copy.runs, stats.runs);
	KUNIT_EXPECT_EQ(test, copy.run_pages, stats.run_pages);
	KUNIT_EXPECT_EQ(test, copy.nr_allocs, stats.nr_allocs);
	KUNIT_EXPECT_EQ(test, copy.pools_used, stats.pools_used);
	KUNIT_EXPECT_EQ(test, copy.pools_full, stats.pools_full);
	KUNIT_EXPECT_EQ_MSG(test, copy.pools_empty, 0, "what is empty is not worth it");

	while (pym_walk_pool(&parent->heap, &at, TEST_WINDOW, &pool)) {
		KUNIT_ASSERT_TRUE(test, pym_walk_pool(&child->heap, &at_copy, TEST_WINDOW,
						      &pool_copy));
		if (pool.state == PYMALLOC_POOL_EMPTY)
			continue;
		KUNIT_EXPECT_MEMEQ(test, &pool_copy, &pool, sizeof(pool));
		KUNIT_EXPECT_PTR_EQ(test, page_at(child, pool.offset),
				    page_at(parent, pool.offset));
	}
}

static void neither_sees_what_the_other_writes(struct kunit *test)
{
	struct test_heap *parent = heap_new(test, 8, TEST_WINDOW), *child, *grandchild;
	u64 one = alloc_one(test, &parent->heap, 64), two = alloc_one(test, &parent->heap, 64);

	write(test, parent, one, 128, 1);
	child = heap_clone(test, parent);
	grandchild = heap_clone(test, child);
	write(test, child, one, 64, 2);
	KUNIT_EXPECT_PTR_EQ(test, page_at(parent, one), page_at(grandchild, one));
	KUNIT_EXPECT_PTR_NE(test, page_at(parent, one), page_at(child, one));
	write(test, parent, two, 64, 3);

	KUNIT_EXPECT_TRUE(test, is_filled(&parent->heap, one, 64, 1));
	KUNIT_EXPECT_TRUE(test, is_filled(&parent->heap, two, 64, 3));
	KUNIT_EXPECT_TRUE(test, is_filled(&child->heap, one, 64, 2));
	KUNIT_EXPECT_TRUE(test, is_filled(&child->heap, two, 64, 1));
	KUNIT_EXPECT_TRUE(test, is_filled(&grandchild->heap, one, 128, 1));
	KUNIT_EXPECT_EQ(test, pym_quota_pages(&parent->user), 3);
}

static void what_one_frees_the_other_keeps(struct kunit *test)
{
	struct test_heap *parent = heap_new(test, 8, TEST_WINDOW), *child;
	u64 block = alloc_one(test, &parent->heap, 64), run = alloc_one(test, &parent->heap, 20000);

	write(test, parent, block, 64, 1);
	child = heap_clone(test, parent);
	KUNIT_EXPECT_EQ(test, free_one(&child->heap, block), PYMALLOC_REF_OK);
	KUNIT_EXPECT_EQ(test, free_one(&parent->heap, run), PYMALLOC_REF_OK);
	pym_trim(&child->heap);
	KUNIT_EXPECT_EQ(test, pym_usable(&child->heap, block), 0);
	KUNIT_EXPECT_EQ(test, pym_usable(&child->heap, run), 20480);
	KUNIT_EXPECT_EQ(test, pym_usable(&parent->heap, block), 64);
	KUNIT_EXPECT_TRUE(test, is_filled(&parent->heap, block, 64, 1));
	KUNIT_EXPECT_TRUE(test, is_filled(&child->heap, run, 20480, 0));

	KUNIT_EXPECT_EQ(test, alloc_one(test, &child->heap, 64), block);
	KUNIT_EXPECT_PTR_NE(test, page_at(child, block), page_at(parent, block));
	heap_check(test, &parent->heap);
}

/* The core writes to pages, too: it clears blocks, and copies objects that move. */
static void the_core_copies_before_it_writes(struct kunit *test)
{
	struct test_heap *parent = heap_new(test, 8, TEST_WINDOW), *child;
	u64 *refs = alloc_many(test, &parent->heap, 64, 3);
	u64 *others = alloc_many(test, &parent->heap, 128, 2), moved = refs[0], cleared;
	int err;

	write(test, parent, refs[0], 3 * 64, 1);
	write(test, parent, others[0], 2 * 128, 2);
	child = heap_clone(test, parent);

	free_one(&child->heap, refs[2]);
	KUNIT_ASSERT_EQ(test, pym_alloc(&child->heap, 64, true, &cleared, 1, &err), 1);
	KUNIT_EXPECT_EQ(test, cleared, refs[2]);
	KUNIT_EXPECT_TRUE(test, is_filled(&child->heap, cleared, 64, 0));
	KUNIT_EXPECT_TRUE(test, is_filled(&child->heap, refs[0], 2 * 64, 1));
	KUNIT_EXPECT_TRUE(test, is_filled(&parent->heap, refs[0], 3 * 64, 1));

	free_one(&child->heap, others[1]);
	KUNIT_ASSERT_EQ(test, pym_resize(&child->heap, &moved, 128), 0);
	KUNIT_EXPECT_EQ(test, moved, others[1]);
	KUNIT_EXPECT_TRUE(test, is_filled(&child->heap, moved, 64, 1));
	KUNIT_EXPECT_TRUE(test, is_filled(&child->heap, others[0], 128, 2));
	KUNIT_EXPECT_TRUE(test, is_filled(&parent->heap, others[0], 2 * 128, 2));
}

static void the_last_owner_keeps_the_page(struct kunit *test)
{
	struct test_heap *user = heap_new(test, 8, TEST_WINDOW);
	struct test_heap *parent = heap_new(test, 8, TEST_WINDOW), *child;
	struct page *page;
	u64 ref;

	heap_set_user(parent, &user->user);
	ref = alloc_one(test, &parent->heap, 64);
	child = heap_clone(test, parent);
	page = page_at(parent, ref);
	KUNIT_EXPECT_EQ_MSG(test, pym_quota_pages(&user->user), 1, "it is paid for once");
	heap_drop(test, parent);
	KUNIT_EXPECT_EQ(test, pym_quota_pages(&user->user), 1);
	write(test, child, ref, 64, 1);
	KUNIT_EXPECT_PTR_EQ(test, page_at(child, ref), page);
	heap_drop(test, child);
	KUNIT_EXPECT_EQ(test, pym_quota_pages(&user->user), 0);
}

static void beyond_the_quota_a_page_is_copied(struct kunit *test)
{
	struct test_heap *parent = heap_new(test, 8, TEST_WINDOW), *child;
	u64 *refs = alloc_many(test, &parent->heap, 64, 3), ref = refs[0], moved = refs[0];
	u64 *others = alloc_many(test, &parent->heap, 128, 2), more;
	int err;

	write(test, parent, ref, 64, 1);
	child = heap_clone(test, parent);
	free_one(&child->heap, refs[2]);
	free_one(&child->heap, others[1]);
	parent->user_max = atomic_long_read(&parent->user.used);
	KUNIT_EXPECT_EQ(test, heap_own(child, ref), 0);
	KUNIT_EXPECT_EQ(test, pym_alloc(&child->heap, 64, true, refs, 1, &err), 1);
	KUNIT_EXPECT_EQ(test, pym_resize(&child->heap, &moved, 128), 0);
	KUNIT_EXPECT_EQ(test, pym_quota_pages(&parent->user), 4);
	KUNIT_EXPECT_EQ(test, pym_alloc(&child->heap, 512, false, &more, 1, &err), 0);
	KUNIT_EXPECT_EQ(test, err, -EDQUOT);
	heap_check(test, &child->heap);
	parent->user_max = 0;
}

/* A pinned page may be written to: it stays the parent's, and the child gets a copy. */
static void what_somebody_writes_is_not_shared(struct kunit *test)
{
	struct test_heap *parent = heap_new(test, 8, TEST_WINDOW), *child;
	u64 ref = alloc_one(test, &parent->heap, 64);
	struct page *page = page_at(parent, ref);

	write(test, parent, ref, 64, 1);
	/* This is how the memory management counts a pin. */
	page_ref_add(page, GUP_PIN_COUNTING_BIAS);
	child = heap_clone(test, parent);
	write(test, parent, ref, 64, 2);
	page_ref_sub(page, GUP_PIN_COUNTING_BIAS);
	KUNIT_EXPECT_PTR_EQ(test, page_at(parent, ref), page);
	KUNIT_EXPECT_TRUE(test, is_filled(&child->heap, ref, 64, 1));
	KUNIT_EXPECT_EQ(test, parent->heap.maybe_shared, 0);
}

/*
 * A reference without a pin, like that of a pipe, only reads.  The child may read from
 * the pipe: so the parent, too, gets a copy before it writes.
 */
static void what_somebody_reads_is_not_shared(struct kunit *test)
{
	struct test_heap *parent = heap_new(test, 8, TEST_WINDOW), *child;
	u64 ref = alloc_one(test, &parent->heap, 64);
	struct page *page = page_at(parent, ref);

	write(test, parent, ref, 64, 1);
	get_page(page);
	child = heap_clone(test, parent);
	KUNIT_EXPECT_PTR_NE(test, page_at(child, ref), page);
	KUNIT_EXPECT_TRUE(test, is_filled(&child->heap, ref, 64, 1));
	KUNIT_EXPECT_EQ(test, parent->heap.maybe_shared, 1);
	write(test, parent, ref, 64, 2);
	KUNIT_EXPECT_PTR_NE_MSG(test, page_at(parent, ref), page, "the pipe has the old one");
	put_page(page);
	KUNIT_EXPECT_TRUE(test, is_filled(&child->heap, ref, 64, 1));
	KUNIT_EXPECT_EQ(test, parent->heap.maybe_shared, 0);
	heap_check(test, &parent->heap);
}

/* A last owner does not write in place if there is still another reference. */
static void what_somebody_holds_is_copied(struct kunit *test)
{
	struct test_heap *parent = heap_new(test, 8, TEST_WINDOW), *child;
	u64 ref = alloc_one(test, &parent->heap, 64);
	struct page *page;

	child = heap_clone(test, parent);
	page = page_at(parent, ref);
	get_page(page);
	heap_drop(test, child);
	KUNIT_EXPECT_FALSE_MSG(test, pym_pages_settle(&parent->heap), "it is still held");
	write(test, parent, ref, 64, 1);
	KUNIT_EXPECT_PTR_NE(test, page_at(parent, ref), page);
	put_page(page);
	KUNIT_EXPECT_TRUE(test, pym_pages_settle(&parent->heap));
}

static void what_nobody_holds_is_settled(struct kunit *test)
{
	struct test_heap *parent = heap_new(test, 8, TEST_WINDOW), *child;
	u64 ref = alloc_one(test, &parent->heap, 20000);
	struct page *page = page_at(parent, ref);

	child = heap_clone(test, parent);
	KUNIT_EXPECT_EQ(test, parent->heap.maybe_shared, 5);
	KUNIT_EXPECT_FALSE(test, pym_pages_settle(&parent->heap));
	heap_drop(test, child);
	KUNIT_EXPECT_EQ(test, heap_own(parent, ref), 0);
	KUNIT_EXPECT_PTR_EQ(test, page_at(parent, ref), page);
	KUNIT_EXPECT_EQ(test, parent->heap.maybe_shared, 4);
	KUNIT_EXPECT_TRUE(test, pym_pages_settle(&parent->heap));
	KUNIT_EXPECT_EQ(test, parent->heap.maybe_shared, 0);
}

static long pages_of(const struct test_heap *th)
{
	return pym_quota_pages(&th->user);
}

/* A child becomes another user while it shares five of its six pages with its parent. */
static void each_user_pays_for_its_own(struct kunit *test)
{
	struct test_heap *other = heap_new(test, 8, TEST_WINDOW);
	struct test_heap *parent = heap_new(test, 8, TEST_WINDOW), *child, *grandchild;
	u64 run = alloc_one(test, &parent->heap, 20000), block = alloc_one(test, &parent->heap, 8);

	child = heap_clone(test, parent);
	write(test, child, block, 8, 1);
	KUNIT_EXPECT_EQ(test, pages_of(parent), 7);
	pym_heap_change_user(&child->heap, &other->user);
	KUNIT_EXPECT_EQ_MSG(test, pages_of(parent), 6, "all that the parent has");
	KUNIT_EXPECT_EQ_MSG(test, pages_of(other), 6, "all that the child has");
	heap_check(test, &child->heap);

	grandchild = heap_clone(test, child);
	KUNIT_EXPECT_EQ(test, pages_of(other), 12);
	write(test, child, run, 8, 2);
	KUNIT_EXPECT_EQ(test, pages_of(other), 12);
	free_one(&parent->heap, run);
	KUNIT_EXPECT_EQ_MSG(test, pages_of(parent), 1, "what others keep is theirs");
	pym_heap_change_user(&grandchild->heap, &parent->user);
	KUNIT_EXPECT_EQ(test, pages_of(parent), 7);
	KUNIT_EXPECT_EQ(test, pages_of(other), 6);
	heap_check(test, &grandchild->heap);
	heap_drop(test, grandchild);
	heap_drop(test, child);
	KUNIT_EXPECT_EQ(test, pages_of(other), 0);
	KUNIT_EXPECT_EQ(test, pages_of(parent), 1);
}

/* A heap without relatives moves as a whole: later, it and its clones pay together. */
static void a_heap_alone_moves_as_a_whole(struct kunit *test)
{
	struct test_heap *other = heap_new(test, 8, TEST_WINDOW);
	struct test_heap *parent = heap_new(test, 8, TEST_WINDOW);

	alloc_one(test, &parent->heap, 20000);
	pym_heap_change_user(&parent->heap, &other->user);
	heap_clone(test, parent);
	KUNIT_EXPECT_EQ(test, pages_of(parent), 0);
	KUNIT_EXPECT_EQ_MSG(test, pages_of(other), 5, "once for both");
}

static void shared_pages_count_in_parts(struct kunit *test)
{
	struct test_heap *parent = heap_new(test, 8, TEST_WINDOW), *child;
	u64 run = alloc_one(test, &parent->heap, 4 * PYMALLOC_POOL_SIZE), shared, pss;

	pym_pages_shared(&parent->heap, &shared, &pss);
	KUNIT_EXPECT_EQ(test, shared, 0);
	KUNIT_EXPECT_EQ(test, pss, 4 * PYMALLOC_POOL_SIZE);
	child = heap_clone(test, parent);
	write(test, child, run, 8, 1);
	pym_pages_shared(&parent->heap, &shared, &pss);
	KUNIT_EXPECT_EQ(test, shared, 3 * PYMALLOC_POOL_SIZE);
	KUNIT_EXPECT_EQ(test, pss, (2 + 3) * PYMALLOC_POOL_SIZE / 2);
	pym_pages_shared(&child->heap, &shared, &pss);
	KUNIT_EXPECT_EQ(test, shared, 3 * PYMALLOC_POOL_SIZE);
	KUNIT_EXPECT_EQ(test, pss, (2 + 3) * PYMALLOC_POOL_SIZE / 2);
}

static void only_what_is_shared_is_copied(struct kunit *test)
{
	struct test_heap *parent = heap_new(test, 8, TEST_WINDOW), *child;
	u64 ref = alloc_one(test, &parent->heap, 64), later;
	struct page *page = page_at(parent, ref);

	KUNIT_EXPECT_EQ(test, heap_own(parent, ref), 0);
	KUNIT_EXPECT_PTR_EQ(test, page_at(parent, ref), page);
	child = heap_clone(test, parent);
	later = alloc_one(test, &child->heap, 8);
	page = page_at(child, later);
	KUNIT_EXPECT_EQ(test, heap_own(child, later), 0);
	KUNIT_EXPECT_PTR_EQ(test, page_at(child, later), page);
	KUNIT_EXPECT_EQ(test, heap_own(child, TEST_WINDOW - 1), -EFAULT);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(a_clone_has_what_the_heap_has),
	KUNIT_CASE(neither_sees_what_the_other_writes),
	KUNIT_CASE(what_one_frees_the_other_keeps),
	KUNIT_CASE(the_core_copies_before_it_writes),
	KUNIT_CASE(the_last_owner_keeps_the_page),
	KUNIT_CASE(beyond_the_quota_a_page_is_copied),
	KUNIT_CASE(what_somebody_writes_is_not_shared),
	KUNIT_CASE(what_somebody_reads_is_not_shared),
	KUNIT_CASE(what_somebody_holds_is_copied),
	KUNIT_CASE(what_nobody_holds_is_settled),
	KUNIT_CASE(each_user_pays_for_its_own),
	KUNIT_CASE(a_heap_alone_moves_as_a_whole),
	KUNIT_CASE(shared_pages_count_in_parts),
	KUNIT_CASE(only_what_is_shared_is_copied),
	{}
};

static struct kunit_suite suite = {
	.name		= "pymalloc_clones",
	.test_cases	= cases,
};

kunit_test_suites(&suite);
