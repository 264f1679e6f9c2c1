// SPDX-License-Identifier: GPL-2.0
/*
 * Random arguments, the same in every run. A command fails or does something,
 * and the heap is sound afterwards.
 */
#include "service.h"

#define CALLS 20000

static const unsigned long commands[] = {
	PYMALLOC_IOC_ALLOC, PYMALLOC_IOC_FREE, PYMALLOC_IOC_USABLE, PYMALLOC_IOC_RESIZE,
	PYMALLOC_IOC_STATS, PYMALLOC_IOC_WALK, PYMALLOC_IOC_TRIM, PYMALLOC_IOC_CHECK,
	PYMALLOC_IOC_NOTIFY, PYMALLOC_IOC_LIST, PYMALLOC_IOC_COMPACT, PYMALLOC_IOC_POLICY,
};

static const __u32 sizes[] = {
	sizeof(struct pymalloc_alloc), sizeof(struct pymalloc_free),
	sizeof(struct pymalloc_usable), sizeof(struct pymalloc_resize),
	sizeof(struct pymalloc_stats), sizeof(struct pymalloc_walk),
	sizeof(struct pymalloc_trim), sizeof(struct pymalloc_check),
	sizeof(struct pymalloc_notify), sizeof(struct pymalloc_list),
	sizeof(struct pymalloc_compact), sizeof(struct pymalloc_policy),
};

/* Values that have a meaning somewhere, or are next to one that has. */
static __u64 wild_value(__u64 *seed, struct heap *heap, const void *buffer, const void *edge)
{
	const __u64 meaningful[] = {
		0, 0, 0, 1, 2, 3, 8, 64, 512, 513, 4096, 65536, 65537, 1 << 18, 1 << 24,
		heap->bytes, heap->bytes - 8, ARENA, ARENA + 64, ARENA + 4096,
		user_ptr(buffer), user_ptr(buffer), user_ptr(buffer) + 4, user_ptr(edge),
		user_ptr(heap->window) + ARENA, user_ptr(heap->map),
		1ULL << 31, 1ULL << 32, 1ULL << 42, 1ULL << 63, -1ULL, -8ULL,
		0x0000000100000040ULL, 0x0000004000000001ULL, 0x0000040000000400ULL,
	};
	__u64 random = next_random(seed);

	if (random % 8 == 0)
		return random;
	return meaningful[random / 8 % ARRAY_SIZE(meaningful)];
}

TEST(arguments)
{
	struct heap heap = HEAP(.limit = 8 << 20, .window = 64 << 20);
	static __u64 buffer[1 << 16], argument[64];
	const char *edge = edge_buffer(_metadata, 100, PROT_READ);
	__u64 seed = 20130;
	__u32 worked = 0;

	for (int i = 0; i < CALLS; i++) {
		size_t which = next_random(&seed) % ARRAY_SIZE(commands);

		for (__u32 word = 1; word < sizes[which] / 8; word++)
			argument[word] = wild_value(&seed, &heap, buffer, edge);
		argument[0] = sizes[which];
		if (next_random(&seed) % 16 == 0)
			argument[0] = wild_value(&seed, &heap, buffer, edge);
		worked += !call(heap.fd, commands[which], argument);
		if (i % 64 == 0)
			heap_check(&heap);
	}
	heap_check(&heap);
	EXPECT_LT(CALLS / 100, worked);
	heap_close(&heap);
}

/* Free refs that are mostly bad, in a heap that is full of blocks. */
TEST(refs)
{
	struct heap heap = HEAP(.window = 16 << 20);
	static __u64 refs[10000];
	static __u8 status[1000];
	__u64 seed = 4711;
	__u64 live = ARRAY_SIZE(refs);

	for (size_t i = 0; i < ARRAY_SIZE(refs); i++)
		refs[i] = alloc_one(&heap, i % 50 ? 8 + i % 505 : 600 + i);
	for (int round = 0; round < 100; round++) {
		__u64 wild[ARRAY_SIZE(status)];
		struct pymalloc_free arg = ARG(free, .refs = user_ptr(wild),
					       .status = user_ptr(status),
					       .count = ARRAY_SIZE(wild));
		__u32 bad = 0;

		for (size_t i = 0; i < ARRAY_SIZE(wild); i++) {
			wild[i] = next_random(&seed) % (heap.bytes * 5 / 4);
			if (i % 2)
				wild[i] &= -8ULL;
		}
		call(heap.fd, PYMALLOC_IOC_FREE, &arg);
		ASSERT_EQ(ARRAY_SIZE(wild), arg.done);
		for (size_t i = 0; i < ARRAY_SIZE(wild); i++) {
			ASSERT_GE(PYMALLOC_REF_FREE, status[i]);
			bad += status[i] != PYMALLOC_REF_OK;
		}
		ASSERT_EQ(bad, arg.nr_bad);
		live -= ARRAY_SIZE(wild) - bad;
		ASSERT_EQ(live, heap_stats(&heap).blocks + heap_stats(&heap).runs);
		heap_check(&heap);
	}
	EXPECT_GT(ARRAY_SIZE(refs), live);
	heap_close(&heap);
}

TEST_HARNESS_MAIN
