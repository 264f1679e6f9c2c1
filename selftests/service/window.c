// SPDX-License-Identifier: GPL-2.0
/*
 * The window and the pool map: what can be mapped, how it can be mapped, and
 * what is there.
 */
#include "service.h"

/* Returns mmap()'s errno, or 0. A mapping that worked is unmapped again. */
static int map_errno(int fd, size_t bytes, int prot, int flags, off_t offset)
{
	void *p = mmap(NULL, bytes, prot, flags, fd, offset);

	if (p == MAP_FAILED)
		return errno;
	munmap(p, bytes);
	return 0;
}

#define RW (PROT_READ | PROT_WRITE)
#define MAP_START ((off_t)PYMALLOC_POOL_MAP_OFFSET)

TEST(mappings)
{
	struct heap heap = HEAP(.window = 16 * PYMALLOC_ARENA_SIZE);
	const size_t window = heap.bytes;
	const size_t map = heap.bytes / POOL;
	const struct {
		const char *what;
		size_t bytes;
		int prot, flags;
		off_t offset;
		int error;
	} cases[] = {
		{ "whole window", window, RW, MAP_SHARED, 0, 0 },
		{ "validated", window, RW, MAP_SHARED_VALIDATE, 0, 0 },
		{ "for reading", window, PROT_READ, MAP_SHARED, 0, 0 },
		{ "no access yet", window, PROT_NONE, MAP_SHARED, 0, 0 },
		{ "one page", POOL, RW, MAP_SHARED, 5 * POOL, 0 },
		{ "last page", POOL, RW, MAP_SHARED, window - POOL, 0 },
		{ "past the end", POOL, RW, MAP_SHARED, window, EINVAL },
		{ "over the end", 2 * POOL, RW, MAP_SHARED, window - POOL, EINVAL },
		{ "between", POOL, RW, MAP_SHARED, MAP_START - POOL, EINVAL },
		{ "private window", window, RW, MAP_PRIVATE, 0, EINVAL },
		{ "private for reading", window, PROT_READ, MAP_PRIVATE, 0, EINVAL },
		{ "executable window", window, RW | PROT_EXEC, MAP_SHARED, 0, EACCES },
		{ "pool map", map, PROT_READ, MAP_SHARED, MAP_START, 0 },
		{ "writable pool map", map, RW, MAP_SHARED, MAP_START, EACCES },
		{ "write-only pool map", map, PROT_WRITE, MAP_SHARED, MAP_START, EACCES },
		{ "private pool map", map, PROT_READ, MAP_PRIVATE, MAP_START, EINVAL },
		{ "executable pool map", map, PROT_EXEC, MAP_SHARED, MAP_START, EACCES },
		{ "past the pool map", POOL, PROT_READ, MAP_SHARED, MAP_START + POOL, EINVAL },
		{ "over the pool map", 2 * POOL, PROT_READ, MAP_SHARED, MAP_START, EINVAL },
		{ "far away", POOL, PROT_READ, MAP_SHARED, 1L << 62, EINVAL },
		{ "both", window, RW, MAP_SHARED, MAP_START - window / 2, EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		EXPECT_EQ(cases[i].error, map_errno(heap.fd, cases[i].bytes, cases[i].prot,
						    cases[i].flags, cases[i].offset))
			TH_LOG("%s", cases[i].what);
	}
	heap_check(&heap);
	heap_close(&heap);
}

/* What mmap refuses, mprotect refuses later, too. */
TEST_F(service, protections)
{
	struct heap *heap = &self->heap;
	void *const window = heap->window, *const map = (void *)heap->map;

	EXPECT_EQ(0, mprotect(window, heap->bytes, PROT_READ));
	EXPECT_EQ(0, mprotect(window, heap->bytes, RW));
	EXPECT_EQ(-1, mprotect(window, heap->bytes, RW | PROT_EXEC));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, mprotect(map, POOL, RW));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, mprotect(map, POOL, PROT_READ | PROT_EXEC));
	EXPECT_EQ(EACCES, errno);
}

/* The program may protect its memory from itself. */
TEST_F(service, read_only_for_a_while)
{
	struct heap *heap = &self->heap;
	__u64 ref = alloc_one(heap, 512);

	*at(heap, ref) = 'x';
	ASSERT_EQ(0, mprotect(heap->window, heap->bytes, PROT_READ));
	EXPECT_EQ('x', *at(heap, ref));
	EXPECT_EQ(SIGSEGV, touch(at(heap, ref), true));
	ASSERT_EQ(0, mprotect(heap->window, heap->bytes, RW));
	EXPECT_EQ(0, touch(at(heap, ref), true));
}

