// SPDX-License-Identifier: GPL-2.0
/*
 * Pools and blocks: which block is allocated next, and whether a ref is good.
 */
#include "kunit.h"

static void free_blocks_come_before_untouched_ones(struct kunit *test)
{
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;
	u64 *refs = alloc_many(test, heap, 16, 10);
	struct pym_pool *pool = heap_pool(heap, refs[0]);
	struct pym_class *class = &heap->classes[pool->class];

	KUNIT_EXPECT_EQ(test, free_one(heap, refs[7]), PYMALLOC_REF_OK);
	KUNIT_EXPECT_EQ(test, free_one(heap, refs[3]), PYMALLOC_REF_OK);
	KUNIT_EXPECT_EQ(test, pool->boundary, 10);
	KUNIT_EXPECT_EQ(test, alloc_one(test, heap, 16), refs[3]);
	KUNIT_EXPECT_EQ(test, alloc_one(test, heap, 16), refs[7]);
	KUNIT_EXPECT_EQ(test, class->untouched, 256 - 10);
	KUNIT_EXPECT_EQ(test, alloc_one(test, heap, 16), refs[0] + 10 * 16);
	KUNIT_EXPECT_EQ(test, alloc_one(test, heap, 16), refs[0] + 11 * 16);
	KUNIT_EXPECT_EQ(test, pool->boundary, 12);
	KUNIT_EXPECT_EQ(test, class->untouched, 256 - 12);
}

/* Every @stride-th block of a full pool is freed; they are taken again in batches. */
struct pattern {
	unsigned int stride;
	unsigned int batch;
};

static const struct pattern patterns[] = {
	{ 1, 1 }, { 1, 63 }, { 1, 64 }, { 1, 65 }, { 1, 511 },
	{ 2, 1 }, { 2, 33 }, { 3, 64 }, { 63, 4 }, { 64, 3 }, { 65, 2 }, { 511, 1 },
};

static void describe_pattern(const struct pattern *pattern, char *text)
{
	snprintf(text, KUNIT_PARAM_DESC_SIZE, "every %u, by %u", pattern->stride,
		 pattern->batch);
}

KUNIT_ARRAY_PARAM(pattern, patterns, describe_pattern);

static void words_of_the_bitmap_are_taken_in_order(struct kunit *test)
{
	const struct pattern *pattern = test->param_value;
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;
	u64 *refs = alloc_many(test, heap, 8, 512), base = refs[0];
	unsigned int nr = 0, done, i;
	int err;

	/* Never the last block: a pool without blocks would lose its class. */
	for (i = 0; i < 511; i += pattern->stride)
		refs[nr++] = base + i * 8;
	free_many(test, heap, refs, nr);
	heap_check(test, heap);

	memset(refs, 0, nr * sizeof(*refs));
	for (done = 0; done < nr; done += pattern->batch)
		pym_alloc(heap, 8, false, refs + done, min(pattern->batch, nr - done), &err);
	for (i = 0; i < nr; i++)
		KUNIT_EXPECT_EQ(test, refs[i], base + i * pattern->stride * 8);
	KUNIT_EXPECT_NE(test, alloc_one(test, heap, 8) >> PYM_POOL_SHIFT,
			base >> PYM_POOL_SHIFT);
}

/* Expect that a pool, which has room for 8 blocks, is in the list of its fullness. */
static void expect_group(struct kunit *test, struct pym_heap *heap,
			 const struct pym_pool *pool, unsigned int blocks)
{
	static const u8 groups[] = { 0, 0, 1, 1, 2, 2, 3, 3, PYM_GROUP_FULL };
	const struct pym_class *class = &heap->classes[pool->class];
	u8 group;

	KUNIT_EXPECT_EQ(test, pool->nr_alloc, blocks);
	KUNIT_EXPECT_EQ(test, (u8)pool->group, groups[blocks]);
	KUNIT_EXPECT_EQ(test, class->pools_full, pool->group == PYM_GROUP_FULL);
	KUNIT_EXPECT_EQ(test, class->pools_used, pool->group != PYM_GROUP_FULL);
	for (group = 0; group < PYM_GROUPS; group++)
		KUNIT_EXPECT_EQ(test, list_empty(&class->partial[group]),
				group != pool->group);
}

static void a_pool_moves_with_its_fullness(struct kunit *test)
{
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;
	u64 base = alloc_one(test, heap, 512);
	struct pym_pool *pool = heap_pool(heap, base);
	unsigned int blocks;

	for (blocks = 1; blocks < 8; blocks++) {
		expect_group(test, heap, pool, blocks);
		KUNIT_EXPECT_EQ(test, alloc_one(test, heap, 512), base + blocks * 512);
	}
	for (; blocks > 1; blocks--) {
		expect_group(test, heap, pool, blocks);
		KUNIT_EXPECT_EQ(test, free_one(heap, base + (blocks - 1) * 512),
				PYMALLOC_REF_OK);
	}
	expect_group(test, heap, pool, 1);
}

