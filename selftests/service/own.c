// SPDX-License-Identifier: GPL-2.0
/*
 * A process reaches its own heap by its mapping of it, even after it has closed
 * all descriptors, whichever user it is by then.
 */
#include "service.h"

FIXTURE(own)
{
	struct heap heap;
	__u64 ref;
};

FIXTURE_SETUP(own)
{
	self->heap = HEAP();
	self->ref = alloc_one(&self->heap, 64);
	memset(at(&self->heap, self->ref), 'o', 64);
}

FIXTURE_TEARDOWN(own)
{
}

static void reopen(struct heap *heap)
{
	struct __test_metadata *_metadata = heap->test;

	heap->fd = heap_open(_metadata, user_ptr(heap->window), PYMALLOC_OPEN_MAPPED);
	EXPECT_LE(0, heap->fd) TH_LOG("open: %s", strerror(-heap->fd));
}

static void close_and_reopen(struct heap *heap)
{
	close(heap->fd);
	reopen(heap);
}

/* Do everything that the heap's process may do. */
static void is_own(struct heap *heap, __u64 old)
{
	struct __test_metadata *_metadata = heap->test;
	__u64 ref = alloc_one(heap, 100);

	memset(at(heap, ref), 'n', 100);
	EXPECT_TRUE(is_filled(at(heap, old), 'o', 64));
	free_one(heap, ref);
	free_one(heap, old);
	EXPECT_EQ(2 * POOL, heap_trim(heap));
	heap_check(heap);
}

static void counts_for(struct heap *heap, uid_t uid, __u64 bytes)
{
	struct __test_metadata *_metadata = heap->test;

	EXPECT_EQ(uid, heap_info(_metadata, heap->fd).uid);
	EXPECT_EQ(bytes, own_bytes(_metadata));
	EXPECT_EQ(1, service_info(_metadata).user_heaps);
}

TEST_F(own, as_another_user)
{
	become_somebody(_metadata);
	close_and_reopen(&self->heap);
	counts_for(&self->heap, SOMEBODY, POOL);
	is_own(&self->heap, self->ref);
}

static void in_child(struct heap *heap, __u64 ref, bool closed)
{
	struct __test_metadata *_metadata = heap->test;
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child) {
		if (closed)
			reopen(heap);
		EXPECT_EQ(SOMEBODY, heap_info(_metadata, heap->fd).uid);
		EXPECT_LE(0, heap_open(_metadata, heap_info(_metadata, heap->fd).id, 0));
		is_own(heap, ref);
		_exit(!__test_passed(_metadata));
	}
	join_child(_metadata, child);
}

/* As daemons do it. */
TEST_F(own, child_of_another_user)
{
	become_somebody(_metadata);
	close(self->heap.fd);
	in_child(&self->heap, self->ref, true);
	in_child(&self->heap, self->ref, true);
}

/* The parent has made no call since then. A call would have moved its heap. */
TEST_F(own, child_of_another_user_with_the_descriptor)
{
	become_somebody(_metadata);
	in_child(&self->heap, self->ref, false);
}

/* The new descriptor keeps the heap, as the first one did. */
TEST_F(own, unmapped)
{
	struct heap *heap = &self->heap;

	close_and_reopen(heap);
	heap_unmap(heap);
	EXPECT_TRUE(heap_listed(_metadata, heap->id));
	heap->window = mmap(NULL, heap->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, heap->fd, 0);
	ASSERT_NE(MAP_FAILED, heap->window);
	EXPECT_TRUE(is_filled(at(heap, self->ref), 'o', 64));
	munmap(heap->window, heap->bytes);
	EXPECT_TRUE(heap_listed(_metadata, heap->id));
	close(heap->fd);
	EXPECT_FALSE(heap_listed(_metadata, heap->id));
}

TEST_HARNESS_MAIN
