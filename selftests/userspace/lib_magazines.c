// SPDX-License-Identifier: GPL-2.0
/*
 * How large magazines are: large enough that the library seldom calls the
 * kernel, and bounded.
 */
#include <pthread.h>
#include <stdlib.h>

#include "library.h"

/* The most bytes of blocks that a thread may hold, whatever it does. */
#define THREAD_MOST (5 << 20)

#define LOOP 1000
/*
 * After so many rounds, a loop must have what it needs; and so many more rounds
 * prove it.
 */
#define WARM_UP 150
#define WARM 10

FIXTURE(magazines) {
	struct pymalloc_heap *heap;
};

FIXTURE_VARIANT(magazines) {
	unsigned int alignment;
};

FIXTURE_VARIANT_ADD(magazines, by_8) {
	.alignment = 8,
};

FIXTURE_VARIANT_ADD(magazines, by_16) {
	.alignment = 16,
};

FIXTURE_SETUP(magazines)
{
	self->heap = heap_with("magazines", variant->alignment, 0);
	ASSERT_NE(NULL, self->heap);
}

FIXTURE_TEARDOWN(magazines)
{
	EXPECT_EQ(0, left_in(self->heap));
	EXPECT_TRUE(sound(self->heap));
	pymalloc_heap_destroy(self->heap);
}

/* How many calls to the kernel there were so far. */
static __u64 crossings(struct pymalloc_heap *heap)
{
	struct pymalloc_cache_stats stats;

	pymalloc_heap_cache_stats(heap, &stats);
	return stats.nr_fills + stats.nr_flushes;
}

/* The same, as the kernel counts objects. */
static __u64 served(struct pymalloc_heap *heap)
{
	struct pymalloc_stats stats;

	if (pymalloc_heap_stats(heap, &stats, NULL))
		return ~0ULL;
	return stats.nr_allocs + stats.nr_frees;
}

static bool within_bounds(struct pymalloc_heap *heap)
{
	struct pymalloc_cache_stats stats;

	pymalloc_heap_cache_stats(heap, &stats);
	return stats.bytes_max <= THREAD_MOST && stats.bytes <= stats.threads * stats.bytes_max;
}

static void *objects[100000];

static void loop(struct pymalloc_heap *heap, size_t size, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		objects[i] = pymalloc_malloc(heap, size);
	while (i)
		pymalloc_free(heap, objects[--i]);
}

static bool stays_off_the_kernel(struct pymalloc_heap *heap, size_t size, size_t count)
{
	__u64 before, before_served;
	size_t round;

	for (round = 0; round < WARM_UP; round++)
		loop(heap, size, count);
	before = crossings(heap);
	before_served = served(heap);
	for (round = 0; round < WARM; round++)
		loop(heap, size, count);
	return crossings(heap) == before && served(heap) == before_served;
}

/*
 * One class after another. Each takes slots that the earlier ones do not need
 * now.
 */
TEST_F(magazines, loop_of_1000)
{
	size_t size;

	for (size = PYMALLOC_BLOCK_MAX; size; size -= 8) {
		EXPECT_TRUE(stays_off_the_kernel(self->heap, size, LOOP)) {
			TH_LOG("%zu bytes", size);
		}
		EXPECT_TRUE(within_bounds(self->heap));
	}
}

/* As many objects as there are slots, about as many, and few. */
TEST_F(magazines, loops_of_any_length)
{
	static const size_t counts[] = {
		1, 2, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 100, 127, 128, 129,
		200, 255, 256, 257, 500, 511, 512, 513, 700, 900, 991, 992, 993, 999, 1000
	};
	size_t i;

	for (i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		EXPECT_TRUE(stays_off_the_kernel(self->heap, 64, counts[i])) {
			TH_LOG("%zu blocks", counts[i]);
		}
	}
}

/*
 * A program allocates and frees by turns, beginning with any number of objects.
 */
TEST_F(magazines, no_ping_pong)
{
	size_t count, i;
	__u64 before;

	for (count = 0; count < 10000; count++) {
		before = crossings(self->heap);
		for (i = 0; i < 20; i++)
			pymalloc_free(self->heap, pymalloc_malloc(self->heap, 64));
		objects[count] = pymalloc_malloc(self->heap, 64);
		ASSERT_GE(before + 1, crossings(self->heap));
	}
	while (count) {
		before = crossings(self->heap);
		pymalloc_free(self->heap, objects[--count]);
		for (i = 0; i < 20; i++)
			pymalloc_free(self->heap, pymalloc_malloc(self->heap, 64));
		ASSERT_GE(before + 1, crossings(self->heap));
	}
}