TEST_F(service, pool_map_follows)
{
	struct heap *heap = &self->heap;
	__u64 refs[200];

	for (__u64 size = 8; size <= 512; size += 8) {
		alloc(heap, size, refs, ARRAY_SIZE(refs));
		for (size_t i = 0; i < ARRAY_SIZE(refs); i++) {
			ASSERT_EQ(size / 8, pool_map(heap, refs[i]));
		}
		free_all(heap, refs, ARRAY_SIZE(refs));
		for (size_t i = 0; i < ARRAY_SIZE(refs); i++) {
			__u8 byte = pool_map(heap, refs[i]);

			ASSERT_TRUE(byte == 0 || byte == size / 8);
		}
		heap_trim(heap);
		for (size_t i = 0; i < ARRAY_SIZE(refs); i++) {
			ASSERT_EQ(0, pool_map(heap, refs[i]));
		}
	}
}

/* Only pools of blocks have a class. */
TEST(pool_map_elsewhere)
{
	struct heap heap = HEAP(.window = 16 << 20);
	__u64 run = alloc_one(&heap, 10 * POOL);
	__u64 block = alloc_one(&heap, 200);

	for (__u64 ref = 0; ref < heap.bytes; ref += POOL) {
		ASSERT_EQ(ref == (block & -POOL) ? 25 : 0, pool_map(&heap, ref));
	}
	ASSERT_EQ(0, pool_map(&heap, run));
	heap_close(&heap);
}

/* The pool map has a byte for each pool of the window, wherever arenas are. */
TEST_F(service, pool_map_everywhere)
{
	struct heap *heap = &self->heap;

	EXPECT_EQ(0, touch((void *)heap->map, false));
	EXPECT_EQ(0, touch((void *)(heap->map + heap->bytes / POOL / 2), false));
	EXPECT_EQ(0, touch((void *)(heap->map + heap->bytes / POOL - 1), false));
}

/*
 * With an alignment of 16, too, a pool's class is the size of its blocks
 * divided by 8.
 */
TEST(pool_map_of_16)
{
	struct heap heap = HEAP(.alignment = 16);

	for (__u64 size = 1; size <= 512; size++) {
		__u64 ref = alloc_one(&heap, size);

		ASSERT_EQ(round_up(size, 16) / 8, pool_map(&heap, ref));
	}
	heap_close(&heap);
}

TEST_F(service, two_mappings)
{
	struct heap *heap = &self->heap;
	__u64 ref = alloc_one(heap, 3 * POOL);
	char *other = mmap(NULL, heap->bytes, RW, MAP_SHARED, heap->fd, 0);

	ASSERT_NE(MAP_FAILED, other);
	for (__u64 i = 0; i < 3 * POOL; i += 1000) {
		at(heap, ref)[i] = 'a';
		ASSERT_EQ('a', other[ref + i]);
		other[ref + i] = 'b';
		ASSERT_EQ('b', at(heap, ref)[i]);
	}
	free_one(heap, ref);
	heap_trim(heap);
	EXPECT_EQ(SIGBUS, touch(at(heap, ref), false));
	EXPECT_EQ(SIGBUS, touch(other + ref, false));
	munmap(other, heap->bytes);
}

/* A mapping of some pages in the middle shows these pages. */
TEST_F(service, partial_mapping)
{
	struct heap *heap = &self->heap;
	__u64 ref = alloc_one(heap, 8 * POOL);
	char *part = mmap(NULL, 3 * POOL, RW, MAP_SHARED, heap->fd, ref + 2 * POOL);

	ASSERT_NE(MAP_FAILED, part);
	for (int i = 0; i < 8; i++)
		at(heap, ref)[i * POOL] = 'a' + i;
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ('a' + 2 + i, part[i * POOL]);
	}
	free_one(heap, ref);
	heap_trim(heap);
	EXPECT_EQ(SIGBUS, touch(part, false));
	munmap(part, 3 * POOL);
}

TEST_F(service, partial_unmap)
{
	struct heap *heap = &self->heap;
	__u64 ref = alloc_one(heap, 8 * POOL);

	for (int i = 0; i < 8; i++)
		at(heap, ref)[i * POOL] = 'a' + i;
	ASSERT_EQ(0, munmap(at(heap, ref) + 3 * POOL, 2 * POOL));
	for (int i = 0; i < 8; i++) {
		bool hole = i == 3 || i == 4;

		EXPECT_EQ(hole ? SIGSEGV : 0, touch(at(heap, ref) + i * POOL, false));
	}
	heap_check(heap);
	free_one(heap, ref);
	heap_trim(heap);
	EXPECT_EQ(SIGBUS, touch(at(heap, ref), false));
	EXPECT_EQ(SIGBUS, touch(at(heap, ref) + 7 * POOL, false));
}

