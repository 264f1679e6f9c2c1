// SPDX-License-Identifier: GPL-2.0
/*
 * The figures of a heap: every one of them, for a heap whose contents are known
 * exactly.
 */
#include "service.h"

FIXTURE(stats)
{
	struct heap heap;
	struct pymalloc_class_stats classes[PYMALLOC_NR_CLASSES + 4];
	struct pymalloc_stats stats;
};

FIXTURE_SETUP(stats)
{
	self->heap = HEAP(.limit = 32 << 20);
}

FIXTURE_TEARDOWN(stats)
{
	heap_check(&self->heap);
	heap_close(&self->heap);
}

static int ask(FIXTURE_DATA(stats) *self, __u32 nr_classes, __u32 class_size)
{
	struct pymalloc_stats arg = ARG(stats, .classes = user_ptr(self->classes),
					.nr_classes = nr_classes, .class_size = class_size);
	int ret = call(self->heap.fd, PYMALLOC_IOC_STATS, &arg);

	self->stats = arg;
	return ret;
}

TEST_F(stats, of_a_new_heap)
{
	struct pymalloc_stats expected = ARG(stats, .limit = 32 << 20);
	struct pymalloc_stats seen = heap_stats(&self->heap);

	EXPECT_LT(0, seen.meta_bytes);
	expected.meta_bytes = seen.meta_bytes;
	expected.nr_classes = seen.nr_classes;
	EXPECT_EQ(0, memcmp(&expected, &seen, sizeof(seen)));
}

/*
 * Ten blocks of 512 bytes; three of 100, one of them freed; two runs, one of
 * them freed.
 */
TEST_F(stats, of_a_known_heap)
{
	struct heap *heap = &self->heap;
	const struct pymalloc_class_stats *c512 = &self->classes[63], *c104 = &self->classes[12];
	const struct pymalloc_stats *stats = &self->stats;
	__u64 refs[10];

	alloc(heap, 100, refs, 3);
	free_one(heap, refs[1]);
	alloc(heap, 512, refs, 10);
	alloc_one(heap, 3 * POOL);
	free_one(heap, alloc_one(heap, 2 * POOL));
	EXPECT_EQ(PYMALLOC_REF_RANGE, free_status(heap, 0));

	ASSERT_EQ(0, ask(self, PYMALLOC_NR_CLASSES, sizeof(self->classes[0])));
	EXPECT_EQ(PYMALLOC_NR_CLASSES, stats->nr_classes);
	EXPECT_EQ(1, stats->arenas);
	EXPECT_EQ(1, stats->run_arenas);
	EXPECT_EQ(2, stats->pools_used);
	EXPECT_EQ(1, stats->pools_full);
	EXPECT_EQ(0, stats->pools_empty);
	EXPECT_EQ(12, stats->blocks);
	EXPECT_EQ(10 * 512 + 2 * 104, stats->block_bytes);
	EXPECT_EQ(1, stats->runs);
	EXPECT_EQ(3, stats->run_pages);
	EXPECT_EQ(6 * POOL, stats->page_bytes);
	EXPECT_EQ(8 * POOL, stats->page_bytes_peak);
	EXPECT_EQ(15, stats->nr_allocs);
	EXPECT_EQ(2, stats->nr_frees);
	EXPECT_EQ(1, stats->nr_bad_refs);
	EXPECT_EQ(8, stats->nr_pages_in);
	EXPECT_EQ(2, stats->nr_pages_out);

	EXPECT_EQ(512, c512->size);
	EXPECT_EQ(1, c512->pools_used);
	EXPECT_EQ(1, c512->pools_full);
	EXPECT_EQ(10, c512->blocks);
	EXPECT_EQ(0, c512->blocks_free);
	EXPECT_EQ(6, c512->blocks_untouched);
	EXPECT_EQ(10, c512->nr_allocs);
	EXPECT_EQ(0, c512->nr_frees);
	EXPECT_EQ(104, c104->size);
	EXPECT_EQ(1, c104->pools_used);
	EXPECT_EQ(2, c104->blocks);
	EXPECT_EQ(1, c104->blocks_free);
	EXPECT_EQ(POOL / 104 - 3, c104->blocks_untouched);
	EXPECT_EQ(3, c104->nr_allocs);
	EXPECT_EQ(1, c104->nr_frees);
}

/*
 * What the library says about its threads is shown to everybody who asks, and
 * nothing more.
 */
TEST_F(stats, of_caches)
{
	struct pymalloc_caches caches = ARG(caches, .threads = 3, .bytes_max = 1 << 21);
	struct pymalloc_stats stats;

	ASSERT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_CACHES, &caches));
	stats = heap_stats(&self->heap);
	EXPECT_EQ(3, stats.cache_threads);
	EXPECT_EQ(1 << 21, stats.cache_bytes_max);
	EXPECT_EQ(0, stats.blocks);
	caches.threads = 0;
	ASSERT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_CACHES, &caches));
	EXPECT_EQ(0, heap_stats(&self->heap).cache_threads);
}

