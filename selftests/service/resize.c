// SPDX-License-Identifier: GPL-2.0
/*
 * Usable size and resize.
 */
#include "service.h"

static int try_resize(struct heap *heap, __u64 *ref, __u64 size)
{
	struct pymalloc_resize arg = ARG(resize, .ref = *ref, .size = size);
	int ret = call(heap->fd, PYMALLOC_IOC_RESIZE, &arg);

	*ref = arg.ref;
	return ret;
}

static void fill(struct heap *heap, __u64 ref, __u64 size)
{
	for (__u64 i = 0; i < size; i++)
		at(heap, ref)[i] = (char)(i * 7 + size);
}

/* Does @ref begin with the first @bytes that fill() wrote for @size? */
static bool kept(struct heap *heap, __u64 ref, __u64 size, __u64 bytes)
{
	for (__u64 i = 0; i < bytes; i++) {
		if (at(heap, ref)[i] != (char)(i * 7 + size))
			return false;
	}
	return true;
}

static __u64 usable_of(__u64 size, __u32 alignment)
{
	return size <= 512 ? round_up(size, alignment) : round_up(size, POOL);
}

/*
 * The usable size is the size that was asked for, rounded up to a class or to
 * pages.
 */
TEST(usable_sizes)
{
	for (__u32 alignment = 8; alignment <= 16; alignment *= 2) {
		struct heap heap = HEAP(.alignment = alignment);

		for (__u64 size = 1; size <= 3 * POOL; size += size < 600 ? 1 : 509) {
			__u64 ref = alloc_one(&heap, size);

			ASSERT_EQ(usable_of(size, alignment), usable(&heap, ref))
				TH_LOG("size %llu", size);
			free_one(&heap, ref);
		}
		heap_check(&heap);
		heap_close(&heap);
	}
}

TEST_F(service, usable_batch)
{
	struct heap *heap = &self->heap;
	__u64 sizes[6] = {};
	__u64 refs[6] = { alloc_one(heap, 1), 0, alloc_one(heap, 500), alloc_one(heap, 5000),
			  ~0ULL, alloc_one(heap, 16) + 1 };
	struct pymalloc_usable arg = ARG(usable, .refs = user_ptr(refs), .sizes = user_ptr(sizes),
					 .count = 6);

	EXPECT_EQ(0, call(heap->fd, PYMALLOC_IOC_USABLE, &arg));
	EXPECT_EQ(6, arg.done);
	EXPECT_EQ(8, sizes[0]);
	EXPECT_EQ(0, sizes[1]);
	EXPECT_EQ(504, sizes[2]);
	EXPECT_EQ(8192, sizes[3]);
	EXPECT_EQ(0, sizes[4]);
	EXPECT_EQ(0, sizes[5]);
}

TEST_F(service, usable_counts)
{
	static const struct {
		__u32 count;
		int result;
	} cases[] = { { 0, -EINVAL }, { PYMALLOC_BATCH_MAX + 1, -E2BIG }, { ~0U, -E2BIG } };
	__u64 ref = 0, size;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pymalloc_usable arg = ARG(usable, .refs = user_ptr(&ref),
						 .sizes = user_ptr(&size),
						 .count = cases[i].count);

		EXPECT_EQ(cases[i].result, call(self->heap.fd, PYMALLOC_IOC_USABLE, &arg));
	}
}

/*
 * Both arrays may end early. @done says how many sizes were stored: as many as
 * both arrays have room for.
 */
static void usable_ends(struct heap *heap, __u32 refs_fit, __u32 sizes_fit, int beyond)
{
	struct __test_metadata *_metadata = heap->test;
	__u64 *refs = edge_buffer(_metadata, refs_fit * sizeof(__u64), PROT_NONE);
	__u64 *sizes = edge_buffer(_metadata, sizes_fit * sizeof(__u64), beyond);
	struct pymalloc_usable arg = ARG(usable, .refs = user_ptr(refs), .sizes = user_ptr(sizes),
					 .count = 2000);
	__u32 fit = refs_fit < sizes_fit ? refs_fit : sizes_fit;

	memset(refs, 0, refs_fit * sizeof(__u64));
	memset(sizes, 0xff, sizes_fit * sizeof(__u64));
	ASSERT_EQ(-EFAULT, call(heap->fd, PYMALLOC_IOC_USABLE, &arg));
	ASSERT_EQ(fit, arg.done);
	ASSERT_TRUE(is_filled(sizes, 0, fit * sizeof(__u64)));
}

TEST_F(service, usable_arrays_end_early)
{
	static const __u32 fits[] = { 0, 1, 64, 511, 513, 1000 };

	for (size_t i = 0; i < ARRAY_SIZE(fits); i++) {
		usable_ends(&self->heap, fits[i], 2000, PROT_NONE);
		usable_ends(&self->heap, 2000, fits[i], PROT_NONE);
		usable_ends(&self->heap, 2000, fits[i], PROT_READ);
	}
}

