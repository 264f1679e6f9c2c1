// SPDX-License-Identifier: GPL-2.0
/*
 * Freeing: the kernel says exactly what it finds at a ref. A bad ref never
 * prevents the others from being freed.
 */
#include "service.h"

#define NOTHING 0xee	/* what a status is filled with before a call */

struct answer {
	int result;
	__u32 done, nr_bad, first_bad;
};

static struct answer try_free(struct heap *heap, const __u64 *refs, __u8 *status, __u32 count)
{
	struct pymalloc_free arg = ARG(free, .refs = user_ptr(refs), .status = user_ptr(status),
				       .count = count);
	int ret = call(heap->fd, PYMALLOC_IOC_FREE, &arg);

	return (struct answer){ ret, arg.done, arg.nr_bad, arg.first_bad };
}

#define MAX_KINDS 32

/*
 * A heap with one ref of every kind. Each test of these kinds starts from it.
 */
FIXTURE(kinds)
{
	struct heap heap;
	__u64 full[8];		/* a pool of 512 */
	__u64 used[4];		/* of 96; the last one stays allocated */
	__u64 freed;		/* a free block in the same pool */
	__u64 gone;		/* a block whose pool is gone after a trim */
	__u64 run;		/* of three pages */
	__u64 run_gone;
	__u64 good[MAX_KINDS];	/* good refs between the bad ones */
};

FIXTURE_SETUP(kinds)
{
	struct heap *heap = &self->heap;

	*heap = HEAP();
	alloc(heap, 512, self->full, ARRAY_SIZE(self->full));
	alloc(heap, 96, self->used, ARRAY_SIZE(self->used));
	self->freed = self->used[2];
	free_one(heap, self->freed);
	self->run = alloc_one(heap, 3 * POOL);
	for (int i = 0; i < MAX_KINDS; i++)
		self->good[i] = alloc_one(heap, i % 2 ? 2 * POOL : 120 + 8ULL * i);
	self->gone = alloc_one(heap, 40);
	self->run_gone = alloc_one(heap, 2 * POOL);
	free_one(heap, self->gone);
	free_one(heap, self->run_gone);
	heap_trim(heap);
	heap_check(heap);
}

FIXTURE_TEARDOWN(kinds)
{
	heap_check(&self->heap);
	heap_close(&self->heap);
}

struct kind {
	__u64 ref;
	enum pymalloc_ref_status status;
};

static int bad_kinds(FIXTURE_DATA(kinds) *self, struct kind *kinds)
{
	const struct kind all[] = {
		{ 0, PYMALLOC_REF_RANGE },
		{ 8, PYMALLOC_REF_RANGE },
		{ self->heap.bytes, PYMALLOC_REF_RANGE },
		{ self->heap.bytes + ARENA, PYMALLOC_REF_RANGE },
		{ self->used[0] + (1ULL << 42), PYMALLOC_REF_RANGE },
		{ self->used[0] + (1ULL << 63), PYMALLOC_REF_RANGE },
		{ user_ptr(at(&self->heap, self->used[0])), PYMALLOC_REF_RANGE },
		{ -8ULL, PYMALLOC_REF_RANGE },
		{ ~0ULL, PYMALLOC_REF_RANGE },
		{ self->heap.bytes - 8, PYMALLOC_REF_FOREIGN },
		{ self->heap.bytes - ARENA, PYMALLOC_REF_FOREIGN },
		{ self->gone, PYMALLOC_REF_FOREIGN },
		{ self->gone + 1, PYMALLOC_REF_FOREIGN },
		{ self->run_gone, PYMALLOC_REF_FOREIGN },
		{ self->used[0] + 1, PYMALLOC_REF_MISALIGNED },
		{ self->used[0] + 8, PYMALLOC_REF_MISALIGNED },
		{ self->used[0] + 95, PYMALLOC_REF_MISALIGNED },
		{ self->full[7] + 256, PYMALLOC_REF_MISALIGNED },
		/*
		 * A pool has 42 blocks of 96 bytes. The rest of the page is no
		 * block.
		 */
		{ (self->used[0] & -POOL) + 42 * 96, PYMALLOC_REF_MISALIGNED },
		{ (self->used[0] & -POOL) + 42 * 96 + 1, PYMALLOC_REF_MISALIGNED },
		{ self->run + 8, PYMALLOC_REF_MISALIGNED },
		{ self->run + POOL, PYMALLOC_REF_MISALIGNED },
		{ self->run + 2 * POOL + 1, PYMALLOC_REF_MISALIGNED },
		{ next_in_turn(self->used[3], 96), PYMALLOC_REF_UNTOUCHED },
		{ self->freed, PYMALLOC_REF_FREE },
	};

	memcpy(kinds, all, sizeof(all));
	return ARRAY_SIZE(all);
}

