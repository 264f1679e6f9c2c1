// SPDX-License-Identifier: GPL-2.0
/* Threads of the library: their magazines come and go with them. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "library.h"

#define BATCH 5000
#define SHORT_LIVED 2000

FIXTURE(threads) {
	struct pymalloc_heap *heap;
};

FIXTURE_SETUP(threads)
{
	self->heap = heap_with("threads", 16, 0);
	ASSERT_NE(NULL, self->heap);
}

FIXTURE_TEARDOWN(threads)
{
	EXPECT_EQ(0, left_in(self->heap));
	EXPECT_TRUE(sound(self->heap));
	pymalloc_heap_destroy(self->heap);
}

/*
 * Returns what the thread's function returned, or "failed" if there was no
 * thread.
 */
static void *in_thread(void *(*function)(void *), void *argument)
{
	pthread_t thread;
	void *result;

	if (pthread_create(&thread, NULL, function, argument) ||
	    pthread_join(thread, &result))
		return "failed";
	return result;
}

static void *use_all_classes(void *heap)
{
	void *objects[PYMALLOC_BLOCK_MAX];
	size_t size;

	for (size = 1; size <= PYMALLOC_BLOCK_MAX; size++)
		objects[size - 1] = pymalloc_malloc(heap, size);
	for (size = 1; size <= PYMALLOC_BLOCK_MAX; size++)
		pymalloc_free(heap, objects[size - 1]);
	return NULL;
}

TEST_F(threads, end_with_empty_magazines)
{
	struct pymalloc_cache_stats stats;

	EXPECT_EQ(NULL, in_thread(use_all_classes, self->heap));
	EXPECT_EQ(0, blocks_of(self->heap));
	pymalloc_heap_cache_stats(self->heap, &stats);
	EXPECT_EQ(0, stats.threads);
	EXPECT_LT(0, stats.nr_fills);
	EXPECT_LT(0, stats.nr_flushes);
}

TEST_F(threads, thousands_leave_nothing)
{
	size_t i;

	for (i = 0; i < SHORT_LIVED; i++)
		ASSERT_EQ(NULL, in_thread(use_all_classes, self->heap));
	EXPECT_EQ(0, blocks_of(self->heap));
}

struct batch {
	struct pymalloc_heap *heap;
	void *objects[BATCH];
	pthread_key_t key;
	pthread_barrier_t barrier;
	struct pymalloc_cache_stats stats;
};

static size_t size_of(size_t i)
{
	return 1 + i % 600;
}

static void *produce(void *argument)
{
	struct batch *batch = argument;
	size_t i;

	for (i = 0; i < BATCH; i++) {
		batch->objects[i] = pymalloc_malloc(batch->heap, size_of(i));
		if (!batch->objects[i])
			return "no memory";
		fill(batch->objects[i], size_of(i), i);
	}
	return NULL;
}

static void *consume(void *argument)
{
	struct batch *batch = argument;
	size_t i;

	for (i = 0; i < BATCH; i++) {
		if (!filled(batch->objects[i], size_of(i), i))
			return "overwritten";
		pymalloc_free(batch->heap, batch->objects[i]);
	}
	pymalloc_heap_cache_stats(batch->heap, &batch->stats);
	return NULL;
}

TEST_F(threads, free_what_others_allocated)
{
	static struct batch batch;
	size_t round;

	batch.heap = self->heap;
	for (round = 0; round < 20; round++) {
		ASSERT_EQ(NULL, in_thread(produce, &batch));
		ASSERT_EQ(NULL, in_thread(consume, &batch));
		EXPECT_GE(batch.stats.bytes_max, batch.stats.bytes);
		EXPECT_EQ(0, left_in(self->heap));
	}
}

/* A thread that only frees holds no more than its magazines have room for. */
TEST_F(threads, consumer_is_bounded)
{
	static struct batch batch;
	struct pymalloc_cache_stats stats;
	size_t round;

	batch.heap = self->heap;
	for (round = 0; round < 20; round++) {
		ASSERT_EQ(NULL, in_thread(produce, &batch));
		ASSERT_EQ(NULL, consume(&batch));
	}
	pymalloc_heap_cache_stats(self->heap, &stats);
	EXPECT_EQ(1, stats.threads);
	EXPECT_GE(stats.bytes_max, stats.bytes);
	EXPECT_EQ(stats.blocks, blocks_of(self->heap));
}

