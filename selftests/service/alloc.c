// SPDX-License-Identifier: GPL-2.0
/*
 * Allocation: sizes, counts, zeroed memory, and a buffer for the refs whose end
 * cannot be written.
 */
#include "service.h"

static int try_alloc(struct heap *heap, __u64 size, __u32 count, __u64 *refs, __u32 *done)
{
	struct pymalloc_alloc arg = ARG(alloc, .size = size, .refs = user_ptr(refs),
					.count = count, .done = 12345);
	int ret = call(heap->fd, PYMALLOC_IOC_ALLOC, &arg);

	*done = arg.done;
	return ret;
}

TEST_F(service, sizes)
{
	struct heap *heap = &self->heap;
	static const struct {
		__u64 size;
		int result;
		__u64 usable;
	} cases[] = {
		{ 0, -EINVAL, 0 },
		{ 1, 0, 8 },
		{ 8, 0, 8 },
		{ 9, 0, 16 },
		{ 505, 0, 512 },
		{ 512, 0, 512 },
		{ 513, 0, 4096 },
		{ 4096, 0, 4096 },
		{ 4097, 0, 8192 },
		{ 1 << 20, 0, 1 << 20 },
		{ PYMALLOC_SIZE_MAX - 1, 0, PYMALLOC_SIZE_MAX },
		{ PYMALLOC_SIZE_MAX, 0, PYMALLOC_SIZE_MAX },
		{ PYMALLOC_SIZE_MAX + 1, -EINVAL, 0 },
		{ 1ULL << 32, -EINVAL, 0 },
		{ (1ULL << 32) + 8, -EINVAL, 0 },
		{ 1ULL << 63, -EINVAL, 0 },
		{ -4096ULL, -EINVAL, 0 },
		{ ~0ULL, -EINVAL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		__u64 ref = 0;
		__u32 done;

		EXPECT_EQ(cases[i].result, try_alloc(heap, cases[i].size, 1, &ref, &done))
			TH_LOG("size %#llx", cases[i].size);
		EXPECT_EQ(!cases[i].result, done);
		heap_check(heap);
		if (!cases[i].result) {
			EXPECT_EQ(cases[i].usable, usable(heap, ref));
			free_one(heap, ref);
		}
	}
	EXPECT_EQ(0, heap_stats(heap).blocks);
	EXPECT_EQ(0, heap_stats(heap).runs);
}

TEST_F(service, counts)
{
	struct heap *heap = &self->heap;
	static __u64 refs[PYMALLOC_BATCH_MAX];
	static const struct {
		__u32 count;
		int result;
	} cases[] = {
		{ 0, -EINVAL },
		{ PYMALLOC_BATCH_MAX + 1, -E2BIG },
		{ 1U << 31, -E2BIG },
		{ ~0U, -E2BIG },
	};
	__u32 done;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		EXPECT_EQ(cases[i].result, try_alloc(heap, 8, cases[i].count, refs, &done))
			TH_LOG("count %u", cases[i].count);
		EXPECT_EQ(0, done);
	}
	EXPECT_EQ(0, heap_stats(heap).nr_allocs);
	alloc(heap, 8, refs, PYMALLOC_BATCH_MAX);
	EXPECT_EQ(PYMALLOC_BATCH_MAX, heap_stats(heap).blocks);
	heap_check(heap);
	free_all(heap, refs, PYMALLOC_BATCH_MAX);
	EXPECT_EQ(0, heap_stats(heap).blocks);
}

/* The first arena's worth of the window is never handed out. */
TEST_F(service, never_ref_zero)
{
	__u64 refs[1000];

	alloc(&self->heap, 8, refs, ARRAY_SIZE(refs));
	for (size_t i = 0; i < ARRAY_SIZE(refs); i++) {
		ASSERT_LE(ARENA, refs[i]);
	}
	EXPECT_LE(ARENA, alloc_one(&self->heap, POOL));
}

/*
 * The buffer ends early. Exactly the refs that fit are stored and allocated,
 * and no object is lost.
 */