/* The totals are sums, whatever was done before. */
TEST_F(stats, sums)
{
	struct pymalloc_class_stats sum = {};
	static __u64 refs[5000];
	__u64 bytes = 0, seed = 3;

	for (size_t i = 0; i < ARRAY_SIZE(refs); i++)
		refs[i] = alloc_one(&self->heap, 1 + next_random(&seed) % 512);
	shuffle(refs, ARRAY_SIZE(refs), &seed);
	free_all(&self->heap, refs, 4000);
	ASSERT_EQ(0, ask(self, PYMALLOC_NR_CLASSES, sizeof(self->classes[0])));
	for (__u32 i = 0; i < self->stats.nr_classes; i++) {
		const struct pymalloc_class_stats *class = &self->classes[i];

		ASSERT_EQ(8 * (i + 1), class->size);
		ASSERT_EQ(0, class->reserved);
		ASSERT_EQ(class->blocks, class->nr_allocs - class->nr_frees);
		sum.blocks += class->blocks;
		sum.pools_used += class->pools_used;
		sum.pools_full += class->pools_full;
		sum.nr_allocs += class->nr_allocs;
		sum.nr_frees += class->nr_frees;
		bytes += class->blocks * class->size;
	}
	EXPECT_EQ(1000, sum.blocks);
	EXPECT_EQ(sum.blocks, self->stats.blocks);
	EXPECT_EQ(bytes, self->stats.block_bytes);
	EXPECT_EQ(sum.pools_used, self->stats.pools_used);
	EXPECT_EQ(sum.pools_full, self->stats.pools_full);
	EXPECT_EQ(sum.nr_allocs, self->stats.nr_allocs);
	EXPECT_EQ(sum.nr_frees, self->stats.nr_frees);
	EXPECT_EQ((sum.pools_used + sum.pools_full + self->stats.pools_empty) * POOL,
		  self->stats.page_bytes);
	EXPECT_EQ(self->stats.page_bytes,
		  (self->stats.nr_pages_in - self->stats.nr_pages_out) * POOL);
}

/* Metadata is at most 3 % of the pages that it describes. */
TEST_F(stats, metadata_is_small)
{
	static __u64 refs[PYMALLOC_BATCH_MAX];
	struct pymalloc_stats before = heap_stats(&self->heap), after;

	alloc(&self->heap, 256, refs, PYMALLOC_BATCH_MAX);
	after = heap_stats(&self->heap);
	EXPECT_EQ(16 << 20, after.page_bytes);
	EXPECT_GE(after.page_bytes * 3 / 100, after.meta_bytes - before.meta_bytes)
		TH_LOG("%llu bytes of metadata", after.meta_bytes);
	free_all(&self->heap, refs, PYMALLOC_BATCH_MAX);
	heap_trim(&self->heap);
	EXPECT_EQ(0, heap_stats(&self->heap).page_bytes);
	EXPECT_EQ(16 << 20, heap_stats(&self->heap).page_bytes_peak);
}

TEST_F(stats, classes_of_16)
{
	heap_close(&self->heap);
	self->heap = HEAP(.alignment = 16);
	ASSERT_EQ(0, ask(self, PYMALLOC_NR_CLASSES, sizeof(self->classes[0])));
	ASSERT_EQ(PYMALLOC_NR_CLASSES / 2, self->stats.nr_classes);
	for (__u32 i = 0; i < self->stats.nr_classes; i++) {
		EXPECT_EQ(16 * (i + 1), self->classes[i].size);
	}
}

/* With room for fewer classes, for none, and for more than there are. */
TEST_F(stats, room_for_classes)
{
	const __u32 size = sizeof(self->classes[0]);

	for (__u32 room = 0; room <= PYMALLOC_NR_CLASSES + 4; room++) {
		__u32 written = room < PYMALLOC_NR_CLASSES ? room : PYMALLOC_NR_CLASSES;

		memset(self->classes, 0xee, sizeof(self->classes));
		ASSERT_EQ(0, ask(self, room, size));
		ASSERT_EQ(written, self->stats.nr_classes);
		if (written) {
			ASSERT_EQ(8 * written, self->classes[written - 1].size);
		}
		ASSERT_TRUE(is_filled(&self->classes[written], 0xee,
				      (PYMALLOC_NR_CLASSES + 4 - written) * size));
	}
}

TEST_F(stats, class_sizes)
{
	for (__u32 size = sizeof(self->classes[0]); size <= 128; size += 8) {
		const char *entries = (const char *)self->classes;

		memset(self->classes, 0xee, sizeof(self->classes));
		ASSERT_EQ(0, ask(self, 4, size)) TH_LOG("size %u", size);
		ASSERT_EQ(4, self->stats.nr_classes);
		for (__u32 i = 0; i < 4; i++) {
			ASSERT_EQ(8 * (i + 1), *(const __u32 *)(entries + i * size));
		}
		ASSERT_TRUE(is_filled(entries + 4 * size, 0xee, 64));
		ASSERT_TRUE(is_filled(entries + 64, 0, size - 64));
	}
	EXPECT_EQ(-EINVAL, ask(self, 4, 0));
	EXPECT_EQ(-EINVAL, ask(self, 4, sizeof(self->classes[0]) - 1));
	EXPECT_EQ(-EINVAL, ask(self, 4, ~0U));
}

TEST_F(stats, classes_not_writable)
{
	const __u32 size = sizeof(self->classes[0]);

	for (__u32 fit = 0; fit < PYMALLOC_NR_CLASSES; fit += 9) {
		struct pymalloc_stats arg = ARG(stats, .nr_classes = PYMALLOC_NR_CLASSES,
						.class_size = size);

		arg.classes = user_ptr(edge_buffer(_metadata, fit * size, PROT_READ));
		EXPECT_EQ(-EFAULT, call(self->heap.fd, PYMALLOC_IOC_STATS, &arg));
	}
}

TEST_HARNESS_MAIN
