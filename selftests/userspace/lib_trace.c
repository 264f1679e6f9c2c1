// SPDX-License-Identifier: GPL-2.0
/*
 * Traces of the library's heaps: blocks are attributed to the functions that
 * allocated them, exactly or by samples.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pymalloc-inline.h>

#include "library.h"
#include "sites.h"

/* More than the code of one of the functions below, which lie apart. */
#define CODE 256

/* noipa: else functions that do the same would be one. */
#define KEEPER __attribute__((noipa, aligned(CODE)))

static void *kept[1100000];
static size_t nr_kept;

/* Each has a call of its own, and does something after it: else the call would be a jump. */
KEEPER static bool keep_red(struct pymalloc_heap *heap, size_t size)
{
	kept[nr_kept] = pymalloc_malloc(heap, size);
	return kept[nr_kept++];
}

KEEPER static bool keep_green(struct pymalloc_heap *heap, size_t size)
{
	kept[nr_kept] = pymalloc_malloc(heap, size);
	return kept[nr_kept++];
}

/* Of a constant size, and without a call as long as there is no trace. */
KEEPER static bool keep_inline(struct pymalloc_heap *heap)
{
	kept[nr_kept] = pymalloc_inline_malloc(heap, 48);
	return kept[nr_kept++];
}

KEEPER static bool keep_calloc(struct pymalloc_heap *heap, size_t size)
{
	kept[nr_kept] = pymalloc_calloc(heap, 1, size);
	return kept[nr_kept++];
}

KEEPER static bool keep_run(struct pymalloc_heap *heap, size_t size)
{
	kept[nr_kept] = pymalloc_malloc(heap, size);
	return kept[nr_kept++];
}

KEEPER static void many_red(struct pymalloc_heap *heap, size_t size, size_t count)
{
	while (count--)
		keep_red(heap, size);
}

KEEPER static void many_green(struct pymalloc_heap *heap, size_t size, size_t count)
{
	while (count--)
		keep_green(heap, size);
}

static bool trace(struct pymalloc_heap *heap, __u32 mode, __u64 interval)
{
	struct pymalloc_trace arg = {
		.argsz = sizeof(arg),
		.flags = PYMALLOC_TRACE_SET,
		.mode = mode,
		.native_frames = 4,
		.interval = interval,
	};

	return !ioctl(pymalloc_heap_fd(heap), PYMALLOC_IOC_TRACE, &arg);
}

static bool has_begun(struct pymalloc_heap *heap)
{
	struct pymalloc_trace arg = { .argsz = sizeof(arg) };

	return !ioctl(pymalloc_heap_fd(heap), PYMALLOC_IOC_TRACE, &arg) &&
	       arg.generation && arg.begun == arg.generation;
}

static __u64 meta_of(struct pymalloc_heap *heap)
{
	struct pymalloc_stats stats;

	return pymalloc_heap_stats(heap, &stats, NULL) ? 0 : stats.meta_bytes;
}

/* The next crossing of this thread. */
static void cross(struct pymalloc_heap *heap)
{
	void *objects[2000];

	for (size_t i = 0; i < 2000; i++)
		objects[i] = pymalloc_malloc(heap, 8);
	for (size_t i = 0; i < 2000; i++)
		pymalloc_free(heap, objects[i]);
}

static void free_kept(struct pymalloc_heap *heap)
{
	while (nr_kept)
		pymalloc_free(heap, kept[--nr_kept]);
}

FIXTURE(trace) {
	struct pymalloc_heap *heap;
	struct sites sites;
};

FIXTURE_VARIANT(trace) {
	unsigned int alignment;
};

FIXTURE_VARIANT_ADD(trace, by_8) {
	.alignment = 8,
};

FIXTURE_VARIANT_ADD(trace, by_16) {
	.alignment = 16,
};

FIXTURE_SETUP(trace)
{
	self->heap = heap_with("trace", variant->alignment, 0);
	ASSERT_NE(NULL, self->heap);
}

FIXTURE_TEARDOWN(trace)
{
	sites_drop(&self->sites);
	free_kept(self->heap);
	EXPECT_EQ(0, left_in(self->heap));
	EXPECT_TRUE(sound(self->heap));
	pymalloc_heap_destroy(self->heap);
}