TEST_F(kinds, alone)
{
	struct kind kinds[MAX_KINDS];
	int count = bad_kinds(self, kinds);

	for (int i = 0; i < count; i++) {
		EXPECT_EQ(kinds[i].status, free_status(&self->heap, kinds[i].ref))
			TH_LOG("kind %d: %#llx", i, kinds[i].ref);
		heap_check(&self->heap);
	}
	EXPECT_EQ(count, heap_stats(&self->heap).nr_bad_refs);
}

/* A ref that cannot be freed cannot be used or resized either. */
TEST_F(kinds, other_commands)
{
	struct kind kinds[MAX_KINDS];
	int count = bad_kinds(self, kinds);

	for (int i = 0; i < count; i++) {
		struct pymalloc_resize arg = ARG(resize, .ref = kinds[i].ref, .size = 8);

		EXPECT_EQ(0, usable(&self->heap, kinds[i].ref)) TH_LOG("kind %d", i);
		EXPECT_EQ(-EBADSLT, call(self->heap.fd, PYMALLOC_IOC_RESIZE, &arg))
			TH_LOG("kind %d", i);
		EXPECT_EQ(kinds[i].ref, arg.ref);
		heap_check(&self->heap);
	}
}

/* There are good refs between the bad ones. */
TEST_F(kinds, mixed)
{
	struct heap *heap = &self->heap;
	struct kind kinds[MAX_KINDS];
	int count = bad_kinds(self, kinds);
	__u64 refs[2 * MAX_KINDS];
	__u8 status[2 * MAX_KINDS];
	__u64 frees = heap_stats(heap).nr_frees;
	struct answer answer;

	for (int i = 0; i < count; i++) {
		refs[2 * i] = self->good[i];
		refs[2 * i + 1] = kinds[i].ref;
	}
	memset(status, NOTHING, sizeof(status));
	answer = try_free(heap, refs, status, 2 * count);
	EXPECT_EQ(-EBADSLT, answer.result);
	EXPECT_EQ(2 * count, answer.done);
	EXPECT_EQ(count, answer.nr_bad);
	EXPECT_EQ(1, answer.first_bad);
	for (int i = 0; i < count; i++) {
		EXPECT_EQ(PYMALLOC_REF_OK, status[2 * i]) TH_LOG("kind %d", i);
		EXPECT_EQ(kinds[i].status, status[2 * i + 1]) TH_LOG("kind %d", i);
	}
	EXPECT_EQ(frees + count, heap_stats(heap).nr_frees);
	EXPECT_EQ(count, heap_stats(heap).nr_bad_refs);
}

/* The same without an array for the statuses. */
TEST_F(kinds, no_status)
{
	const __u64 refs[] = { self->run, self->used[0], 0, self->full[0], self->freed };
	struct answer answer = try_free(&self->heap, refs, NULL, ARRAY_SIZE(refs));

	EXPECT_EQ(-EBADSLT, answer.result);
	EXPECT_EQ(ARRAY_SIZE(refs), answer.done);
	EXPECT_EQ(2, answer.nr_bad);
	EXPECT_EQ(2, answer.first_bad);
}

