// SPDX-License-Identifier: GPL-2.0
/*
 * Arenas: where in the window they are made, which one serves, and when they are removed.
 */
#include <linux/err.h>
#include <linux/mm.h>

#include "core/bits.h"
#include "kunit.h"

#define POOL_BLOCKS	(PYMALLOC_POOL_SIZE / PYMALLOC_BLOCK_MAX)

struct bits {
	u64 bits;
	unsigned int longest;
	unsigned int nr;
	u64 lowest;	/* the lowest @nr of them */
};

static const struct bits words[] = {
	{ 0, 0, 1, 0 },
	{ 1, 1, 1, 1 },
	{ 1, 1, 64, 1 },
	{ BIT_ULL(63), 1, 1, BIT_ULL(63) },
	{ ~0ULL, 64, 0, 0 },
	{ ~0ULL, 64, 1, 1 },
	{ ~0ULL, 64, 63, ~0ULL >> 1 },
	{ ~0ULL, 64, 64, ~0ULL },
	{ ~0ULL >> 1, 63, 64, ~0ULL >> 1 },
	{ ~BIT_ULL(32), 32, 33, GENMASK_ULL(33, 0) & ~BIT_ULL(32) },
	{ 0xf0ff0f0, 8, 5, 0x10f0 },
	{ 0x5555555555555555, 1, 3, 0x15 },
};

static void describe_bits(const struct bits *bits, char *text)
{
	snprintf(text, KUNIT_PARAM_DESC_SIZE, "%u of %#llx", bits->nr, bits->bits);
}

KUNIT_ARRAY_PARAM(bits, words, describe_bits);

static void bits_are_counted(struct kunit *test)
{
	const struct bits *bits = test->param_value;

	KUNIT_EXPECT_EQ(test, pym_longest_run(bits->bits), bits->longest);
	KUNIT_EXPECT_EQ(test, pym_lowest_bits(bits->bits, bits->nr), bits->lowest);
}

/* Free all blocks of a pool that is full of the largest ones. */
static void free_pool(struct kunit *test, struct pym_heap *heap, unsigned int arena,
		      unsigned int index)
{
	u64 refs[POOL_BLOCKS];
	unsigned int i;

	for (i = 0; i < POOL_BLOCKS; i++)
		refs[i] = arena * PYMALLOC_ARENA_SIZE + index * PYMALLOC_POOL_SIZE +
			  i * PYMALLOC_BLOCK_MAX;
	free_many(test, heap, refs, POOL_BLOCKS);
}

/* A block of a class that has no pool yet.  Returns the number of its arena. */
static unsigned int arena_of_new_pool(struct kunit *test, struct pym_heap *heap, u64 size)
{
	return alloc_one(test, heap, size) >> PYM_ARENA_SHIFT;
}

static void the_fullest_arena_serves_first(struct kunit *test)
{
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;
	unsigned int i;

	alloc_many(test, heap, PYMALLOC_BLOCK_MAX, 3 * PYMALLOC_ARENA_POOLS * POOL_BLOCKS);
	KUNIT_ASSERT_EQ(test, heap->nr_arenas, 3);
	for (i = 0; i < 5; i++)
		free_pool(test, heap, 2, i);
	free_pool(test, heap, 1, 10);
	free_pool(test, heap, 1, 20);
	free_pool(test, heap, 3, 63);

	KUNIT_EXPECT_EQ(test, arena_of_new_pool(test, heap, 8), 3);
	KUNIT_EXPECT_EQ(test, arena_of_new_pool(test, heap, 16), 1);
	KUNIT_EXPECT_EQ(test, arena_of_new_pool(test, heap, 24), 1);
	KUNIT_EXPECT_EQ(test, arena_of_new_pool(test, heap, 32), 2);
}

static void an_arena_with_nothing_goes(struct kunit *test)
{
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;
	u64 ref = alloc_one(test, heap, 8), again;
	u64 meta = heap_stats(heap).meta_bytes;

	KUNIT_EXPECT_EQ(test, ref, PYMALLOC_ARENA_SIZE);
	KUNIT_EXPECT_EQ(test, heap->nr_arenas, 1);
	KUNIT_EXPECT_EQ(test, free_one(heap, ref), PYMALLOC_REF_OK);
	KUNIT_EXPECT_EQ_MSG(test, heap->nr_arenas, 1, "its empty pool is kept");
	KUNIT_EXPECT_EQ(test, pym_trim(heap), PYMALLOC_POOL_SIZE);
	KUNIT_EXPECT_EQ(test, heap->nr_arenas, 0);
	KUNIT_EXPECT_EQ(test, heap_stats(heap).meta_bytes,
			meta - PYM_ARENA_BYTES - pym_sheet_bytes(3, 0));
	KUNIT_EXPECT_NULL(test, heap_pool(heap, ref));
	heap_check(test, heap);

	again = alloc_one(test, heap, 8);
	KUNIT_EXPECT_EQ_MSG(test, again, ref, "its number is free again");
	KUNIT_EXPECT_EQ(test, heap_stats(heap).meta_bytes, meta);
}

