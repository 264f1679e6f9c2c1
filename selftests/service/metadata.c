// SPDX-License-Identifier: GPL-2.0
/*
 * Metadata: what a heap makes the kernel hold besides its pages is counted in
 * meta_bytes and in the user's bytes, is bounded by both limits, costs by what
 * is used and not by the window, and goes when nothing needs it any more.
 */
#include "service.h"

#define WINDOW_MAX PYMALLOC_WINDOW_MAX

/* What the kernel knows of the page behind an address; root may read it. */
static __u64 entry_of(struct __test_metadata *_metadata, const char *path, __u64 index)
{
	__u64 entry = 0;
	int fd = open(path, O_RDONLY);

	ASSERT_LE(0, fd) TH_LOG("%s: %m", path);
	ASSERT_EQ(sizeof(entry), pread(fd, &entry, sizeof(entry), index * sizeof(entry)));
	close(fd);
	return entry;
}

static __u64 frame_of(struct __test_metadata *_metadata, const volatile void *p)
{
	__u64 entry = entry_of(_metadata, "/proc/self/pagemap", (uintptr_t)p / POOL);

	ASSERT_TRUE(entry >> 63) TH_LOG("the page is not there");
	return entry & ((1ULL << 55) - 1);
}

/* As often as it has been mapped, as /proc/kpagecount tells. */
static __u64 mappings_of(struct __test_metadata *_metadata, __u64 frame)
{
	return entry_of(_metadata, "/proc/kpagecount", frame);
}

/*
 * The part of the pool map where nothing has ever been shows zeroes, to everybody
 * who maps it and as often as he likes: nothing counts that, so that no count
 * can overflow.
 */
TEST(zeroes_are_not_counted)
{
	struct heap heaps[2] = { HEAP(.window = WINDOW_MAX), HEAP(.window = WINDOW_MAX) };
	__u64 frame, pages = WINDOW_MAX / POOL / POOL;

	frame = frame_of(_metadata, (touch((void *)heaps[0].map, false), heaps[0].map));
	for (int i = 0; i < 2; i++) {
		for (__u64 page = 0; page < pages; page += pages / 64) {
			const __u8 *map = heaps[i].map + page * POOL;

			ASSERT_TRUE(is_filled(map, 0, POOL));
			ASSERT_EQ(frame, frame_of(_metadata, map));
		}
	}
	EXPECT_GE(1, mappings_of(_metadata, frame));
	for (int i = 0; i < 2; i++)
		heap_close(&heaps[i]);
}

/* Zeroes give way to the real page, in all mappings, when arenas are made. */
TEST(zeroes_give_way)
{
	struct heap heap = HEAP();
	const __u8 *other;
	__u64 refs[2];

	other = mmap(NULL, POOL, PROT_READ, MAP_SHARED, heap.fd, PYMALLOC_POOL_MAP_OFFSET);
	ASSERT_NE(MAP_FAILED, other);
	ASSERT_TRUE(is_filled(other, 0, POOL));
	ASSERT_TRUE(is_filled(heap.map, 0, POOL));
	refs[0] = alloc_one(&heap, 48);
	EXPECT_EQ(48 / 8, pool_map(&heap, refs[0]));
	EXPECT_EQ(48 / 8, other[refs[0] / POOL]);
	EXPECT_EQ(0, heap.map[POOL]);
	/* Only the first region is there so far. */
	while ((refs[1] = alloc_one(&heap, 4 << 20)) < 16 << 20)
		;
	EXPECT_EQ(0, pool_map(&heap, refs[1]));
	EXPECT_EQ(POOL, refs[1] / POOL / POOL * POOL);
	heap_check(&heap);
	heap_close(&heap);
	munmap((void *)other, POOL);
}

/* A child sees its own pool map, even if its parent wants pages to be kept. */
TEST(a_child_has_its_own_map)
{
	struct heap heap = HEAP();
	__u64 ref = alloc_one(&heap, 48);
	struct turns turns = turns_make(_metadata);
	pid_t child;

	ASSERT_EQ(0, madvise((void *)heap.map, heap.bytes / POOL, MADV_KEEPONFORK));
	ASSERT_EQ(48 / 8, pool_map(&heap, ref));
	ASSERT_EQ(0, heap.map[POOL]);
	IN_CHILD(child, {
		turns_take(&turns, 1);
		turns_wait(&turns);
		EXPECT_EQ(48 / 8, pool_map(&heap, ref));
		free_one(&heap, ref);
		EXPECT_EQ(0, pool_map(&heap, ref));
		heap_check(&heap);
	});
	turns_take(&turns, 0);
	free_one(&heap, ref);
	turns_pass(&turns);
	join_child(_metadata, child);
	heap_check(&heap);
	heap_close(&heap);
}

TEST_HARNESS_MAIN
