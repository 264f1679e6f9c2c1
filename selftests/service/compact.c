// SPDX-License-Identifier: GPL-2.0
/*
 * COMPACT: what each flag does, what it returns, and who may call it.
 */
#include "service.h"

#define ALL	(PYMALLOC_COMPACT_STOCK | PYMALLOC_COMPACT_CACHES | PYMALLOC_COMPACT_MESH)

static __u64 refs[40 * 8];

/* What it returns is overwritten, whatever was there before. */
static struct pymalloc_compact compact(struct heap *heap, __u32 flags)
{
	struct __test_metadata *_metadata = heap->test;
	struct pymalloc_compact arg;

	memset(&arg, 0xff, sizeof(arg));
	arg.argsz = sizeof(arg);
	arg.flags = flags;
	ASSERT_EQ(0, call(heap->fd, PYMALLOC_IOC_COMPACT, &arg));
	ASSERT_EQ(sizeof(arg), arg.argsz);
	ASSERT_EQ(flags, arg.flags);
	heap_check(heap);
	return arg;
}

/*
 * Make empty pools, beside a block that stays. Returns how many there are: some more, as
 * pages are taken ahead.
 */
static __u64 make_empty_pools(struct heap *heap)
{
	struct __test_metadata *_metadata = heap->test;

	alloc_one(heap, 64);
	alloc(heap, 512, refs, ARRAY_SIZE(refs));
	free_all(heap, refs, ARRAY_SIZE(refs));
	ASSERT_LE(40, heap_stats(heap).pools_empty);
	return heap_stats(heap).pools_empty;
}

TEST_F(service, empty_pools)
{
	__u64 empty = make_empty_pools(&self->heap);
	struct pymalloc_compact done = compact(&self->heap, PYMALLOC_COMPACT_STOCK);

	EXPECT_EQ(empty, done.pages_freed);
	EXPECT_EQ(0, done.frames_joined);
	EXPECT_EQ(0, done.bytes_copied);
	EXPECT_EQ(0, done.pages_pinned);
	EXPECT_EQ(0, done.blocks_taken);
	EXPECT_EQ(POOL, heap_stats(&self->heap).page_bytes);
	EXPECT_EQ(0, compact(&self->heap, PYMALLOC_COMPACT_STOCK).pages_freed);
}

/* No flag is all flags. */
TEST_F(service, all)
{
	__u64 empty = make_empty_pools(&self->heap);

	EXPECT_EQ(empty, compact(&self->heap, 0).pages_freed);
	empty = make_empty_pools(&self->heap);
	EXPECT_EQ(empty, compact(&self->heap, ALL).pages_freed);
	EXPECT_EQ(0, heap_stats(&self->heap).pools_empty);
}

/* The other flags leave empty pools alone. */
TEST_F(service, not_the_stock)
{
	__u64 empty = make_empty_pools(&self->heap);

	EXPECT_EQ(0, compact(&self->heap, PYMALLOC_COMPACT_CACHES).pages_freed);
	EXPECT_EQ(0, compact(&self->heap, PYMALLOC_COMPACT_MESH).pages_freed);
	EXPECT_EQ(empty, heap_stats(&self->heap).pools_empty);
}

TEST_F(service, unknown_flag)
{
	struct pymalloc_compact arg = ARG(compact, .flags = ALL + 1, .pages_freed = 7,
					  .blocks_taken = 7);
	__u64 empty = make_empty_pools(&self->heap);

	EXPECT_EQ(-EINVAL, call(self->heap.fd, PYMALLOC_IOC_COMPACT, &arg));
	EXPECT_EQ(0, arg.pages_freed);
	EXPECT_EQ(0, arg.blocks_taken);
	EXPECT_EQ(empty, heap_stats(&self->heap).pools_empty);
}

/* Blocks stay where they are, with what is in them. */
TEST_F(service, blocks_stay)
{
	__u64 seed = 5;

	alloc(&self->heap, 48, refs, ARRAY_SIZE(refs));
	shuffle(refs, ARRAY_SIZE(refs), &seed);
	for (size_t i = 0; i < ARRAY_SIZE(refs); i++)
		memset(at(&self->heap, refs[i]), i, 48);
	free_all(&self->heap, refs + 20, ARRAY_SIZE(refs) - 20);
	compact(&self->heap, 0);
	for (size_t i = 0; i < 20; i++) {
		EXPECT_TRUE(is_filled(at(&self->heap, refs[i]), i, 48));
		EXPECT_EQ(48, usable(&self->heap, refs[i]));
	}
	free_all(&self->heap, refs, 20);
}

/* A process that has opened the heap, and may not allocate in it. */
TEST_F(service, of_another_process)
{
	__u64 empty = make_empty_pools(&self->heap);
	pid_t child;

	IN_CHILD(child, {
		struct pymalloc_compact arg = ARG(compact);
		int fd;

		heap_unmap(&self->heap);
		fd = heap_open(_metadata, self->heap.id, 0);
		ASSERT_LE(0, fd);
		EXPECT_EQ(0, call(fd, PYMALLOC_IOC_COMPACT, &arg));
		EXPECT_EQ(empty, arg.pages_freed);
	});
	join_child(_metadata, child);
	EXPECT_EQ(0, heap_stats(&self->heap).pools_empty);
}

TEST_F(service, after_the_end)
{
	struct pymalloc_compact arg = ARG(compact);
	struct pymalloc_policy policy = ARG(policy);
	struct pymalloc_end end = ARG(end);
	struct heap heap = HEAP();

	ASSERT_EQ(0, call(heap.fd, PYMALLOC_IOC_END, &end));
	EXPECT_EQ(-ESTALE, call(heap.fd, PYMALLOC_IOC_COMPACT, &arg));
	EXPECT_EQ(-ESTALE, call(heap.fd, PYMALLOC_IOC_POLICY, &policy));
	heap_close(&heap);
}

TEST_HARNESS_MAIN