#define TAKE() ASSERT_TRUE(sites_take(pymalloc_heap_fd(self->heap), &self->sites))
#define BELOW(function) count_below(&self->sites, function, CODE)

TEST_F(trace, exact_from_the_start)
{
	ASSERT_TRUE(trace(self->heap, PYMALLOC_TRACE_EXACT, 0));
	many_red(self->heap, 64, 1000);
	many_green(self->heap, 512, 77);
	for (int i = 0; i < 300; i++)
		ASSERT_TRUE(keep_inline(self->heap));
	for (int i = 0; i < 20; i++)
		ASSERT_TRUE(keep_calloc(self->heap, 100));
	ASSERT_TRUE(keep_run(self->heap, 100000));
	ASSERT_TRUE(has_begun(self->heap));
	TAKE();
	EXPECT_EQ(1000, BELOW(keep_red).blocks);
	EXPECT_EQ(64000, BELOW(keep_red).bytes);
	EXPECT_EQ(77, BELOW(keep_green).blocks);
	EXPECT_EQ(300, BELOW(keep_inline).blocks);
	EXPECT_EQ(20, BELOW(keep_calloc).blocks);
	EXPECT_EQ(1, BELOW(keep_run).blocks);
	EXPECT_EQ(102400, BELOW(keep_run).bytes);
	/* Callers are known as well. */
	EXPECT_EQ(1000, BELOW(many_red).blocks);
	EXPECT_EQ(0, count_without_site(&self->sites, PYMALLOC_SITE_BEFORE));
	EXPECT_EQ(0, count_without_site(&self->sites, PYMALLOC_SITE_UNKNOWN));
}

TEST_F(trace, exact_in_the_middle)
{
	many_red(self->heap, 64, 1000);
	many_red(self->heap, 200, 10);
	ASSERT_TRUE(trace(self->heap, PYMALLOC_TRACE_EXACT, 0));
	cross(self->heap);
	ASSERT_TRUE(has_begun(self->heap));
	many_green(self->heap, 64, 500);
	TAKE();
	EXPECT_EQ(1010, count_without_site(&self->sites, PYMALLOC_SITE_BEFORE));
	EXPECT_EQ(500, BELOW(keep_green).blocks);
	EXPECT_EQ(0, BELOW(keep_red).blocks);
}

TEST_F(trace, what_is_freed_is_not_there)
{
	ASSERT_TRUE(trace(self->heap, PYMALLOC_TRACE_EXACT, 0));
	many_red(self->heap, 64, 5000);
	for (int i = 0; i < 4000; i++)
		pymalloc_free(self->heap, kept[--nr_kept]);
	many_green(self->heap, 64, 100);
	TAKE();
	EXPECT_EQ(1000, BELOW(keep_red).blocks);
	EXPECT_EQ(100, BELOW(keep_green).blocks);
	EXPECT_EQ(0, count_without_site(&self->sites, PYMALLOC_SITE_BEFORE));
}

/* What has been allocated so far is counted with the site: blocks that die at once, too. */
TEST_F(trace, sites_count_what_was_allocated)
{
	__u64 count = 0;

	ASSERT_TRUE(trace(self->heap, PYMALLOC_TRACE_EXACT, 0));
	for (int i = 0; i < 3000; i++) {
		ASSERT_TRUE(keep_red(self->heap, 64));
		pymalloc_free(self->heap, kept[--nr_kept]);
	}
	ASSERT_TRUE(keep_red(self->heap, 64));
	TAKE();
	for (__u64 at = 0; at < self->sites.used;) {
		const struct pymalloc_record *record = (const void *)(self->sites.table + at);
		const struct pymalloc_site_record *site = site_at(&self->sites, at / 8);

		if (site && stack_has(stack_of(&self->sites, site), keep_red, CODE))
			count += site->count;
		ASSERT_LT(0, record->bytes);
		at += record->bytes;
	}
	EXPECT_EQ(3001, count);
	EXPECT_EQ(1, BELOW(keep_red).blocks);
}

