// SPDX-License-Identifier: GPL-2.0
/*
 * The inline functions do what the library's functions do, on the same
 * magazines.
 */
#include <pthread.h>

#include "inline_user.h"
#include "library.h"

FIXTURE(inline) {
	struct pymalloc_heap *heap;
};

FIXTURE_VARIANT(inline) {
	const struct inline_user *user;
	unsigned int alignment;
};

FIXTURE_VARIANT_ADD(inline, in_c_by_8) {
	.user = &user_in_c,
	.alignment = 8,
};

FIXTURE_VARIANT_ADD(inline, in_c_by_16) {
	.user = &user_in_c,
	.alignment = 16,
};

FIXTURE_VARIANT_ADD(inline, in_cxx_by_8) {
	.user = &user_in_cxx,
	.alignment = 8,
};

FIXTURE_VARIANT_ADD(inline, in_cxx_by_16) {
	.user = &user_in_cxx,
	.alignment = 16,
};

FIXTURE_SETUP(inline)
{
	self->heap = heap_with("inline", variant->alignment, 0);
	ASSERT_NE(NULL, self->heap);
}

FIXTURE_TEARDOWN(inline)
{
	EXPECT_EQ(0, left_in(self->heap));
	EXPECT_TRUE(sound(self->heap));
	pymalloc_heap_destroy(self->heap);
}

#define LARGEST_HERE 600

static bool usable_as(struct pymalloc_heap *heap, const void *object, size_t size,
		      unsigned int alignment)
{
	size_t usable = pymalloc_usable_size(heap, object);
	size_t rounded = (size + !size + alignment - 1) & ~(size_t)(alignment - 1);

	return aligned_to(object, alignment) &&
	       (size > PYMALLOC_BLOCK_MAX ? usable >= size : usable == rounded);
}

TEST_F(inline, stats)
{
	__u64 before = variant->user->fills(self->heap);
	void *object = variant->user->malloc(self->heap, 64);

	EXPECT_EQ(before + 1, variant->user->fills(self->heap));
	variant->user->free(self->heap, object);
}

TEST_F(inline, every_size)
{
	void *objects[LARGEST_HERE + 1];
	size_t size, round;

	for (round = 0; round < 3; round++) {
		for (size = 0; size <= LARGEST_HERE; size++) {
			objects[size] = variant->user->malloc(self->heap, size);
			ASSERT_NE(NULL, objects[size]);
			ASSERT_TRUE(usable_as(self->heap, objects[size], size,
					      variant->alignment));
			fill(objects[size], size, size);
		}
		for (size = 0; size <= LARGEST_HERE; size++) {
			ASSERT_TRUE(filled(objects[size], size, size));
			variant->user->free(self->heap, objects[size]);
		}
	}
}

/* An object that one kind of function pushes, the other pops. */
TEST_F(inline, with_the_library)
{
	void *object = variant->user->malloc(self->heap, 64);

	ASSERT_NE(NULL, object);
	pymalloc_free(self->heap, object);
	EXPECT_EQ(object, variant->user->malloc(self->heap, 64));
	variant->user->free(self->heap, object);
	EXPECT_EQ(object, pymalloc_malloc(self->heap, 64));
	variant->user->free(self->heap, object);
	variant->user->free(self->heap, NULL);
}

TEST_F(inline, fills_and_flushes)
{
	static void *objects[5000];
	size_t i;

	for (i = 0; i < 5000; i++) {
		objects[i] = variant->user->malloc(self->heap, 24);
		ASSERT_NE(NULL, objects[i]);
		fill(objects[i], 24, i);
	}
	for (i = 0; i < 5000; i++) {
		ASSERT_TRUE(filled(objects[i], 24, i));
		variant->user->free(self->heap, objects[i]);
	}
}

struct work {
	struct pymalloc_heap *heap;
	const struct inline_user *user;
	void *object;
};

static void *in_another_thread(void *argument)
{
	struct work *work = argument;

	work->user->free(work->heap, work->object);
	work->object = work->user->malloc(work->heap, 100);
	return NULL;
}

/* Each thread has its own magazines. */
TEST_F(inline, threads)
{
	struct work work = { .heap = self->heap, .user = variant->user };
	void *next;
	pthread_t thread;

	work.object = variant->user->malloc(self->heap, 100);
	next = variant->user->malloc(self->heap, 100);
	variant->user->free(self->heap, next);
	ASSERT_EQ(0, pthread_create(&thread, NULL, in_another_thread, &work));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	ASSERT_NE(NULL, work.object);
	EXPECT_NE(next, work.object);
	EXPECT_EQ(next, variant->user->malloc(self->heap, 100));
	variant->user->free(self->heap, next);
	variant->user->free(self->heap, work.object);
}

static unsigned int bad;

static void count_bad(struct pymalloc_heap *heap, void *object, unsigned int status)
{
	(void)heap;
	(void)object;
	bad += status == PYMALLOC_REF_RANGE;
}

TEST_F(inline, bad_free)
{
	int local;

	pymalloc_set_bad_free(count_bad);
	variant->user->free(self->heap, &local);
	EXPECT_EQ(1, bad);
}

/* These heaps have no magazines, because others have taken all of them. */
TEST_F(inline, without_magazines)
{
	struct pymalloc_heap *heaps[20];
	void *object;
	size_t i;

	for (i = 0; i < 20; i++) {
		heaps[i] = heap_with("many", variant->alignment, 0);
		ASSERT_NE(NULL, heaps[i]);
	}
	for (i = 0; i < 20; i++) {
		object = variant->user->malloc(heaps[i], 512);
		ASSERT_NE(NULL, object);
		EXPECT_EQ(512, pymalloc_usable_size(heaps[i], object));
		variant->user->free(heaps[i], object);
		EXPECT_EQ(0, left_in(heaps[i]));
		pymalloc_heap_destroy(heaps[i]);
	}
}

TEST_HARNESS_MAIN