static void a_few_empty_pools_are_kept(struct kunit *test)
{
	unsigned int nr = 10 * POOL_BLOCKS;
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;
	u64 *refs = alloc_many(test, heap, PYMALLOC_BLOCK_MAX, nr), pages_in = heap->pages_in;

	free_many(test, heap, refs, nr);
	KUNIT_EXPECT_EQ(test, heap->nr_empty, heap->pages);
	KUNIT_EXPECT_GE(test, heap->pages, 10);
	alloc_one(test, heap, 64);
	KUNIT_EXPECT_EQ_MSG(test, heap->pages_in, pages_in, "they serve before new pages");
}

static void many_empty_pools_are_not(struct kunit *test)
{
	unsigned int nr = 300 * POOL_BLOCKS;
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;
	u64 *refs = alloc_many(test, heap, PYMALLOC_BLOCK_MAX, nr);

	free_many(test, heap, refs, nr);
	KUNIT_EXPECT_EQ(test, heap->nr_empty, heap->pages);
	KUNIT_EXPECT_LE(test, heap->nr_empty, PYM_EMPTY_MIN + heap->pages / 8);
}

static void the_window_ends(struct kunit *test)
{
	struct pym_heap *heap = &heap_new(test, 8, PYMALLOC_WINDOW_MIN)->heap;
	unsigned int all = PYMALLOC_ARENA_POOLS * POOL_BLOCKS, done;
	u64 *refs = kunit_kcalloc(test, all + 1, sizeof(*refs), GFP_KERNEL);
	u64 ref;
	int err;

	KUNIT_ASSERT_NOT_NULL(test, refs);
	done = pym_alloc(heap, PYMALLOC_BLOCK_MAX, false, refs, all + 1, &err);
	KUNIT_ASSERT_EQ(test, done, all);
	KUNIT_EXPECT_EQ(test, err, -ENOMEM);
	KUNIT_EXPECT_EQ(test, pym_alloc(heap, PYMALLOC_POOL_SIZE, false, &ref, 1, &err), 0);
	KUNIT_EXPECT_EQ(test, err, -ENOMEM);
	heap_check(test, heap);

	free_many(test, heap, refs, all);
	pym_trim(heap);
	alloc_one(test, heap, PYMALLOC_ARENA_SIZE);
}

/* Arenas next to each other lie in one region: the one with the least room that fits. */
struct row {
	unsigned int nr;
	unsigned int number;	/* the number of the first arena; 0 if there is no room */
};

static const struct row rows[] = {
	{ 1, 1 }, { 64, 64 }, { 63, 128 }, { 64, 0 }, { 62, 2 }, { 6, 0 },
	{ 5, 192 }, { 2, 0 }, { 1, 191 }, { 1, 0 },
};

static void drop_arenas(struct pym_heap *heap, const struct row *row)
{
	unsigned int i;

	for (i = 0; row->number && i < row->nr; i++) {
		u64 offset = (u64)(row->number + i) << PYM_ARENA_SHIFT;

		pym_pools_release(heap, (struct pym_span) {
			heap_arena(heap, offset), ~0ULL });
	}
}

static void arenas_lie_within_a_region(struct kunit *test)
{
	u64 window = (3 * PYM_REGION_ARENAS + 5) * (u64)PYMALLOC_ARENA_SIZE;
	struct pym_heap *heap = &heap_new(test, 8, window)->heap;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct pym_arena *arena;

		down_read(&heap->gate);
		arena = pym_arenas_create(heap, true, rows[i].nr);
		up_read(&heap->gate);
		KUNIT_EXPECT_EQ_MSG(test, PTR_ERR_OR_ZERO(arena), rows[i].number ? 0 : -ENOMEM,
				    "row %u", i);
		if (!IS_ERR(arena))
			KUNIT_EXPECT_EQ_MSG(test, arena->number, rows[i].number, "row %u", i);
	}
	KUNIT_EXPECT_EQ(test, heap->nr_run_arenas, 3 * PYM_REGION_ARENAS + 5 - 1);
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		drop_arenas(heap, &rows[i]);
	KUNIT_EXPECT_EQ(test, heap->nr_run_arenas, 0);
}

