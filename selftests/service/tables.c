// SPDX-License-Identifier: GPL-2.0
/*
 * Every size class, and batches of many lengths, freed in many orders. The refs
 * are distinct and aligned, a pool holds as many blocks as it has room for, no
 * two blocks overlap, and the heap adds up after every step.
 */
#include "service.h"

static const __u32 batches[] = { 1, 2, 63, 64, 65, 511, 1000 };
#define MAX_BATCH 1000

FIXTURE(tables)
{
	struct heap heap;
	__u32 alignment;
	__u64 refs[MAX_BATCH];
	__u64 sorted[MAX_BATCH];
	__u64 seed;
};

FIXTURE_VARIANT(tables)
{
	__u32 alignment;
	void (*order)(FIXTURE_DATA(tables) *self, __u32 count);
};

static void last_in_first_out(FIXTURE_DATA(tables) *self, __u32 count)
{
	for (__u32 i = 0; i < count / 2; i++) {
		__u64 ref = self->refs[i];

		self->refs[i] = self->refs[count - 1 - i];
		self->refs[count - 1 - i] = ref;
	}
}

static void first_in_first_out(FIXTURE_DATA(tables) *self, __u32 count)
{
	(void)self;
	(void)count;
}

static void shuffled(FIXTURE_DATA(tables) *self, __u32 count)
{
	shuffle(self->refs, count, &self->seed);
}

FIXTURE_VARIANT_ADD(tables, lifo_8) { 8, last_in_first_out };
FIXTURE_VARIANT_ADD(tables, fifo_8) { 8, first_in_first_out };
FIXTURE_VARIANT_ADD(tables, shuffled_8) { 8, shuffled };
FIXTURE_VARIANT_ADD(tables, lifo_16) { 16, last_in_first_out };
FIXTURE_VARIANT_ADD(tables, fifo_16) { 16, first_in_first_out };
FIXTURE_VARIANT_ADD(tables, shuffled_16) { 16, shuffled };

FIXTURE_SETUP(tables)
{
	self->heap = HEAP(.alignment = variant->alignment);
	self->alignment = variant->alignment;
	self->seed = 1989;
}

FIXTURE_TEARDOWN(tables)
{
	heap_close(&self->heap);
}

/* Write bytes that tell this block, and each of its words, from all others. */
static void stamp(struct heap *heap, __u64 ref, __u64 size)
{
	for (__u64 i = 0; i < size; i += 8)
		*(__u64 *)at(heap, ref + i) = (ref + i) * 0x9e3779b97f4a7c15ULL;
}

static bool stamped(struct heap *heap, __u64 ref, __u64 size)
{
	for (__u64 i = 0; i < size; i += 8) {
		if (*(__u64 *)at(heap, ref + i) != (ref + i) * 0x9e3779b97f4a7c15ULL)
			return false;
	}
	return true;
}

/* Blocks do not overlap, lie in the right places, and fill the pools. */
static void look_at_refs(struct __test_metadata *_metadata, FIXTURE_DATA(tables) *self,
			 __u64 size, __u32 count)
{
	__u32 capacity = POOL / size, pools = 0;
	__u64 *sorted = self->sorted;

	memcpy(sorted, self->refs, count * sizeof(*sorted));
	sort_refs(sorted, count);
	for (__u32 i = 0; i < count; i++) {
		ASSERT_EQ(0, sorted[i] % POOL % size);
		ASSERT_GE(POOL, sorted[i] % POOL + size);
		ASSERT_EQ(size / 8, pool_map(&self->heap, sorted[i]));
		if (i) {
			ASSERT_LE(sorted[i - 1] + size, sorted[i]);
		}
		pools += !i || sorted[i - 1] / POOL != sorted[i] / POOL;
	}
	ASSERT_EQ((count + capacity - 1) / capacity, pools);
}

