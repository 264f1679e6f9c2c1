// SPDX-License-Identifier: GPL-2.0
/* Objects of the library: every size, every alignment, every way to fail. */
#include <fcntl.h>
#include <stdlib.h>

#include "library.h"

FIXTURE(malloc) {
	struct pymalloc_heap *heap;
};

FIXTURE_VARIANT(malloc) {
	unsigned int alignment;
};

FIXTURE_VARIANT_ADD(malloc, by_8) {
	.alignment = 8,
};

FIXTURE_VARIANT_ADD(malloc, by_16) {
	.alignment = 16,
};

FIXTURE_SETUP(malloc)
{
	self->heap = heap_with("malloc", variant->alignment, 0);
	ASSERT_NE(NULL, self->heap);
}

/* Whatever a test did, it gave everything back. */
FIXTURE_TEARDOWN(malloc)
{
	EXPECT_EQ(0, left_in(self->heap));
	EXPECT_TRUE(sound(self->heap));
	pymalloc_heap_destroy(self->heap);
}

static const size_t sizes[] = {
	0, 1, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 100, 127, 128, 129, 200, 255,
	256, 257, 300, 384, 400, 511, 512, 513, 1000, 4095, 4096, 4097, 8192, 10000, 65536,
	100000, LARGEST
};

#define NR_SIZES (sizeof(sizes) / sizeof(*sizes))

/* Five objects of each size at once, so that an overlap shows. */
TEST_F(malloc, every_size)
{
	void *objects[5][PYMALLOC_BLOCK_MAX + 1];
	size_t size, i;

	for (i = 0; i < 5; i++) {
		for (size = 0; size <= PYMALLOC_BLOCK_MAX; size++) {
			void *object = pymalloc_malloc(self->heap, size);

			ASSERT_NE(NULL, object);
			ASSERT_TRUE(aligned_to(object, variant->alignment));
			ASSERT_LE(size, pymalloc_usable_size(self->heap, object));
			ASSERT_GE(size ? size + variant->alignment - 1 : variant->alignment,
				  pymalloc_usable_size(self->heap, object));
			fill(object, pymalloc_usable_size(self->heap, object), size + i);
			objects[i][size] = object;
		}
	}
	for (i = 0; i < 5; i++) {
		for (size = 0; size <= PYMALLOC_BLOCK_MAX; size++) {
			void *object = objects[i][size];

			ASSERT_TRUE(filled(object, pymalloc_usable_size(self->heap, object),
					   size + i));
			pymalloc_free(self->heap, object);
		}
	}
}

TEST_F(malloc, large_objects)
{
	void *objects[NR_SIZES];
	size_t i;

	for (i = 0; i < NR_SIZES; i++) {
		objects[i] = pymalloc_malloc(self->heap, sizes[i]);
		ASSERT_NE(NULL, objects[i]);
		ASSERT_LE(sizes[i], pymalloc_usable_size(self->heap, objects[i]));
		if (sizes[i] > PYMALLOC_BLOCK_MAX)
			EXPECT_TRUE(aligned_to(objects[i], PYMALLOC_POOL_SIZE));
		fill(objects[i], sizes[i], i);
	}
	for (i = 0; i < NR_SIZES; i++) {
		EXPECT_TRUE(filled(objects[i], sizes[i], i));
		pymalloc_free(self->heap, objects[i]);
	}
}

TEST_F(malloc, too_large)
{
	EXPECT_EQ(NULL, pymalloc_malloc(self->heap, PYMALLOC_SIZE_MAX + 1));
	EXPECT_EQ(ENOMEM, errno);
	errno = 0;
	EXPECT_EQ(NULL, pymalloc_malloc(self->heap, SIZE_MAX));
	EXPECT_EQ(ENOMEM, errno);
	errno = 0;
	EXPECT_EQ(NULL, pymalloc_calloc(self->heap, 1, SIZE_MAX - 3));
	EXPECT_EQ(ENOMEM, errno);
}