/*
 * CPython's rule: an object stays where it is, unless it has to grow or a move
 * would save more than a quarter of it.
 */
static bool has_to_stay(__u64 usable, __u64 size, __u64 usable_after)
{
	return usable_after == usable || (size <= usable && 4 * size > 3 * usable);
}

static bool has_to_move(__u64 usable, __u64 usable_after)
{
	return usable_after > usable || 4 * usable_after < 3 * usable;
}

static void resize_and_look(struct heap *heap, __u64 old, __u64 size)
{
	struct __test_metadata *_metadata = heap->test;
	__u64 before = usable_of(old, 8), after = usable_of(size, 8);
	__u64 ref = alloc_one(heap, old);
	__u64 was = ref;

	fill(heap, ref, old);
	ASSERT_EQ(0, try_resize(heap, &ref, size)) TH_LOG("%llu to %llu", old, size);
	if (has_to_stay(before, size, after)) {
		ASSERT_EQ(was, ref) TH_LOG("%llu to %llu", old, size);
	}
	if (has_to_move(before, after)) {
		ASSERT_NE(was, ref) TH_LOG("%llu to %llu", old, size);
	}
	ASSERT_EQ(ref == was ? before : after, usable(heap, ref));
	ASSERT_TRUE(kept(heap, ref, old, old < size ? old : size));
	if (ref != was) {
		ASSERT_NE(PYMALLOC_REF_OK, free_status(heap, was));
	}
	fill(heap, ref, size);
	free_one(heap, ref);
}

TEST_F(service, resize_blocks)
{
	struct heap *heap = &self->heap;

	for (__u64 old = 1; old <= 512; old += 17) {
		for (__u64 size = 1; size <= 540; size += 13)
			resize_and_look(heap, old, size);
		heap_check(heap);
	}
	EXPECT_EQ(0, heap_stats(heap).blocks);
	EXPECT_EQ(0, heap_stats(heap).runs);
}

TEST_F(service, resize_at_the_quarter)
{
	for (__u64 old = 16; old <= 512; old += 8) {
		for (__u64 size = old * 3 / 4 - 2; size <= old * 3 / 4 + 2; size++)
			resize_and_look(&self->heap, old, size);
	}
}

TEST_F(service, resize_between_blocks_and_runs)
{
	static const __u64 sizes[] = { 8, 512, 513, POOL, POOL + 1, 3 * POOL, 4 * POOL,
				       PYMALLOC_ARENA_SIZE, PYMALLOC_ARENA_SIZE + 1, 1 << 20 };
	struct heap *heap = &self->heap;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(sizes); j++) {
			__u64 ref = alloc_one(heap, sizes[i]);

			fill(heap, ref, sizes[i]);
			ASSERT_EQ(0, try_resize(heap, &ref, sizes[j]));
			ASSERT_TRUE(kept(heap, ref, sizes[i],
					 sizes[i] < sizes[j] ? sizes[i] : sizes[j]));
			ASSERT_LE(sizes[j], usable(heap, ref));
			heap_check(heap);
			free_one(heap, ref);
		}
	}
	EXPECT_EQ(0, heap_stats(heap).blocks);
	EXPECT_EQ(0, heap_stats(heap).runs);
}

/* A resize that fails leaves the object as it was. */
TEST_F(service, resize_refused)
{
	struct heap *heap = &self->heap;
	static const __u64 sizes[] = { 0, PYMALLOC_SIZE_MAX + 1, 1ULL << 32, (1ULL << 32) + 8,
				       1ULL << 63, ~0ULL };
	__u64 ref = alloc_one(heap, 100);
	__u64 was = ref;

	fill(heap, ref, 100);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		EXPECT_EQ(-EINVAL, try_resize(heap, &ref, sizes[i])) TH_LOG("%#llx", sizes[i]);
		EXPECT_EQ(was, ref);
	}
	EXPECT_TRUE(kept(heap, ref, 100, 100));
	EXPECT_EQ(104, usable(heap, ref));
}

TEST(resize_past_the_limit)
{
	struct heap heap = HEAP(.limit = meta_with(_metadata, 2) + 4 * (POOL + PAGE_META_MIN));
	__u64 block = alloc_one(&heap, 64);
	__u64 run = alloc_one(&heap, 3 * POOL);
	__u64 was_block = block, was_run = run;

	fill(&heap, block, 64);
	fill(&heap, run, 3 * POOL);
	EXPECT_EQ(-ENOMEM, try_resize(&heap, &block, 1000));
	EXPECT_EQ(-ENOMEM, try_resize(&heap, &block, 128));
	EXPECT_EQ(-ENOMEM, try_resize(&heap, &run, 4 * POOL));
	EXPECT_EQ(was_block, block);
	EXPECT_EQ(was_run, run);
	EXPECT_TRUE(kept(&heap, block, 64, 64));
	EXPECT_TRUE(kept(&heap, run, 3 * POOL, 3 * POOL));
	heap_check(&heap);
	heap_close(&heap);
}

TEST_HARNESS_MAIN