TEST_F(kinds, twice_in_a_batch)
{
	const __u64 refs[] = { self->used[0], self->used[1], self->used[0], self->run, self->run,
			       self->used[1], self->full[0], self->full[0] };
	static const __u8 expected[] = {
		PYMALLOC_REF_OK, PYMALLOC_REF_OK, PYMALLOC_REF_FREE, PYMALLOC_REF_OK,
		PYMALLOC_REF_FOREIGN, PYMALLOC_REF_FREE, PYMALLOC_REF_OK, PYMALLOC_REF_FREE,
	};
	__u8 status[ARRAY_SIZE(refs)];
	struct answer answer = try_free(&self->heap, refs, status, ARRAY_SIZE(refs));

	EXPECT_EQ(-EBADSLT, answer.result);
	EXPECT_EQ(4, answer.nr_bad);
	EXPECT_EQ(2, answer.first_bad);
	for (size_t i = 0; i < ARRAY_SIZE(refs); i++) {
		EXPECT_EQ(expected[i], status[i]) TH_LOG("ref %zu", i);
	}
}

TEST_F(kinds, every_byte_of_a_pool)
{
	struct heap *heap = &self->heap;
	__u64 pool = self->used[0] & -POOL;

	for (__u64 offset = 0; offset < POOL; offset++) {
		enum pymalloc_ref_status expected = PYMALLOC_REF_MISALIGNED;
		__u64 ref = pool + offset;

		if (ref == self->used[0] || ref == self->used[1] || ref == self->used[3])
			continue;
		if (ref == self->freed)
			expected = PYMALLOC_REF_FREE;
		else if (offset % 96 == 0 && offset / 96 < 42)
			expected = PYMALLOC_REF_UNTOUCHED;
		ASSERT_EQ(expected, free_status(heap, ref)) TH_LOG("offset %llu", offset);
	}
	heap_check(heap);
	EXPECT_EQ(PYMALLOC_REF_OK, free_status(heap, self->used[0]));
	EXPECT_EQ(PYMALLOC_REF_OK, free_status(heap, self->used[1]));
}

TEST_F(service, counts)
{
	static const struct {
		__u32 count;
		int result;
	} cases[] = {
		{ 0, -EINVAL },
		{ PYMALLOC_BATCH_MAX + 1, -E2BIG },
		{ ~0U, -E2BIG },
	};
	__u64 ref = alloc_one(&self->heap, 8);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		EXPECT_EQ(cases[i].result,
			  try_free(&self->heap, &ref, NULL, cases[i].count).result);
	}
	EXPECT_EQ(1, heap_stats(&self->heap).blocks);
}

/* Only a part of the refs can be read. Exactly these are freed. */
static void end_early(struct heap *heap, __u32 fit, size_t slack)
{
	struct __test_metadata *_metadata = heap->test;
	__u64 *refs = edge_buffer(_metadata, fit * sizeof(*refs) + slack, PROT_NONE);
	static __u8 status[2000];
	struct answer answer;

	if (fit)
		alloc(heap, 40, refs, fit);
	memset(status, NOTHING, sizeof(status));
	answer = try_free(heap, refs, status, fit + 500);
	ASSERT_EQ(-EFAULT, answer.result);
	ASSERT_EQ(fit, answer.done);
	ASSERT_EQ(0, answer.nr_bad);
	ASSERT_TRUE(is_filled(status, PYMALLOC_REF_OK, fit));
	ASSERT_TRUE(is_filled(status + fit, NOTHING, 500));
	heap_check(heap);
	ASSERT_EQ(0, heap_stats(heap).blocks);
}

TEST_F(service, refs_end_unmapped)
{
	static const __u32 fits[] = { 0, 1, 63, 64, 65, 511, 512, 513, 1000 };

	for (size_t i = 0; i < ARRAY_SIZE(fits); i++)
		end_early(&self->heap, fits[i], 0);
	for (size_t slack = 1; slack < sizeof(__u64); slack++)
		end_early(&self->heap, 10, slack);
}

/*
 * The statuses cannot be stored. @done counts every ref that was dealt with,
 * and the figures of the heap agree.
 */