TEST_F(trace, growth_names_who_fetches)
{
	ASSERT_TRUE(trace(self->heap, PYMALLOC_TRACE_GROWTH, 0));
	many_red(self->heap, 64, 10000);
	TAKE();
	/* What lies in a magazine is counted as well. */
	EXPECT_LE(10000, BELOW(keep_red).blocks);
	EXPECT_GE(11100, BELOW(keep_red).blocks);
}

TEST_F(trace, samples_stand_for_all)
{
	struct counted red, green;

	ASSERT_TRUE(trace(self->heap, PYMALLOC_TRACE_SAMPLED, 4096));
	cross(self->heap);
	for (int i = 0; i < 500; i++) {
		many_red(self->heap, 64, 1000);
		many_green(self->heap, 16, 1000);
	}
	TAKE();
	red = BELOW(keep_red);
	green = BELOW(keep_green);
	/* About 7800 and 1950 samples: 5 % are 4.4 and 2.2 times the standard deviation. */
	EXPECT_LT(475000, red.estimate);
	EXPECT_GT(525000, red.estimate);
	EXPECT_LT(450000, green.estimate);
	EXPECT_GT(550000, green.estimate);
	EXPECT_GT(10000, red.blocks);
}

/* A sampled block is an object like any other. */
TEST_F(trace, sampled_blocks_can_be_used)
{
	ASSERT_TRUE(trace(self->heap, PYMALLOC_TRACE_SAMPLED, PYMALLOC_INTERVAL_MIN));
	cross(self->heap);
	for (int i = 0; i < 3000; i++) {
		ASSERT_TRUE(keep_red(self->heap, 100));
		ASSERT_LE(100, pymalloc_usable_size(self->heap, kept[i]));
		ASSERT_GE(112, pymalloc_usable_size(self->heap, kept[i]));
		fill(kept[i], 100, i);
	}
	TAKE();
	EXPECT_LT(20, BELOW(keep_red).blocks);
	for (int i = 0; i < 3000; i++) {
		kept[i] = pymalloc_realloc(self->heap, kept[i], i % 2 ? 200 : 20);
		ASSERT_NE(NULL, kept[i]);
		ASSERT_TRUE(filled(kept[i], i % 2 ? 100 : 20, i));
	}
}

static unsigned int nr_bad;

static void count_bad(struct pymalloc_heap *heap, void *object, unsigned int status)
{
	(void)heap;
	(void)object;
	/* Its pool may have gone. */
	nr_bad += status == PYMALLOC_REF_FREE || status == PYMALLOC_REF_FOREIGN;
}

TEST_F(trace, double_frees_are_found)
{
	static const __u32 modes[] = { PYMALLOC_TRACE_EXACT, PYMALLOC_TRACE_SAMPLED };

	pymalloc_set_bad_free(count_bad);
	for (size_t i = 0; i < 2; i++) {
		nr_bad = 0;
		ASSERT_TRUE(trace(self->heap, modes[i], PYMALLOC_INTERVAL_MIN));
		cross(self->heap);
		many_red(self->heap, 64, 500);
		for (size_t j = 0; j < 500; j++)
			pymalloc_free(self->heap, kept[j]);
		for (size_t j = 0; j < 500; j++)
			pymalloc_free(self->heap, kept[j]);
		nr_kept = 0;
		pymalloc_heap_flush(self->heap);
		EXPECT_EQ(500, nr_bad);
	}
	pymalloc_set_bad_free(NULL);
}

TEST_F(trace, off_gives_the_pages_back)
{
	__u64 before;

	/* The struct for sites stays with the heap. */
	ASSERT_TRUE(trace(self->heap, PYMALLOC_TRACE_OFF, 0));
	many_red(self->heap, 64, 1000);
	cross(self->heap);
	before = meta_of(self->heap);
	ASSERT_TRUE(trace(self->heap, PYMALLOC_TRACE_EXACT, 0));
	cross(self->heap);
	ASSERT_LT(before + 4096, meta_of(self->heap));
	ASSERT_TRUE(trace(self->heap, PYMALLOC_TRACE_OFF, 0));
	cross(self->heap);
	ASSERT_TRUE(has_begun(self->heap));
	/* There may be another pool. */
	EXPECT_GT(before + 1000, meta_of(self->heap));
	many_green(self->heap, 64, 10);
	pymalloc_heap_flush(self->heap);
	TAKE();
	EXPECT_EQ(1010, count_without_site(&self->sites, PYMALLOC_SITE_BEFORE));
}