/* More than one fill and one flush of every class. */
TEST_F(malloc, many_of_each_class)
{
	static void *objects[3000];
	size_t size, i;

	for (size = 8; size <= PYMALLOC_BLOCK_MAX; size += 56) {
		for (i = 0; i < 3000; i++) {
			objects[i] = pymalloc_malloc(self->heap, size);
			ASSERT_NE(NULL, objects[i]);
			fill(objects[i], size, i);
		}
		for (i = 0; i < 3000; i++) {
			ASSERT_TRUE(filled(objects[i], size, i));
			pymalloc_free(self->heap, objects[i]);
		}
	}
}

TEST_F(malloc, calloc_clears_what_was_used)
{
	size_t i, round;

	for (round = 0; round < 3; round++) {
		for (i = 0; i < NR_SIZES; i++) {
			void *object = pymalloc_calloc(self->heap, 1, sizes[i]);

			ASSERT_NE(NULL, object);
			ASSERT_TRUE(all_zero(object, sizes[i]));
			memset(object, 0xff, sizes[i]);
			pymalloc_free(self->heap, object);
		}
	}
}

TEST_F(malloc, calloc_overflow)
{
	static const size_t factors[][2] = {
		{ SIZE_MAX, 2 },
		{ 2, SIZE_MAX },
		{ SIZE_MAX, SIZE_MAX },
		{ 1ULL << 32, 1ULL << 32 },
		{ SIZE_MAX / 3, 4 },
	};
	void *object;
	size_t i;

	for (i = 0; i < sizeof(factors) / sizeof(*factors); i++) {
		errno = 0;
		EXPECT_EQ(NULL, pymalloc_calloc(self->heap, factors[i][0], factors[i][1]));
		EXPECT_EQ(ENOMEM, errno);
	}
	object = pymalloc_calloc(self->heap, 0, SIZE_MAX);
	EXPECT_NE(NULL, object);
	pymalloc_free(self->heap, object);
}

/* From every size to every other. */
TEST_F(malloc, realloc)
{
	size_t from, to;

	for (from = 0; from < NR_SIZES; from++) {
		for (to = 1; to < NR_SIZES; to++) {
			size_t both = sizes[from] < sizes[to] ? sizes[from] : sizes[to];
			void *object = pymalloc_malloc(self->heap, sizes[from]);

			ASSERT_NE(NULL, object);
			fill(object, sizes[from], from);
			object = pymalloc_realloc(self->heap, object, sizes[to]);
			ASSERT_NE(NULL, object);
			ASSERT_TRUE(filled(object, both, from));
			ASSERT_LE(sizes[to], pymalloc_usable_size(self->heap, object));
			fill(object, sizes[to], to);
			pymalloc_free(self->heap, object);
		}
	}
}

TEST_F(malloc, realloc_stays_unless_it_saves_a_quarter)
{
	void *object = pymalloc_malloc(self->heap, 400);
	void *moved;

	ASSERT_NE(NULL, object);
	EXPECT_EQ(object, pymalloc_realloc(self->heap, object, 400));
	EXPECT_EQ(object, pymalloc_realloc(self->heap, object, 301));
	moved = pymalloc_realloc(self->heap, object, 300);
	EXPECT_NE(object, moved);
	pymalloc_free(self->heap, moved);
}

TEST_F(malloc, realloc_of_nothing_and_to_nothing)
{
	void *object = pymalloc_realloc(self->heap, NULL, 50);

	ASSERT_NE(NULL, object);
	EXPECT_EQ(NULL, pymalloc_realloc(self->heap, object, 0));
}

TEST_F(malloc, realloc_that_fails_leaves_the_object)
{
	static const size_t small_and_large[] = { 100, 5000 };
	void *object;
	size_t i;

	for (i = 0; i < 2; i++) {
		object = pymalloc_malloc(self->heap, small_and_large[i]);
		ASSERT_NE(NULL, object);
		fill(object, small_and_large[i], i);
		errno = 0;
		EXPECT_EQ(NULL, pymalloc_realloc(self->heap, object, PYMALLOC_SIZE_MAX + 1));
		EXPECT_EQ(ENOMEM, errno);
		EXPECT_TRUE(filled(object, small_and_large[i], i));
		pymalloc_free(self->heap, object);
	}
}