static void only_what_exists_is_found(struct kunit *test)
{
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;
	u64 ref = alloc_one(test, heap, 8), far;

	/* This one does not fit into the first region. */
	far = alloc_one(test, heap, PYMALLOC_SIZE_MAX);
	KUNIT_EXPECT_EQ(test, far, 1ULL << PYM_REGION_SHIFT);
	KUNIT_EXPECT_NULL(test, heap_arena(heap, 0));
	KUNIT_EXPECT_NULL(test, heap_arena(heap, ref - 1));
	KUNIT_EXPECT_NOT_NULL(test, heap_arena(heap, ref));
	KUNIT_EXPECT_NOT_NULL(test, heap_arena(heap, ref + PYMALLOC_ARENA_SIZE - 1));
	KUNIT_EXPECT_NULL(test, heap_arena(heap, ref + PYMALLOC_ARENA_SIZE));
	KUNIT_EXPECT_NULL(test, heap_arena(heap, far - 1));
	KUNIT_EXPECT_NOT_NULL(test, heap_arena(heap, far + PYMALLOC_SIZE_MAX - 1));
	KUNIT_EXPECT_NULL(test, heap_arena(heap, far + PYMALLOC_SIZE_MAX));
	KUNIT_EXPECT_NULL(test, heap_arena(heap, TEST_WINDOW - 1));
	KUNIT_EXPECT_NULL(test, heap_arena(heap, TEST_WINDOW));
	KUNIT_EXPECT_NULL(test, heap_arena(heap, U64_MAX));

	KUNIT_EXPECT_NOT_NULL(test, heap_pool(heap, ref + PYMALLOC_POOL_SIZE - 1));
	KUNIT_EXPECT_NULL_MSG(test, heap_pool(heap, ref + PYMALLOC_POOL_SIZE), "it has no page");
	KUNIT_EXPECT_NULL(test, heap_pool(heap, far - 1));
}

/* Does pym_arena_next() find an arena?  *@from becomes where. */
static bool has_next(struct pym_heap *heap, u64 *from, u64 end)
{
	bool found;

	rcu_read_lock();
	found = pym_arena_next(heap, from, end);
	rcu_read_unlock();
	return found;
}

static void gaps_are_passed_over(struct kunit *test)
{
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;
	u64 near = alloc_one(test, heap, 8), far = alloc_one(test, heap, PYMALLOC_SIZE_MAX);
	u64 at = 0;

	KUNIT_EXPECT_TRUE(test, has_next(heap, &at, TEST_WINDOW));
	KUNIT_EXPECT_EQ(test, at, near);
	at += 12345;
	KUNIT_EXPECT_TRUE(test, has_next(heap, &at, TEST_WINDOW));
	KUNIT_EXPECT_EQ_MSG(test, at, near + 12345, "it is in the arena already");
	at = near + PYMALLOC_ARENA_SIZE;
	KUNIT_EXPECT_FALSE(test, has_next(heap, &at, far));
	at = near + PYMALLOC_ARENA_SIZE;
	KUNIT_EXPECT_TRUE(test, has_next(heap, &at, TEST_WINDOW));
	KUNIT_EXPECT_EQ(test, at, far);
	at = far + PYMALLOC_SIZE_MAX;
	KUNIT_EXPECT_FALSE(test, has_next(heap, &at, TEST_WINDOW));
}

/* The page of the pool map as it is now, without a reference. */
static u8 *map_page(struct pym_heap *heap, unsigned long number)
{
	struct page *page = pym_pool_map_page(heap, number);

	if (!page)
		return NULL;
	put_page(page);
	return page_address(page);
}

static void the_pool_map_shows_classes(struct kunit *test)
{
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;
	u64 ref;
	u8 *map;

	KUNIT_EXPECT_NULL_MSG(test, map_page(heap, 0), "there is nothing yet");
	ref = alloc_one(test, heap, 48);
	alloc_one(test, heap, PYMALLOC_POOL_SIZE);
	map = map_page(heap, 0);
	KUNIT_ASSERT_NOT_NULL(test, map);
	KUNIT_EXPECT_NULL(test, map_page(heap, 1));
	KUNIT_EXPECT_NULL_MSG(test, map_page(heap, ULONG_MAX), "beyond the window");

	KUNIT_EXPECT_NULL(test, memchr_inv(map, 0, PYMALLOC_ARENA_POOLS));
	KUNIT_EXPECT_EQ(test, map[PYMALLOC_ARENA_POOLS], 48 / PYMALLOC_BLOCK_MIN);
	KUNIT_EXPECT_NULL(test, memchr_inv(map + PYMALLOC_ARENA_POOLS + 1, 0,
					   PAGE_SIZE - PYMALLOC_ARENA_POOLS - 1));
	free_one(heap, ref);
	KUNIT_EXPECT_EQ(test, map[PYMALLOC_ARENA_POOLS], 0);
}

static struct kunit_case cases[] = {
	KUNIT_CASE_PARAM(bits_are_counted, bits_gen_params),
	KUNIT_CASE(the_fullest_arena_serves_first),
	KUNIT_CASE(an_arena_with_nothing_goes),
	KUNIT_CASE(a_few_empty_pools_are_kept),
	KUNIT_CASE(many_empty_pools_are_not),
	KUNIT_CASE(the_window_ends),
	KUNIT_CASE(arenas_lie_within_a_region),
	KUNIT_CASE(only_what_exists_is_found),
	KUNIT_CASE(gaps_are_passed_over),
	KUNIT_CASE(the_pool_map_shows_classes),
	{}
};

static struct kunit_suite suite = {
	.name		= "pymalloc_arenas",
	.test_cases	= cases,
};

kunit_test_suites(&suite);