TEST_F(trace, again_and_again)
{
	for (__u32 i = 0; i < 40; i++) {
		ASSERT_TRUE(trace(self->heap, i % 4, PYMALLOC_INTERVAL_MIN));
		many_red(self->heap, 64, 200);
		cross(self->heap);
		if (i % 8 == 7)
			free_kept(self->heap);
	}
	ASSERT_TRUE(trace(self->heap, PYMALLOC_TRACE_EXACT, 0));
	cross(self->heap);
	free_kept(self->heap);
	many_green(self->heap, 64, 300);
	TAKE();
	EXPECT_EQ(300, BELOW(keep_green).blocks);
}

struct worker {
	pthread_t thread;
	struct pymalloc_heap *heap;
	pid_t tid;
	void *objects[2000];
	pthread_barrier_t *barrier;
};

KEEPER static void work(struct worker *worker)
{
	for (size_t i = 0; i < 2000; i++)
		worker->objects[i] = pymalloc_malloc(worker->heap, 80);
}

static void *worker_main(void *data)
{
	struct worker *worker = data;

	worker->tid = gettid();
	work(worker);
	pthread_barrier_wait(worker->barrier);
	pthread_barrier_wait(worker->barrier);
	for (size_t i = 0; i < 2000; i++)
		pymalloc_free(worker->heap, worker->objects[i]);
	return NULL;
}

static size_t count_of_thread(const struct sites *sites, pid_t tid)
{
	size_t count = 0;

	for (size_t i = 0; i < sites->count; i++) {
		const struct pymalloc_site_record *site = site_at(sites, sites->blocks[i].site);

		count += site && !sites->blocks[i].flags &&
			 thread_of(sites, site)->tid == (__u32)tid;
	}
	return count;
}

TEST_F(trace, threads_are_told_apart)
{
	static struct worker workers[4];
	pthread_barrier_t barrier;

	pthread_barrier_init(&barrier, NULL, 5);
	ASSERT_TRUE(trace(self->heap, PYMALLOC_TRACE_EXACT, 0));
	for (int i = 0; i < 4; i++) {
		workers[i].heap = self->heap;
		workers[i].barrier = &barrier;
		ASSERT_EQ(0, pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]));
	}
	pthread_barrier_wait(&barrier);
	TAKE();
	EXPECT_EQ(8000, BELOW(work).blocks);
	for (int i = 0; i < 4; i++)
		EXPECT_EQ(2000, count_of_thread(&self->sites, workers[i].tid));
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < 4; i++)
		pthread_join(workers[i].thread, NULL);
	pthread_barrier_destroy(&barrier);
}

/* The mode changes while threads work: nothing is lost, torn or doubled. */
TEST_F(trace, modes_change_under_threads)
{
	static struct worker workers[3];
	pthread_barrier_t barrier;

	pthread_barrier_init(&barrier, NULL, 4);
	for (int i = 0; i < 3; i++) {
		workers[i].heap = self->heap;
		workers[i].barrier = &barrier;
		ASSERT_EQ(0, pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]));
	}
	for (__u32 i = 0; i < 60; i++) {
		ASSERT_TRUE(trace(self->heap, i % 4, PYMALLOC_INTERVAL_MIN));
		cross(self->heap);
	}
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < 3; i++)
		pthread_join(workers[i].thread, NULL);
	pthread_barrier_destroy(&barrier);
}

TEST_F(trace, a_child_has_a_trace_of_its_own)
{
	pid_t child;
	int status;

	ASSERT_TRUE(trace(self->heap, PYMALLOC_TRACE_EXACT, 0));
	many_red(self->heap, 64, 100);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		many_green(self->heap, 64, 50);
		TAKE();
		EXPECT_EQ(100, count_without_site(&self->sites, PYMALLOC_SITE_BEFORE));
		EXPECT_EQ(50, BELOW(keep_green).blocks);
		EXPECT_EQ(0, BELOW(keep_red).blocks);
		EXPECT_EQ((__u32)getpid(), sites_settings(&self->sites)->pid);
		_exit(!__test_passed(_metadata));
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	TAKE();
	EXPECT_EQ(100, BELOW(keep_red).blocks);
}

