// SPDX-License-Identifier: GPL-2.0
/*
 * The memory cgroup of a heap's maker pays for the heap's pages and metadata,
 * whichever process calls. The limit of this cgroup holds for the heap.
 */
#include "cgroup.h"

/* Each test runs in its own cgroup, which goes with the test. */
FIXTURE(memcg)
{
	struct heap heap;
};

FIXTURE_SETUP(memcg)
{
	group_make(_metadata);
	self->heap = HEAP();
}

FIXTURE_TEARDOWN(memcg)
{
	heap_check(&self->heap);
	heap_close(&self->heap);
	group_leave(_metadata);
	ASSERT_EQ(0, rmdir(GROUP)) TH_LOG("%m");
}

TEST_F(memcg, pages_are_charged)
{
	__u64 before = charged(_metadata), with, ref;

	ref = alloc_one(&self->heap, 16 * MIB);
	with = charged(_metadata);
	EXPECT_LE(before + 16 * MIB - SLACK, with);
	EXPECT_GE(before + 16 * MIB + SLACK, with);
	free_one(&self->heap, ref);
	heap_trim(&self->heap);
	EXPECT_GE(before + SLACK, charged(_metadata));
}

static __u64 refs[PYMALLOC_BATCH_MAX];

TEST_F(memcg, blocks_and_metadata_are_charged)
{
	__u64 before = charged(_metadata), metadata = heap_stats(&self->heap).meta_bytes;

	alloc(&self->heap, 256, refs, ARRAY_SIZE(refs));
	metadata = heap_stats(&self->heap).meta_bytes - metadata;
	EXPECT_LE(before + 16 * MIB - SLACK, charged(_metadata));
	EXPECT_LE(metadata / 2, read_group(_metadata, "memory.stat", "slab"));
	free_all(&self->heap, refs, ARRAY_SIZE(refs));
	heap_trim(&self->heap);
	EXPECT_GE(before + SLACK, charged(_metadata));
}

/*
 * Past the group's limit, a call fails with ENOMEM and keeps what did fit. The
 * OOM killer kills nobody.
 */
static void run_into_the_limit(struct heap *heap, __u64 size, __u32 count)
{
	struct __test_metadata *_metadata = heap->test;
	struct pymalloc_alloc arg = ARG(alloc, .refs = user_ptr(refs), .size = size,
					.count = count);
	struct pymalloc_stats stats;

	ASSERT_EQ(-ENOMEM, call(heap->fd, PYMALLOC_IOC_ALLOC, &arg));
	ASSERT_LT(0, arg.done);
	stats = heap_stats(heap);
	ASSERT_EQ(arg.done, stats.blocks + stats.runs);
	ASSERT_GE(16 * MIB, stats.page_bytes);
	ASSERT_LE(4 * MIB, stats.page_bytes);
	heap_check(heap);
	free_all(heap, refs, arg.done);
	heap_trim(heap);
	ASSERT_EQ(0, heap_stats(heap).page_bytes);
}

TEST_F(memcg, limit)
{
	static const __u64 sizes[] = { 512, 4096, 100000 };

	memset(refs, 0, sizeof(refs));
	write_group(_metadata, "memory.max", charged(_metadata) + 8 * MIB);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		run_into_the_limit(&self->heap, sizes[i], ARRAY_SIZE(refs));
	EXPECT_EQ(0, read_group(_metadata, "memory.events", "oom_kill"));
}

/* In a cgroup at its limit, a process can still free, look and start again. */
TEST_F(memcg, again_after_the_limit)
{
	__u32 count = 1000;

	memset(refs, 0, sizeof(refs));
	write_group(_metadata, "memory.max", charged(_metadata) + 8 * MIB);
	for (int round = 0; round < 5; round++) {
		run_into_the_limit(&self->heap, 512, ARRAY_SIZE(refs));
		alloc(&self->heap, 512, refs, count);
		heap_check(&self->heap);
		free_all(&self->heap, refs, count);
	}
	EXPECT_EQ(0, read_group(_metadata, "memory.events", "oom_kill"));
}

/* The maker's cgroup pays, even after the maker has moved to another one. */
TEST_F(memcg, maker_pays)
{
	__u64 before = charged(_metadata), ref;

	group_leave(_metadata);
	ref = alloc_one(&self->heap, 16 * MIB);
	EXPECT_LE(before + 16 * MIB - SLACK, charged(_metadata));
	free_one(&self->heap, ref);
	heap_trim(&self->heap);
	EXPECT_GE(before + SLACK, charged(_metadata));
}

TEST_HARNESS_MAIN