static void lose_status(struct heap *heap, __u32 fit, int beyond)
{
	struct __test_metadata *_metadata = heap->test;
	static __u64 refs[2000];
	__u8 *status = edge_buffer(_metadata, fit, beyond);
	struct answer answer;

	alloc(heap, 40, refs, ARRAY_SIZE(refs));
	answer = try_free(heap, refs, status, ARRAY_SIZE(refs));
	ASSERT_EQ(-EFAULT, answer.result);
	ASSERT_LT(fit, answer.done);
	ASSERT_EQ(0, answer.nr_bad);
	ASSERT_TRUE(is_filled(status, PYMALLOC_REF_OK, fit));
	heap_check(heap);
	ASSERT_EQ(ARRAY_SIZE(refs) - answer.done, heap_stats(heap).blocks);
	if (answer.done < ARRAY_SIZE(refs))
		free_all(heap, refs + answer.done, ARRAY_SIZE(refs) - answer.done);
	ASSERT_EQ(0, heap_stats(heap).blocks);
}

TEST_F(service, status_not_writable)
{
	static const __u32 fits[] = { 0, 1, 64, 100, 512, 1500, 1999 };

	for (size_t i = 0; i < ARRAY_SIZE(fits); i++) {
		lose_status(&self->heap, fits[i], PROT_NONE);
		lose_status(&self->heap, fits[i], PROT_READ);
	}
}

TEST_F(service, refs_nowhere)
{
	__u64 *const bad[] = { NULL, (__u64 *)8, (__u64 *)-8L, (__u64 *)(1UL << 63) };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct answer answer = try_free(&self->heap, bad[i], NULL, 100);

		EXPECT_EQ(-EFAULT, answer.result);
		EXPECT_EQ(0, answer.done);
	}
}

/* The refs lie in a run that the batch itself frees. */
TEST_F(service, refs_in_what_is_freed)
{
	struct heap *heap = &self->heap;
	__u64 run = alloc_one(heap, 16 * POOL);
	__u64 *refs = (__u64 *)at(heap, run);
	__u32 count = 16 * POOL / sizeof(*refs);
	struct answer answer;

	alloc(heap, 16, refs + 1, count - 1);
	refs[0] = run;
	answer = try_free(heap, refs, NULL, count);
	EXPECT_LE(1, answer.done);
	EXPECT_EQ(answer.done == count ? 0 : -EFAULT, answer.result);
	heap_check(heap);
	EXPECT_EQ(count - answer.done, heap_stats(heap).blocks);
	EXPECT_EQ(0, heap_stats(heap).runs);
}

/*
 * With its last block, a pool goes. A second free finds a free block or nothing
 * at all, but never a block to free.
 */
TEST_F(service, twice_when_the_pool_is_gone)
{
	struct heap *heap = &self->heap;
	__u64 ref = alloc_one(heap, 48);
	const __u64 refs[] = { ref, ref, ref };
	__u8 status[ARRAY_SIZE(refs)];
	struct answer answer = try_free(heap, refs, status, ARRAY_SIZE(refs));

	EXPECT_EQ(-EBADSLT, answer.result);
	EXPECT_EQ(2, answer.nr_bad);
	EXPECT_EQ(PYMALLOC_REF_OK, status[0]);
	for (int i = 1; i < 3; i++) {
		EXPECT_TRUE(status[i] == PYMALLOC_REF_FREE || status[i] == PYMALLOC_REF_FOREIGN);
	}
	heap_trim(heap);
	EXPECT_EQ(PYMALLOC_REF_FOREIGN, free_status(heap, ref));
	EXPECT_EQ(0, heap_stats(heap).blocks);
}

/* A batch of all classes and runs at once, in random order. */
TEST_F(service, any_mix)
{
	struct heap *heap = &self->heap;
	static __u64 refs[4096];
	__u64 seed = 42;

	for (size_t i = 0; i < ARRAY_SIZE(refs); i++)
		refs[i] = alloc_one(heap, i % 100 ? 1 + next_random(&seed) % 512 : 513 + 8 * i);
	shuffle(refs, ARRAY_SIZE(refs), &seed);
	heap_check(heap);
	free_all(heap, refs, ARRAY_SIZE(refs));
	EXPECT_EQ(0, heap_stats(heap).blocks);
	EXPECT_EQ(0, heap_stats(heap).runs);
	heap_trim(heap);
	EXPECT_EQ(0, heap_stats(heap).page_bytes);
}

TEST_HARNESS_MAIN