/*
 * The program only allocates, then only frees. After some batches, it makes few
 * calls.
 */
TEST_F(magazines, one_way)
{
	size_t i;
	__u64 before;

	for (i = 0; i < 100000; i++) {
		if (i == 20000)
			before = crossings(self->heap);
		objects[i] = pymalloc_malloc(self->heap, 64);
	}
	EXPECT_GE(before + 80000 / 800, crossings(self->heap));
	while (i) {
		if (i == 80000)
			before = crossings(self->heap);
		pymalloc_free(self->heap, objects[--i]);
	}
	EXPECT_GE(before + 80000 / 800, crossings(self->heap));
}

/*
 * Objects are replaced at random. The magazines of all classes become fuller
 * and emptier.
 */
TEST_F(magazines, all_classes_at_once)
{
	const size_t nr_objects = sizeof(objects) / sizeof(*objects);
	struct pymalloc_cache_stats stats;
	unsigned int seed = 1;
	size_t round, i;
	__u64 before;

	for (i = 0; i < nr_objects; i++)
		objects[i] = pymalloc_malloc(self->heap, 8 + rand_r(&seed) % 505);
	for (round = 0; round < 5; round++) {
		before = crossings(self->heap);
		for (i = 0; i < 20000; i++) {
			size_t n = rand_r(&seed) % nr_objects;

			pymalloc_free(self->heap, objects[n]);
			objects[n] = pymalloc_malloc(self->heap, 8 + rand_r(&seed) % 505);
			ASSERT_NE(NULL, objects[n]);
		}
		EXPECT_TRUE(within_bounds(self->heap));
		/*
		 * One call for 500 objects, as soon as the first batches do not
		 * count any more.
		 */
		EXPECT_TRUE(!round || crossings(self->heap) - before < 40) {
			TH_LOG("%llu", crossings(self->heap) - before);
		}
	}
	pymalloc_heap_cache_stats(self->heap, &stats);
	EXPECT_EQ(nr_objects + stats.blocks, blocks_of(self->heap));
	for (i = 0; i < nr_objects; i++)
		pymalloc_free(self->heap, objects[i]);
	EXPECT_TRUE(within_bounds(self->heap));
}

/* One thread only allocates, and the other one only frees. */
struct pipeline {
	struct pymalloc_heap *heap;
	pthread_barrier_t turn;
};

#define TURNS 20

static size_t size_at(size_t turn, size_t i)
{
	return 1 + (turn + i) % PYMALLOC_BLOCK_MAX;
}

static void *produce(void *argument)
{
	struct pipeline *pipeline = argument;
	size_t turn, i;

	for (turn = 0; turn < TURNS; turn++) {
		for (i = 0; i < LOOP * 10; i++)
			objects[i] = pymalloc_malloc(pipeline->heap, size_at(turn, i));
		pthread_barrier_wait(&pipeline->turn);
		pthread_barrier_wait(&pipeline->turn);
	}
	return NULL;
}

static void *consume(void *argument)
{
	struct pipeline *pipeline = argument;
	size_t turn, i;

	for (turn = 0; turn < TURNS; turn++) {
		pthread_barrier_wait(&pipeline->turn);
		for (i = 0; i < LOOP * 10; i++)
			pymalloc_free(pipeline->heap, objects[i]);
		if (!within_bounds(pipeline->heap))
			return "out of bounds";
		pthread_barrier_wait(&pipeline->turn);
	}
	return NULL;
}

TEST_F(magazines, producer_and_consumer)
{
	struct pipeline pipeline = { .heap = self->heap };
	pthread_t producer, consumer;
	void *result;

	ASSERT_EQ(0, pthread_barrier_init(&pipeline.turn, NULL, 2));
	ASSERT_EQ(0, pthread_create(&producer, NULL, produce, &pipeline));
	ASSERT_EQ(0, pthread_create(&consumer, NULL, consume, &pipeline));
	ASSERT_EQ(0, pthread_join(producer, &result));
	ASSERT_EQ(0, pthread_join(consumer, &result));
	EXPECT_EQ(NULL, result);
	/* In batches, not one by one. */
	EXPECT_GT(2 * TURNS * LOOP * 10 / 16, crossings(self->heap));
	EXPECT_EQ(0, blocks_of(self->heap));
}

TEST_HARNESS_MAIN