static void the_fullest_pool_serves_first(struct kunit *test)
{
	static const unsigned int free[] = { 3, 6, 1 };
	static const unsigned int order[] = { 2, 0, 0, 0, 1, 1, 1, 1, 1, 1 };
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;
	u64 *refs = alloc_many(test, heap, 512, 8 * ARRAY_SIZE(free));
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(free); i++)
		free_many(test, heap, refs + 8 * i, free[i]);
	for (i = 0; i < ARRAY_SIZE(order); i++)
		KUNIT_EXPECT_EQ_MSG(test, alloc_one(test, heap, 512) >> PYM_POOL_SHIFT,
				    refs[8 * order[i]] >> PYM_POOL_SHIFT, "block %u", i);
}

/* Offsets in a pool of 48-byte blocks.  Its first 5 were allocated; the third is free. */
struct place {
	unsigned int offset;
	enum pymalloc_ref_status status;
};

static const struct place places[] = {
	{ 0, PYMALLOC_REF_OK },
	{ 1, PYMALLOC_REF_MISALIGNED },
	{ 8, PYMALLOC_REF_MISALIGNED },
	{ 47, PYMALLOC_REF_MISALIGNED },
	{ 48, PYMALLOC_REF_OK },
	{ 2 * 48, PYMALLOC_REF_FREE },
	{ 2 * 48 + 16, PYMALLOC_REF_MISALIGNED },
	{ 4 * 48, PYMALLOC_REF_OK },
	{ 5 * 48, PYMALLOC_REF_UNTOUCHED },
	{ 84 * 48, PYMALLOC_REF_UNTOUCHED },
	{ 85 * 48, PYMALLOC_REF_MISALIGNED },
	{ 4095, PYMALLOC_REF_MISALIGNED },
};

static void describe_place(const struct place *place, char *text)
{
	snprintf(text, KUNIT_PARAM_DESC_SIZE, "offset %u", place->offset);
}

KUNIT_ARRAY_PARAM(place, places, describe_place);

static void every_ref_is_what_it_is(struct kunit *test)
{
	const struct place *place = test->param_value;
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;
	u64 *refs = alloc_many(test, heap, 48, 5), ref = refs[0] + place->offset;
	bool ok = place->status == PYMALLOC_REF_OK;

	KUNIT_EXPECT_EQ(test, free_one(heap, refs[2]), PYMALLOC_REF_OK);
	KUNIT_EXPECT_EQ(test, pym_usable(heap, ref), ok ? 48 : 0);
	KUNIT_EXPECT_EQ(test, free_one(heap, ref), place->status);
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->nr_bad_refs), !ok);
	KUNIT_EXPECT_EQ(test, heap->classes[48 / 8].blocks, ok ? 3 : 4);
	KUNIT_EXPECT_EQ(test, pym_usable(heap, ref), 0);
}

/* The other refs of a batch are freed although one is bad, wherever they lie. */
static void a_batch_is_any_mix(struct kunit *test)
{
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;
	u64 *small = alloc_many(test, heap, 8, 3), *large = alloc_many(test, heap, 500, 3);
	u64 run = alloc_one(test, heap, 5000);
	const u64 refs[] = {
		small[1], large[2], small[0], small[1], 0, run, run, large[0] + 4, large[0],
		large[1], large[1], small[2], small[2] + 8, U64_MAX,
	};
	static const u8 want[] = {
		PYMALLOC_REF_OK, PYMALLOC_REF_OK, PYMALLOC_REF_OK, PYMALLOC_REF_FREE,
		PYMALLOC_REF_RANGE, PYMALLOC_REF_OK, PYMALLOC_REF_FOREIGN,
		PYMALLOC_REF_MISALIGNED, PYMALLOC_REF_OK, PYMALLOC_REF_OK,
		PYMALLOC_REF_FOREIGN, PYMALLOC_REF_OK, PYMALLOC_REF_FOREIGN,
		PYMALLOC_REF_RANGE,
	};
	u8 status[ARRAY_SIZE(refs)];

	KUNIT_EXPECT_EQ(test, pym_free(heap, refs, status, ARRAY_SIZE(refs)), 7);
	KUNIT_EXPECT_MEMEQ(test, status, want, sizeof(want));
	KUNIT_EXPECT_EQ(test, atomic64_read(&heap->nr_bad_refs), 7);
	KUNIT_EXPECT_EQ(test, heap_stats(heap).blocks, 0);
}

static void a_pool_without_blocks_has_no_class(struct kunit *test)
{
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;
	u64 *refs = alloc_many(test, heap, 64, 2);
	struct pym_pool *pool = heap_pool(heap, refs[0]);
	struct pym_class *class = &heap->classes[64 / 8];

	free_many(test, heap, refs, 2);
	KUNIT_EXPECT_EQ(test, pool->class, PYM_CLASS_NONE);
	KUNIT_EXPECT_EQ(test, heap_map(heap, refs[0]), 0);
	KUNIT_EXPECT_EQ(test, class->blocks, 0);
	KUNIT_EXPECT_EQ(test, class->untouched, 0);
	KUNIT_EXPECT_EQ(test, class->pools_used, 0);
	KUNIT_EXPECT_EQ(test, class->nr_allocs, 2);
	KUNIT_EXPECT_EQ(test, class->nr_frees, 2);
	heap_check(test, heap);

	/* The empty pool may get any class. */
	KUNIT_EXPECT_EQ(test, alloc_one(test, heap, 128), refs[0]);
	KUNIT_EXPECT_EQ(test, heap->classes[128 / 8].untouched, 31);
}