TEST_F(service, mapping_moves)
{
	struct heap *heap = &self->heap;
	__u64 ref = alloc_one(heap, 100);
	char *target = mmap(NULL, heap->bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, target);
	*at(heap, ref) = 'x';
	ASSERT_EQ(target, mremap(heap->window, heap->bytes, heap->bytes,
				 MREMAP_MAYMOVE | MREMAP_FIXED, target));
	EXPECT_EQ(SIGSEGV, touch(at(heap, ref), false));
	heap->window = target;
	EXPECT_EQ('x', *at(heap, ref));
	EXPECT_EQ(0, touch(at(heap, alloc_one(heap, POOL)), true));
	free_one(heap, ref);
	heap_trim(heap);
	EXPECT_EQ(SIGBUS, touch(at(heap, ref), false));
}

TEST_F(service, mapping_does_not_grow)
{
	struct heap *heap = &self->heap;
	char *part = mmap(NULL, 4 * POOL, RW, MAP_SHARED, heap->fd, 0);

	ASSERT_NE(MAP_FAILED, part);
	EXPECT_EQ(MAP_FAILED, mremap(part, 4 * POOL, 8 * POOL, MREMAP_MAYMOVE));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(MAP_FAILED, mremap(part, 0, 4 * POOL, MREMAP_MAYMOVE));
	EXPECT_EQ(part, mremap(part, 4 * POOL, 2 * POOL, 0));
	munmap(part, 2 * POOL);
}

/* Locked memory is given back like any other. */
TEST_F(service, locked)
{
	struct heap *heap = &self->heap;
	__u64 ref = alloc_one(heap, 4 * POOL);

	ASSERT_EQ(0, mlock(at(heap, ref), 4 * POOL));
	free_one(heap, ref);
	heap_trim(heap);
	EXPECT_EQ(SIGBUS, touch(at(heap, ref), false));
	EXPECT_NE(0, mlock(at(heap, ref), 4 * POOL));
	EXPECT_EQ(0, munlock(at(heap, ref), 4 * POOL));
}

/* madvise() may unmap pages, but no contents are lost. */
TEST_F(service, advice)
{
	static const int advice[] = { MADV_DONTNEED, MADV_COLD, MADV_PAGEOUT, MADV_WILLNEED,
				      MADV_REMOVE, MADV_FREE };
	struct heap *heap = &self->heap;
	__u64 ref = alloc_one(heap, 4 * POOL);

	memset(at(heap, ref), 'x', 4 * POOL);
	for (size_t i = 0; i < ARRAY_SIZE(advice); i++) {
		madvise(at(heap, ref), 4 * POOL, advice[i]);
		EXPECT_TRUE(is_filled(at(heap, ref), 'x', 4 * POOL)) TH_LOG("%d", advice[i]);
		heap_check(heap);
	}
}

TEST(fresh_memory_is_zero)
{
	static const __u64 sizes[] = { 8, 48, 512, 513, 3 * POOL, 1 << 20 };
	struct heap heap = HEAP();
	__u64 refs[64];

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		alloc(&heap, sizes[i], refs, ARRAY_SIZE(refs) >> (i > 4 ? 4 : 0));
		for (size_t j = 0; j < ARRAY_SIZE(refs) >> (i > 4 ? 4 : 0); j++) {
			ASSERT_TRUE(is_filled(at(&heap, refs[j]), 0, sizes[i]));
		}
	}
	heap_close(&heap);
}

#define SECRET 0x5e
#define SECRET_PAGES 2048

static void fill_and_check(struct __test_metadata *_metadata, __u64 size)
{
	struct heap heap = HEAP();
	static __u64 refs[SECRET_PAGES * 8];
	__u32 count = SECRET_PAGES * POOL / size;

	alloc(&heap, size, refs, count);
	for (__u32 i = 0; i < count; i++) {
		ASSERT_TRUE(is_filled(at(&heap, refs[i]), 0, size));
		memset(at(&heap, refs[i]), SECRET, size);
	}
	heap_check(&heap);
	heap_close(&heap);
}

/* What one heap has written never appears in the next heap. */
TEST(nothing_leaks_into_another_heap)
{
	for (int round = 0; round < 3; round++) {
		fill_and_check(_metadata, 512);
		fill_and_check(_metadata, 2 * POOL);
	}
}

/* The same for a heap that lives on and gives its pages back. */
TEST(nothing_leaks_by_trim)
{
	struct heap from = HEAP();
	static __u64 refs[SECRET_PAGES * 8];

	alloc(&from, 512, refs, ARRAY_SIZE(refs));
	for (size_t i = 0; i < ARRAY_SIZE(refs); i++)
		memset(at(&from, refs[i]), SECRET, 512);
	free_all(&from, refs, ARRAY_SIZE(refs));
	EXPECT_LT(0, heap_stats(&from).nr_pages_out + heap_trim(&from));
	EXPECT_EQ(0, heap_stats(&from).page_bytes);
	fill_and_check(_metadata, 512);
	heap_check(&from);
	heap_close(&from);
}

TEST_HARNESS_MAIN
