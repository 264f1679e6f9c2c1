/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of meshing share: blocks that hold a checksum of their own place and a
 * counter, pools of which few blocks are left, and the physical pages behind addresses.
 */
#ifndef SELFTESTS_MESH_H
#define SELFTESTS_MESH_H

#include "service.h"

/* A block, and what it must contain. */
struct marked {
	__u64 ref;
	__u32 size;
	__u32 counter;
};

/*
 * Each word of a block tells where it is and which write it is from: a block that another
 * one has been written over, or of which a part is older than the rest, has a wrong word.
 */
static inline __u64 mark_word(const struct marked *block, __u64 at)
{
	return (block->ref + at) * 0x9e3779b97f4a7c15 ^ block->counter * 0xc2b2ae3d27d4eb4f;
}

static inline void mark_write(const struct marked *block, void *memory)
{
	volatile __u64 *words = memory;

	for (__u64 at = 0; at < block->size; at += sizeof(*words))
		words[at / sizeof(*words)] = mark_word(block, at);
}

static inline bool mark_holds(const struct marked *block, const void *memory)
{
	const volatile __u64 *words = memory;

	for (__u64 at = 0; at < block->size; at += sizeof(*words))
		if (words[at / sizeof(*words)] != mark_word(block, at))
			return false;
	return true;
}

static inline void marked_write(struct heap *heap, struct marked *block)
{
	block->counter++;
	mark_write(block, at(heap, block->ref));
}

static inline bool marked_holds(struct heap *heap, const struct marked *block)
{
	return mark_holds(block, at(heap, block->ref));
}

/* How many of the blocks do not contain what they must. */
static inline size_t marked_lost(struct heap *heap, const struct marked *blocks, size_t count)
{
	size_t lost = 0;

	for (size_t i = 0; i < count; i++)
		lost += !marked_holds(heap, &blocks[i]);
	return lost;
}

static inline void marked_alloc(struct heap *heap, struct marked *blocks, __u32 size,
				__u32 count, __u32 flags)
{
	__u64 refs[count];

	alloc_flags(heap, size, refs, count, flags);
	for (__u32 i = 0; i < count; i++) {
		blocks[i] = (struct marked){ .ref = refs[i], .size = size };
		if (!(flags & PYMALLOC_ALLOC_ZERO))
			marked_write(heap, &blocks[i]);
	}
}

static inline void marked_free(struct heap *heap, const struct marked *blocks, __u32 count)
{
	__u64 refs[count];

	for (__u32 i = 0; i < count; i++)
		refs[i] = blocks[i].ref;
	free_all(heap, refs, count);
}

static inline int compare_marked(const void *a, const void *b)
{
	const struct marked *first = a, *second = b;

	return first->ref < second->ref ? -1 : first->ref > second->ref;
}

static inline void marked_sort(struct marked *blocks, size_t count)
{
	qsort(blocks, count, sizeof(*blocks), compare_marked);
}

/* Does as much as can be done with the pools of each class. */
static inline struct pymalloc_compact heap_mesh(struct heap *heap)
{
	struct __test_metadata *_metadata = heap->test;
	struct pymalloc_compact arg = ARG(compact, .flags = PYMALLOC_COMPACT_MESH);

	ASSERT_EQ(0, call(heap->fd, PYMALLOC_IOC_COMPACT, &arg));
	return arg;
}

/*
 * Fill @pools whole pools with blocks of @size, and free all but @left in each of them:
 * those whose slots begin with the pool's number, so that pools that follow each other
 * have no slot in common, as long as there are enough slots. Returns how many are left;
 * they are sorted by ref.
 */
static inline __u32 leave_few(struct heap *heap, struct marked *blocks, __u32 size,
			      __u32 pools, __u32 left)
{
	__u32 in_pool = POOL / size, count = in_pool * pools, kept = 0, freed = 0;
	struct marked *all = calloc(count, 2 * sizeof(*all)), *others = all + count;

	for (__u32 i = 0; i < pools; i++)
		marked_alloc(heap, all + i * in_pool, size, in_pool, 0);
	marked_sort(all, count);
	for (__u32 i = 0; i < count; i++) {
		__u32 slot = (all[i].ref % POOL) / size, first = all[i].ref / POOL * left;

		if ((slot + in_pool - first % in_pool) % in_pool < left)
			blocks[kept++] = all[i];
		else
			others[freed++] = all[i];
	}
	for (__u32 i = 0; i < freed; i += in_pool)
		marked_free(heap, others + i, freed - i < in_pool ? freed - i : in_pool);
	free(all);
	return kept;
}

/* The physical page behind an address of the window; root may know it. */
static inline __u64 page_frame(struct heap *heap, __u64 ref)
{
	struct __test_metadata *_metadata = heap->test;
	int fd = open("/proc/self/pagemap", O_RDONLY);
	__u64 entry;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, touch(at(heap, ref), false));
	ASSERT_EQ(sizeof(entry), pread(fd, &entry, sizeof(entry),
				       user_ptr(at(heap, ref)) / POOL * sizeof(entry)));
	close(fd);
	ASSERT_TRUE(entry >> 63) TH_LOG("%#llx is not mapped", ref);
	return entry & ((1ULL << 55) - 1);
}

static inline int compare_numbers(const void *a, const void *b)
{
	const __u64 *first = a, *second = b;

	return *first < *second ? -1 : *first > *second;
}

/* How many different ones there are; sorts them. */
static inline size_t count_different(__u64 *numbers, size_t count)
{
	size_t different = 0;

	qsort(numbers, count, sizeof(*numbers), compare_numbers);
	for (size_t i = 0; i < count; i++)
		different += !i || numbers[i] != numbers[i - 1];
	return different;
}

#endif /* SELFTESTS_MESH_H */