TEST_F(malloc, aligned_alloc)
{
	size_t alignment, i;

	for (alignment = 1; alignment <= PYMALLOC_POOL_SIZE; alignment *= 2) {
		for (i = 0; i < NR_SIZES; i++) {
			void *objects[3];
			size_t n;

			for (n = 0; n < 3; n++) {
				objects[n] = pymalloc_aligned_alloc(self->heap, alignment,
								    sizes[i]);
				ASSERT_NE(NULL, objects[n]);
				ASSERT_TRUE(aligned_to(objects[n], alignment));
				fill(objects[n], sizes[i], n);
			}
			for (n = 0; n < 3; n++) {
				ASSERT_TRUE(filled(objects[n], sizes[i], n));
				pymalloc_free(self->heap, objects[n]);
			}
		}
	}
}

TEST_F(malloc, bad_alignments)
{
	static const size_t bad[] = { 0, 3, 12, 24, 8192, SIZE_MAX };
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		errno = 0;
		EXPECT_EQ(NULL, pymalloc_aligned_alloc(self->heap, bad[i], 100));
		EXPECT_EQ(EINVAL, errno);
	}
	errno = 0;
	EXPECT_EQ(NULL, pymalloc_aligned_alloc(self->heap, 64, SIZE_MAX - 1));
	EXPECT_EQ(ENOMEM, errno);
}

TEST_F(malloc, free_keeps_errno)
{
	static void *objects[2000];
	size_t i;

	for (i = 0; i < 2000; i++)
		objects[i] = pymalloc_malloc(self->heap, i % 2 ? 80 : 2000);
	for (i = 0; i < 2000; i++) {
		errno = EDOM;
		pymalloc_free(self->heap, objects[i]);
		ASSERT_EQ(EDOM, errno);
	}
	pymalloc_free(self->heap, NULL);
	EXPECT_EQ(EDOM, errno);
	EXPECT_EQ(0, pymalloc_usable_size(self->heap, NULL));
}

/* The limit of a heap with 1 MiB of pages in four arenas. */
static __u64 limit_of_1_mib(struct __test_metadata *_metadata)
{
	struct pymalloc_info info = { .argsz = sizeof(info) };
	int device = open("/dev/pymalloc", O_RDWR | O_CLOEXEC);

	ASSERT_EQ(0, ioctl(device, PYMALLOC_IOC_INFO, &info));
	close(device);
	/* A region, four arenas, and 256 pages with what describes blocks of 16 bytes. */
	return info.heap_bytes_min + 1024 + 4096 + 4 * (2 * 4096 / 13) + 256 * (4096 + 73);
}

/* Any class can use the last bytes below the limit. */
TEST(limit)
{
	struct pymalloc_heap *heap = heap_with("limit", 8, limit_of_1_mib(_metadata));
	static void *objects[1 << 17];
	size_t size, count;

	ASSERT_NE(NULL, heap);
	for (size = 16; size <= PYMALLOC_BLOCK_MAX; size *= 2) {
		errno = 0;
		for (count = 0; count < 1 << 17; count++) {
			objects[count] = pymalloc_malloc(heap, size);
			if (!objects[count])
				break;
		}
		EXPECT_EQ(ENOMEM, errno);
		EXPECT_LE((1 << 20) / size, count);
		/* What describes larger blocks takes less: there may be one page more. */
		EXPECT_GE(((1 << 20) + 4096) / size, count);
		EXPECT_EQ(NULL, pymalloc_malloc(heap, 100000));
		EXPECT_TRUE(sound(heap));
		while (count)
			pymalloc_free(heap, objects[--count]);
	}
	EXPECT_EQ(0, left_in(heap));
	pymalloc_heap_destroy(heap);
}

TEST_HARNESS_MAIN
