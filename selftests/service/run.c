// SPDX-License-Identifier: GPL-2.0
/*
 * Runs: whole pages for objects of more than 512 bytes.
 */
#include "service.h"

static const __u64 sizes[] = {
	513, 4095, 4096, 4097, 10000, 63 * 4096, 64 * 4096, 64 * 4096 + 1, 100 * 4096,
	128 * 4096, 1 << 20, 5 << 20, PYMALLOC_SIZE_MAX,
};

TEST_F(service, one_of_each_size)
{
	struct heap *heap = &self->heap;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		__u64 ref = alloc_one(heap, sizes[i]);
		struct pymalloc_stats stats = heap_stats(heap);

		ASSERT_EQ(0, ref % POOL);
		ASSERT_EQ(round_up(sizes[i], POOL), usable(heap, ref));
		ASSERT_EQ(1, stats.runs);
		ASSERT_EQ(run_pages(sizes[i]), stats.run_pages);
		ASSERT_EQ(0, at(heap, ref)[0]);
		ASSERT_EQ(0, at(heap, ref)[sizes[i] - 1]);
		at(heap, ref)[0] = 'a';
		at(heap, ref)[sizes[i] - 1] = 'z';
		heap_check(heap);
		free_one(heap, ref);
		ASSERT_EQ(PYMALLOC_REF_FOREIGN, free_status(heap, ref));
		heap_check(heap);
	}
	EXPECT_EQ(0, heap_stats(heap).run_pages);
}

/* All sizes at once, each with its own bytes, so that no two overlap. */
TEST_F(service, all_sizes_together)
{
	struct heap *heap = &self->heap;
	__u64 refs[ARRAY_SIZE(sizes)];

	for (size_t i = 0; i < ARRAY_SIZE(sizes) - 1; i++) {
		refs[i] = alloc_one(heap, sizes[i]);
		memset(at(heap, refs[i]), 'a' + i, round_up(sizes[i], POOL));
	}
	heap_check(heap);
	for (size_t i = 0; i < ARRAY_SIZE(sizes) - 1; i++) {
		ASSERT_TRUE(is_filled(at(heap, refs[i]), 'a' + i, round_up(sizes[i], POOL)));
		free_one(heap, refs[i]);
	}
	heap_check(heap);
	EXPECT_EQ(0, heap_stats(heap).run_pages);
}

TEST_F(service, batch_of_runs)
{
	struct heap *heap = &self->heap;
	__u64 refs[500];
	__u64 seed = 7;

	for (__u64 pages = 1; pages <= 5; pages++) {
		alloc(heap, pages * POOL, refs, ARRAY_SIZE(refs));
		for (size_t i = 0; i < ARRAY_SIZE(refs); i++)
			memset(at(heap, refs[i]), (int)i, 16);
		for (size_t i = 0; i < ARRAY_SIZE(refs); i++) {
			ASSERT_TRUE(is_filled(at(heap, refs[i]), (int)i, 16));
		}
		heap_check(heap);
		EXPECT_EQ(pages * ARRAY_SIZE(refs), heap_stats(heap).run_pages);
		shuffle(refs, ARRAY_SIZE(refs), &seed);
		free_all(heap, refs, ARRAY_SIZE(refs));
		heap_check(heap);
	}
	heap_trim(heap);
	EXPECT_EQ(0, heap_stats(heap).page_bytes);
	EXPECT_EQ(0, heap_stats(heap).run_arenas);
}

/*
 * Holes are used again: a heap that allocates and frees all the time does not
 * grow.
 */
TEST_F(service, holes_are_reused)
{
	struct heap *heap = &self->heap;
	__u64 refs[300];
	__u64 seed = 99;
	__u64 arenas;

	alloc(heap, 4 * POOL, refs, ARRAY_SIZE(refs));
	arenas = heap_stats(heap).run_arenas;
	for (int round = 0; round < 1000; round++) {
		__u64 *ref = &refs[next_random(&seed) % ARRAY_SIZE(refs)];

		free_one(heap, *ref);
		*ref = alloc_one(heap, POOL * (1 + next_random(&seed) % 4));
	}
	heap_check(heap);
	EXPECT_GE(arenas, heap_stats(heap).run_arenas);
}

/* Blocks and runs never share the pages of an arena. */
TEST_F(service, beside_blocks)
{
	struct heap *heap = &self->heap;
	__u64 runs[64], blocks[64 * 8];

	for (int i = 0; i < 64; i++) {
		runs[i] = alloc_one(heap, POOL);
		alloc(heap, 512, &blocks[8 * i], 8);
		memset(at(heap, runs[i]), 'r', POOL);
	}
	for (int i = 0; i < 64 * 8; i++)
		memset(at(heap, blocks[i]), 'b', 512);
	for (int i = 0; i < 64; i++) {
		ASSERT_TRUE(is_filled(at(heap, runs[i]), 'r', POOL));
	}
	EXPECT_EQ(128 * POOL, heap_stats(heap).page_bytes);
}

/* A window that is full, and a window into which the object would never fit. */
TEST(window_full)
{
	struct heap heap = HEAP(.window = 4 * PYMALLOC_ARENA_SIZE);
	__u64 refs[4] = {};
	struct pymalloc_alloc arg = ARG(alloc, .size = ARENA, .refs = user_ptr(refs), .count = 4);

	EXPECT_EQ(-ENOMEM, call(heap.fd, PYMALLOC_IOC_ALLOC, &arg));
	EXPECT_EQ(3, arg.done);
	heap_check(&heap);
	arg.size = 8;
	EXPECT_EQ(-ENOMEM, call(heap.fd, PYMALLOC_IOC_ALLOC, &arg));
	EXPECT_EQ(0, arg.done);
	free_all(&heap, refs, 3);
	arg.size = 4 * ARENA;
	EXPECT_EQ(-ENOMEM, call(heap.fd, PYMALLOC_IOC_ALLOC, &arg));
	EXPECT_EQ(0, arg.done);
	alloc_one(&heap, 3 * ARENA);
	heap_check(&heap);
	heap_close(&heap);
}

TEST_HARNESS_MAIN