/*
 * Untouched blocks are handed out in turn, round the end, and the first one differs from
 * pool to pool: the first blocks of 512 pools lie in all 64 slots alike.
 */
static void pools_begin_at_blocks_of_their_own(struct kunit *test)
{
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;
	unsigned int slots[64] = {}, nr, i;
	u64 *refs;

	for (nr = 0; nr < 512; nr++) {
		refs = alloc_many(test, heap, 64, 64);
		slots[offset_in_page(refs[0]) / 64]++;
		for (i = 1; i < 64; i++)
			KUNIT_ASSERT_EQ(test, offset_in_page(refs[i]),
					offset_in_page(refs[i - 1] + 64));
		heap_check(test, heap);
	}
	for (i = 0; i < 64; i++) {
		KUNIT_EXPECT_GE_MSG(test, slots[i], 6, "slot %u", i);
		KUNIT_EXPECT_LE_MSG(test, slots[i], 10, "slot %u", i);
	}
}

static u64 meta_bytes(struct pym_heap *heap)
{
	return heap_stats(heap).meta_bytes;
}

/* An empty pool whose bitmap is too short for a class gets a longer one; and keeps it. */
static void a_bitmap_fits_its_class(struct kunit *test)
{
	static const u32 sizes[] = { 64, 32, 16, 8, 512 };
	static const u8 orders[] = { 0, 1, 2, 3, 3 };
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;
	u64 first = alloc_one(test, heap, 512), ref;
	u64 meta = meta_bytes(heap) - pym_sheet_bytes(0, 0);
	unsigned int i;

	free_one(heap, first);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ref = alloc_one(test, heap, sizes[i]);
		KUNIT_EXPECT_EQ(test, round_down(ref, PYMALLOC_POOL_SIZE), first);
		KUNIT_EXPECT_EQ_MSG(test, (u8)heap_pool(heap, ref)->order, orders[i], "%u bytes",
				    sizes[i]);
		KUNIT_EXPECT_EQ(test, meta_bytes(heap), meta + pym_sheet_bytes(orders[i], 0));
		heap_check(test, heap);
		free_one(heap, ref);
	}
	pym_trim(heap);
	KUNIT_EXPECT_NULL(test, heap_pool(heap, first));
	KUNIT_EXPECT_EQ(test, meta_bytes(heap), meta - PYM_ARENA_BYTES);
}

static void only_what_is_taken_is_zeroed(struct kunit *test)
{
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;
	u64 *refs = alloc_many(test, heap, 64, 64), base = refs[0];
	int err;

	fill(heap, base, PYMALLOC_POOL_SIZE, 0xa5);
	free_one(heap, base + 2 * 64);
	free_one(heap, base + 5 * 64);
	free_one(heap, base + 6 * 64);

	KUNIT_ASSERT_EQ(test, pym_alloc(heap, 60, true, refs, 2, &err), 2);
	KUNIT_EXPECT_TRUE(test, is_filled(heap, base, 2 * 64, 0xa5));
	KUNIT_EXPECT_TRUE(test, is_filled(heap, base + 2 * 64, 64, 0));
	KUNIT_EXPECT_TRUE(test, is_filled(heap, base + 3 * 64, 2 * 64, 0xa5));
	KUNIT_EXPECT_TRUE(test, is_filled(heap, base + 5 * 64, 64, 0));
	KUNIT_EXPECT_TRUE(test, is_filled(heap, base + 6 * 64, 58 * 64, 0xa5));
}

static struct kunit_case cases[] = {
	KUNIT_CASE(free_blocks_come_before_untouched_ones),
	KUNIT_CASE_PARAM(words_of_the_bitmap_are_taken_in_order, pattern_gen_params),
	KUNIT_CASE(a_pool_moves_with_its_fullness),
	KUNIT_CASE(the_fullest_pool_serves_first),
	KUNIT_CASE_PARAM(every_ref_is_what_it_is, place_gen_params),
	KUNIT_CASE(a_batch_is_any_mix),
	KUNIT_CASE(a_pool_without_blocks_has_no_class),
	KUNIT_CASE(pools_begin_at_blocks_of_their_own),
	KUNIT_CASE(a_bitmap_fits_its_class),
	KUNIT_CASE(only_what_is_taken_is_zeroed),
	{}
};

static struct kunit_suite suite = {
	.name		= "pymalloc_pools",
	.test_cases	= cases,
};

kunit_test_suites(&suite);