/* Far more stacks than there is time for: whoever finds them holds the trace's lock. */
KEEPER static void *dig(struct pymalloc_heap *heap, unsigned int path, int depth)
{
	void *object;

	if (!depth)
		return pymalloc_malloc(heap, 64);
	object = path & 1 ? dig(heap, path >> 1, depth - 1) : dig(heap, path >> 1, depth - 1);
	return object;
}

static volatile bool dig_on;

static void *dig_main(void *heap)
{
	unsigned int path = (uintptr_t)&path;

	while (dig_on) {
		path = path * 1103515245 + 12345;
		pymalloc_free(heap, dig(heap, path >> 8, 20));
	}
	return NULL;
}

/* The thread that calls fork() has no magazines, and so does not see that the trace is new. */
TEST_F(trace, a_child_does_not_wait_for_threads_of_its_parent)
{
	struct pymalloc_trace arg = {
		.argsz = sizeof(arg),
		.flags = PYMALLOC_TRACE_SET,
		.mode = PYMALLOC_TRACE_EXACT,
		.native_frames = 25,
	};
	pthread_t threads[2];
	pid_t child;
	int status;

	ASSERT_EQ(0, ioctl(pymalloc_heap_fd(self->heap), PYMALLOC_IOC_TRACE, &arg));
	dig_on = true;
	for (int i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, dig_main, self->heap));
	for (int i = 0; i < 30; i++) {
		child = fork();
		ASSERT_LE(0, child);
		if (!child) {
			alarm(300);
			_exit(!pymalloc_malloc(self->heap, 5000));
		}
		ASSERT_EQ(child, waitpid(child, &status, 0));
		ASSERT_EQ(0, status);
	}
	dig_on = false;
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

/* Without the handlers of fork(). */
TEST_F(trace, a_cloned_child_goes_on)
{
	pid_t child;
	int status;

	ASSERT_TRUE(trace(self->heap, PYMALLOC_TRACE_EXACT, 0));
	many_red(self->heap, 64, 100);
	child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	ASSERT_LE(0, child);
	if (!child) {
		for (int i = 0; i < 50; i++)
			keep_green(self->heap, 64);
		free_kept(self->heap);
		_exit(0);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	TAKE();
	EXPECT_EQ(100, BELOW(keep_red).blocks);
}

/* There may be no memory for the words: objects come all the same. */
TEST_F(trace, words_at_the_limit)
{
	struct pymalloc_heap *heap = heap_with("limited", variant->alignment, 1 << 20);
	struct sites sites;
	size_t count = 0;

	ASSERT_NE(NULL, heap);
	ASSERT_TRUE(trace(heap, PYMALLOC_TRACE_EXACT, 0));
	while (count < 100000 && keep_red(heap, 512))
		count++;
	nr_kept--;
	ASSERT_LT(500, count);
	ASSERT_GT(100000, count);
	ASSERT_TRUE(sites_take(pymalloc_heap_fd(heap), &sites));
	EXPECT_EQ(count, count_below(&sites, keep_red, CODE).blocks +
			 count_without_site(&sites, PYMALLOC_SITE_BEFORE) +
			 count_without_site(&sites, PYMALLOC_SITE_UNKNOWN));
	sites_drop(&sites);
	free_kept(heap);
	EXPECT_EQ(0, left_in(heap));
	EXPECT_TRUE(sound(heap));
	pymalloc_heap_destroy(heap);
}

/* A run may be anywhere: its word, too. */
TEST_F(trace, runs_move_with_their_site)
{
	ASSERT_TRUE(trace(self->heap, PYMALLOC_TRACE_EXACT, 0));
	cross(self->heap);
	ASSERT_TRUE(keep_run(self->heap, 8192));
	TAKE();
	EXPECT_EQ(1, BELOW(keep_run).blocks);
	pymalloc_free(self->heap, kept[--nr_kept]);
	sites_drop(&self->sites);
	TAKE();
	EXPECT_EQ(0, BELOW(keep_run).blocks);
	EXPECT_EQ(0, count_without_site(&self->sites, PYMALLOC_SITE_BEFORE));
}

TEST_HARNESS_MAIN