/* The kernel tells others how much the library holds, also in children. */
TEST_F(threads, are_told_to_the_kernel)
{
	struct pymalloc_cache_stats cache;
	struct pymalloc_stats stats;
	int status;
	pid_t child;

	pymalloc_free(self->heap, pymalloc_malloc(self->heap, 8));
	ASSERT_EQ(NULL, in_thread(use_all_classes, self->heap));
	pymalloc_heap_cache_stats(self->heap, &cache);
	ASSERT_EQ(0, pymalloc_heap_stats(self->heap, &stats, NULL));
	EXPECT_EQ(1, stats.cache_threads);
	EXPECT_EQ(cache.threads, stats.cache_threads);
	EXPECT_EQ(cache.bytes_max, stats.cache_bytes_max);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		ASSERT_EQ(NULL, in_thread(use_all_classes, self->heap));
		ASSERT_EQ(0, pymalloc_heap_stats(self->heap, &stats, NULL));
		_exit(stats.cache_threads);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(1, WEXITSTATUS(status));
}

static void *churn(void *argument)
{
	struct batch *batch = argument;
	unsigned int seed = (uintptr_t)&seed;
	size_t sizes[100] = { 0 };
	void *objects[100] = { 0 };
	size_t i;

	pthread_barrier_wait(&batch->barrier);
	for (i = 0; i < 20 * BATCH; i++) {
		size_t n = rand_r(&seed) % 100;

		if (objects[n] && !filled(objects[n], sizes[n], n))
			return "overwritten";
		pymalloc_free(batch->heap, objects[n]);
		sizes[n] = rand_r(&seed) % 520;
		objects[n] = pymalloc_malloc(batch->heap, sizes[n]);
		if (!objects[n])
			return "no memory";
		fill(objects[n], sizes[n], n);
	}
	for (i = 0; i < 100; i++)
		pymalloc_free(batch->heap, objects[i]);
	return NULL;
}

TEST_F(threads, side_by_side)
{
	static struct batch batch;
	pthread_t threads[4];
	void *result;
	size_t i;

	batch.heap = self->heap;
	ASSERT_EQ(0, pthread_barrier_init(&batch.barrier, NULL, 4));
	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, churn, &batch));
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0, pthread_join(threads[i], &result));
		EXPECT_EQ(NULL, result);
	}
	EXPECT_EQ(0, blocks_of(self->heap));
}

static struct batch leaving;

/* Runs in every round of destructors, also in the last one. */
static void free_one_more(void *objects)
{
	void **next = objects;

	pymalloc_free(leaving.heap, *next);
	pymalloc_free(leaving.heap, pymalloc_malloc(leaving.heap, 64));
	pthread_setspecific(leaving.key, next + 1);
}

static void *keep_until_the_end(void *argument)
{
	size_t i;

	for (i = 0; i < 32; i++)
		leaving.objects[i] = pymalloc_malloc(leaving.heap, 64);
	pthread_setspecific(leaving.key, leaving.objects);
	return argument;
}

static void *free_the_rest(void *argument)
{
	size_t i;

	/* As many rounds as there are: PTHREAD_DESTRUCTOR_ITERATIONS. */
	for (i = 4; i < 32; i++)
		pymalloc_free(leaving.heap, leaving.objects[i]);
	return argument;
}

TEST_F(threads, destructors_may_allocate_and_free)
{
	leaving.heap = self->heap;
	ASSERT_EQ(0, pthread_key_create(&leaving.key, free_one_more));
	ASSERT_EQ(NULL, in_thread(keep_until_the_end, NULL));
	EXPECT_EQ(28, blocks_of(self->heap));
	ASSERT_EQ(NULL, in_thread(free_the_rest, NULL));
	EXPECT_EQ(0, blocks_of(self->heap));
}

static void *allocate_and_wait(void *argument)
{
	struct batch *batch = argument;
	void *object = pymalloc_malloc(batch->heap, 100);

	pthread_barrier_wait(&batch->barrier);
	/* The heap is destroyed, and another one takes its place. */
	pthread_barrier_wait(&batch->barrier);
	if (!object)
		return "no memory";
	object = pymalloc_malloc(batch->heap, 100);
	if (!object || pymalloc_usable_size(batch->heap, object) != 112)
		return "not of the new heap";
	fill(object, 100, 1);
	pymalloc_free(batch->heap, object);
	return NULL;
}

TEST(heap_destroyed_while_a_thread_has_magazines)
{
	static struct batch batch;
	pthread_t thread;
	void *result;

	batch.heap = heap_with("first", 8, 0);
	ASSERT_NE(NULL, batch.heap);
	ASSERT_EQ(0, pthread_barrier_init(&batch.barrier, NULL, 2));
	ASSERT_EQ(0, pthread_create(&thread, NULL, allocate_and_wait, &batch));
	pthread_barrier_wait(&batch.barrier);
	pymalloc_heap_destroy(batch.heap);
	batch.heap = heap_with("second", 16, 0);
	ASSERT_NE(NULL, batch.heap);
	pthread_barrier_wait(&batch.barrier);
	ASSERT_EQ(0, pthread_join(thread, &result));
	EXPECT_EQ(NULL, result);
	EXPECT_EQ(0, blocks_of(batch.heap));
	EXPECT_TRUE(sound(batch.heap));
	pymalloc_heap_destroy(batch.heap);
}

TEST_HARNESS_MAIN