static void end_early(struct heap *heap, __u64 size, __u32 fit, size_t slack, int beyond)
{
	struct __test_metadata *_metadata = heap->test;
	__u64 *refs = edge_buffer(_metadata, fit * sizeof(*refs) + slack, beyond);
	struct pymalloc_stats stats;
	__u32 done;

	ASSERT_EQ(-EFAULT, try_alloc(heap, size, fit + 3000, refs, &done));
	ASSERT_EQ(fit, done);
	heap_check(heap);
	stats = heap_stats(heap);
	ASSERT_EQ(fit, stats.blocks + stats.runs);
	ASSERT_EQ(stats.blocks + stats.runs, stats.nr_allocs - stats.nr_frees);
	if (fit)
		free_all(heap, refs, fit);
	stats = heap_stats(heap);
	ASSERT_EQ(0, stats.blocks + stats.runs);
}

static const __u32 fits[] = { 0, 1, 63, 64, 65, 511, 512, 513, 1000 };

TEST_F(service, refs_end_unmapped)
{
	for (size_t i = 0; i < ARRAY_SIZE(fits); i++) {
		end_early(&self->heap, 24, fits[i], 0, PROT_NONE);
		end_early(&self->heap, 512, fits[i], 0, PROT_NONE);
	}
}

TEST_F(service, refs_end_read_only)
{
	for (size_t i = 0; i < ARRAY_SIZE(fits); i++)
		end_early(&self->heap, 24, fits[i], 0, PROT_READ);
}

/* Only a part of the last ref would fit. */
TEST_F(service, refs_end_inside_a_ref)
{
	for (size_t slack = 1; slack < sizeof(__u64); slack++)
		end_early(&self->heap, 24, 10, slack, PROT_NONE);
}

TEST_F(service, refs_of_runs_end_unmapped)
{
	for (size_t i = 0; i < 4; i++)
		end_early(&self->heap, 2 * POOL, fits[i], 0, PROT_NONE);
}

TEST_F(service, refs_nowhere)
{
	__u64 *const bad[] = { NULL, (__u64 *)8, (__u64 *)-8L, (__u64 *)(1UL << 63) };
	__u32 done;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EFAULT, try_alloc(&self->heap, 8, 100, bad[i], &done));
		EXPECT_EQ(0, done);
		heap_check(&self->heap);
	}
	EXPECT_EQ(0, heap_stats(&self->heap).blocks);
}

/*
 * The refs are stored in the heap's own memory, which faults in the middle of
 * the command.
 */
TEST_F(service, refs_in_the_window)
{
	struct heap *heap = &self->heap;
	__u64 *refs = (__u64 *)at(heap, alloc_one(heap, 1 << 20));

	alloc(heap, 8, refs, 100000 / sizeof(*refs));
	heap_check(heap);
	free_all(heap, refs, 100000 / sizeof(*refs));
}

TEST_F(service, zeroed)
{
	struct heap *heap = &self->heap;
	static const __u64 sizes[] = { 8, 24, 120, 128, 512, 513, 3 * POOL, 100000 };
	__u64 refs[200];

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		__u64 size = sizes[i];

		/*
		 * These blocks have been used, and their pool still has others.
		 */
		alloc(heap, size, refs, ARRAY_SIZE(refs));
		for (size_t j = 0; j < ARRAY_SIZE(refs); j++)
			memset(at(heap, refs[j]), 0xa5, size);
		free_all(heap, refs + 1, ARRAY_SIZE(refs) - 1);
		alloc_flags(heap, size, refs + 1, ARRAY_SIZE(refs) - 1, PYMALLOC_ALLOC_ZERO);
		for (size_t j = 1; j < ARRAY_SIZE(refs); j++) {
			ASSERT_TRUE(is_filled(at(heap, refs[j]), 0, size))
				TH_LOG("size %llu", size);
		}
		ASSERT_TRUE(is_filled(at(heap, refs[0]), 0xa5, size));
		heap_check(heap);
		free_all(heap, refs, ARRAY_SIZE(refs));
	}
}

/* A block of a power-of-two class is aligned to its size. */
TEST_F(service, natural_alignment)
{
	__u64 refs[100];

	for (__u64 size = 8; size <= 512; size *= 2) {
		alloc(&self->heap, size, refs, ARRAY_SIZE(refs));
		for (size_t i = 0; i < ARRAY_SIZE(refs); i++) {
			ASSERT_EQ(0, refs[i] % size);
		}
	}
}

TEST_HARNESS_MAIN