static void look_at_class(struct __test_metadata *_metadata, FIXTURE_DATA(tables) *self,
			  __u64 size, __u32 live)
{
	struct pymalloc_class_stats classes[PYMALLOC_NR_CLASSES];
	struct pymalloc_stats stats = ARG(stats, .classes = user_ptr(classes),
					  .nr_classes = PYMALLOC_NR_CLASSES,
					  .class_size = sizeof(classes[0]));
	struct pymalloc_class_stats *class = &classes[size / self->alignment - 1];

	ASSERT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_STATS, &stats));
	ASSERT_EQ(PYMALLOC_BLOCK_MAX / self->alignment, stats.nr_classes);
	ASSERT_EQ(live, stats.blocks);
	ASSERT_EQ(live * size, stats.block_bytes);
	ASSERT_EQ(size, class->size);
	ASSERT_EQ(live, class->blocks);
	ASSERT_EQ((class->pools_used + class->pools_full) * (POOL / size),
		  class->blocks + class->blocks_free + class->blocks_untouched);
	heap_check(&self->heap);
}

static void one_class(struct __test_metadata *_metadata, FIXTURE_DATA(tables) *self,
		      const FIXTURE_VARIANT(tables) *variant, __u64 size, __u32 count)
{
	__u64 *refs = self->refs;

	alloc(&self->heap, size, refs, count);
	look_at_refs(_metadata, self, size, count);
	for (__u32 i = 0; i < count; i++)
		stamp(&self->heap, refs[i], size);
	for (__u32 i = 0; i < count; i++) {
		ASSERT_TRUE(stamped(&self->heap, refs[i], size));
	}
	look_at_class(_metadata, self, size, count);

	/*
	 * Half of them are freed and allocated again. The other half keeps its
	 * bytes.
	 */
	variant->order(self, count);
	if (count > 1)
		free_all(&self->heap, refs, count / 2);
	look_at_class(_metadata, self, size, count - count / 2);
	if (count > 1)
		alloc(&self->heap, size, refs, count / 2);
	for (__u32 i = count / 2; i < count; i++) {
		ASSERT_TRUE(stamped(&self->heap, refs[i], size));
	}
	look_at_class(_metadata, self, size, count);
	free_all(&self->heap, refs, count);
	look_at_class(_metadata, self, size, 0);
}

TEST_F(tables, every_class_and_batch)
{
	for (__u64 size = self->alignment; size <= PYMALLOC_BLOCK_MAX; size += self->alignment) {
		for (size_t i = 0; i < ARRAY_SIZE(batches); i++)
			one_class(_metadata, self, variant, size, batches[i]);
	}
	heap_trim(&self->heap);
	EXPECT_EQ(0, heap_stats(&self->heap).page_bytes);
	EXPECT_EQ(0, heap_stats(&self->heap).arenas);
}

/* All sizes that a class serves come from this class. */
TEST(every_size)
{
	for (__u32 alignment = 8; alignment <= 16; alignment *= 2) {
		struct heap heap = HEAP(.alignment = alignment);

		for (__u64 size = 1; size <= PYMALLOC_BLOCK_MAX; size++) {
			__u64 ref = alloc_one(&heap, size);

			ASSERT_EQ(0, ref % alignment);
			ASSERT_EQ(round_up(size, alignment), usable(&heap, ref));
		}
		heap_check(&heap);
		heap_close(&heap);
	}
}

/*
 * The whole page consists of blocks: eight of 512 bytes, where CPython gets
 * seven.
 */
TEST_F(service, eight_of_512_a_pool)
{
	__u64 refs[64];

	alloc(&self->heap, 512, refs, ARRAY_SIZE(refs));
	EXPECT_EQ(8, heap_stats(&self->heap).pools_full);
	EXPECT_EQ(0, heap_stats(&self->heap).pools_used);
	EXPECT_EQ(8 * POOL, heap_stats(&self->heap).page_bytes);
	EXPECT_EQ(64 * 512, heap_stats(&self->heap).block_bytes);
}

TEST_HARNESS_MAIN
