// SPDX-License-Identifier: GPL-2.0
/*
 * PYMALLOC_CACHE_STEAL: the kernel takes back what threads have in their magazines, while
 * they sleep and while they go on.
 */
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "library.h"

#define THREADS 8

static struct pymalloc_heap *heap;

FIXTURE(steal) {
};

FIXTURE_SETUP(steal)
{
	struct pymalloc_policy policy = {
		.argsz = sizeof(policy),
		.flags = PYMALLOC_POLICY_SET,
		.off = PYMALLOC_POLICY_NO_STEAL,
	};

	heap = heap_with("steal", 8, 0);
	ASSERT_NE(NULL, heap);
	/* Nothing is taken but by the test: on a slow machine the heap's turn may come first. */
	ASSERT_EQ(0, ioctl(pymalloc_heap_fd(heap), PYMALLOC_IOC_POLICY, &policy));
}

FIXTURE_TEARDOWN(steal)
{
	EXPECT_EQ(0, left_in(heap));
	EXPECT_TRUE(sound(heap));
	pymalloc_heap_destroy(heap);
}

/* A round; ~0 if that fails. */
static __u64 steal(unsigned int flags)
{
	struct pymalloc_cache args = {
		.argsz = sizeof(args),
		.flags = flags,
		.op = PYMALLOC_CACHE_STEAL,
	};

	if (ioctl(pymalloc_heap_fd(heap), PYMALLOC_IOC_CACHE, &args))
		return ~0ULL;
	return args.stolen;
}

static __u64 held(void)
{
	struct pymalloc_trim trim = { .argsz = sizeof(trim) };
	struct pymalloc_stats stats;

	if (ioctl(pymalloc_heap_fd(heap), PYMALLOC_IOC_TRIM, &trim) ||
	    pymalloc_heap_stats(heap, &stats, NULL))
		return ~0ULL;
	return stats.page_bytes + stats.meta_bytes;
}

/* A thread that works when it is told to, and sleeps meanwhile. */
struct worker {
	pthread_t thread;
	sem_t go;
	sem_t done;
	void *(*work)(struct worker *worker);
	void *result;
	void **objects;
	size_t count;
	unsigned int seed;
};

static void *run_worker(void *argument)
{
	struct worker *worker = argument;

	for (;;) {
		while (sem_wait(&worker->go))
			;
		if (!worker->work)
			return NULL;
		worker->result = worker->work(worker);
		sem_post(&worker->done);
	}
}

static void start(struct __test_metadata *_metadata, struct worker *worker, unsigned int seed)
{
	*worker = (struct worker){ .seed = seed };
	ASSERT_EQ(0, sem_init(&worker->go, 0, 0));
	ASSERT_EQ(0, sem_init(&worker->done, 0, 0));
	ASSERT_EQ(0, pthread_create(&worker->thread, NULL, run_worker, worker));
}

static void tell(struct worker *worker, void *(*work)(struct worker *worker))
{
	worker->work = work;
	sem_post(&worker->go);
}

static void await(struct __test_metadata *_metadata, struct worker *worker)
{
	while (sem_wait(&worker->done))
		;
	EXPECT_EQ(NULL, worker->result) TH_LOG("%s", (char *)worker->result);
}

static void do_work(struct __test_metadata *_metadata, struct worker *worker,
		    void *(*work)(struct worker *worker))
{
	tell(worker, work);
	await(_metadata, worker);
}

static void stop(struct __test_metadata *_metadata, struct worker *worker)
{
	tell(worker, NULL);
	ASSERT_EQ(0, pthread_join(worker->thread, NULL));
}

/* An object that tells when somebody else has got it as well. */
struct stamped {
	size_t size;
	uintptr_t stamp;
};

static struct stamped *stamped_new(unsigned int *seed)
{
	size_t size = sizeof(struct stamped) +
		      rand_r(seed) % (PYMALLOC_BLOCK_MAX + 1 - sizeof(struct stamped));
	struct stamped *object = pymalloc_malloc(heap, size);

	if (object) {
		object->size = size;
		object->stamp = (uintptr_t)object ^ size ^ (uintptr_t)seed;
	}
	return object;
}

static bool is_intact(const struct stamped *object, const unsigned int *seed)
{
	return object->stamp == ((uintptr_t)object ^ object->size ^ (uintptr_t)seed);
}

/* Everything freed: the magazines are as full as they get. */
static void *fill_magazines(struct worker *worker)
{
	size_t i;

	for (i = 0; i < worker->count; i++)
		worker->objects[i] = stamped_new(&worker->seed);
	for (i = 0; i < worker->count; i++) {
		if (!is_intact(worker->objects[i], &worker->seed))
			return "overwritten";
		pymalloc_free(heap, worker->objects[i]);
	}
	return NULL;
}

static void all_freed(struct __test_metadata *_metadata, size_t threads, __u64 most)
{
	static struct worker workers[THREADS];
	__u64 before, taken;
	size_t i;

	for (i = 0; i < threads; i++) {
		start(_metadata, &workers[i], i);
		workers[i].count = 200000 / threads;
		workers[i].objects = calloc(workers[i].count, sizeof(void *));
		do_work(_metadata, &workers[i], fill_magazines);
	}
	before = held();
	/* The first round takes from nobody. */
	EXPECT_EQ(0, steal(0));
	taken = steal(0);
	EXPECT_LT(threads * 1000, taken);
	EXPECT_GE(most, held()) TH_LOG("%llu before", before);
	/* One in each magazine stays, and is not taken however often it is tried. */
	EXPECT_EQ(0, steal(0));
	EXPECT_GE(threads * PYMALLOC_NR_CLASSES, blocks_of(heap));
	EXPECT_LT(0, blocks_of(heap));
	EXPECT_TRUE(sound(heap));
	for (i = 0; i < threads; i++) {
		do_work(_metadata, &workers[i], fill_magazines);
		stop(_metadata, &workers[i]);
		free(workers[i].objects);
	}
}

TEST_F(steal, one_thread_sleeps)
{
	all_freed(_metadata, 1, 700000);
}

TEST_F(steal, eight_threads_sleep)
{
	all_freed(_metadata, 8, 4600000);
}

/* A thread that has done something between two rounds is not asleep. */
TEST_F(steal, not_from_those_awake)
{
	struct worker worker;

	start(_metadata, &worker, 1);
	worker.count = 2000;
	worker.objects = calloc(worker.count, sizeof(void *));
	do_work(_metadata, &worker, fill_magazines);
	for (int round = 0; round < 5; round++) {
		EXPECT_EQ(0, steal(0));
		do_work(_metadata, &worker, fill_magazines);
	}
	EXPECT_EQ(0, steal(0));
	EXPECT_LT(0, steal(0));
	do_work(_metadata, &worker, fill_magazines);
	EXPECT_LT(0, steal(PYMALLOC_STEAL_ALL));
	stop(_metadata, &worker);
	free(worker.objects);
}

/* Threads go on while the kernel takes what it can get, as fast as it can. */
#define OBJECTS 3000

static bool halt;
static __u64 sum_stolen;

static void *steal_on_and_on(void *argument)
{
	unsigned int round;

	(void)argument;
	for (round = 0; !__atomic_load_n(&halt, __ATOMIC_ACQUIRE); round++) {
		__u64 stolen = steal(round % 2 ? PYMALLOC_STEAL_ALL : 0);

		if (stolen == ~0ULL)
			return "refused";
		sum_stolen += stolen;
	}
	return NULL;
}

static pthread_t start_stealing(struct __test_metadata *_metadata)
{
	pthread_t thief;

	halt = false;
	sum_stolen = 0;
	ASSERT_EQ(0, pthread_create(&thief, NULL, steal_on_and_on, NULL));
	return thief;
}

static void end_stealing(struct __test_metadata *_metadata, pthread_t thief)
{
	void *result;

	__atomic_store_n(&halt, true, __ATOMIC_RELEASE);
	ASSERT_EQ(0, pthread_join(thief, &result));
	EXPECT_EQ(NULL, result);
	EXPECT_LT(0, sum_stolen);
	TH_LOG("%llu blocks taken", sum_stolen);
}

static const char *replace_some(struct stamped **objects, size_t count, size_t times,
				unsigned int *seed)
{
	while (times--) {
		size_t n = rand_r(seed) % count;

		if (objects[n] && !is_intact(objects[n], seed))
			return "overwritten";
		pymalloc_free(heap, objects[n]);
		objects[n] = rand_r(seed) % 4 ? stamped_new(seed) : NULL;
	}
	return NULL;
}

static const char *free_all(struct stamped **objects, size_t count, unsigned int *seed)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (objects[i] && !is_intact(objects[i], seed))
			return "overwritten";
		pymalloc_free(heap, objects[i]);
		objects[i] = NULL;
	}
	return NULL;
}

static void *hammer(struct worker *worker)
{
	struct stamped *objects[OBJECTS] = { NULL };
	const char *bad = NULL;
	size_t round;

	for (round = 0; round < 40 && !bad; round++) {
		bad = replace_some(objects, OBJECTS, OBJECTS, &worker->seed);
		if (!bad && round % 8 == 7)
			bad = free_all(objects, OBJECTS, &worker->seed);
	}
	return (void *)(bad ?: free_all(objects, OBJECTS, &worker->seed));
}

TEST_F(steal, while_threads_go_on)
{
	struct worker workers[4];
	pthread_t thief;
	size_t i;

	for (i = 0; i < 4; i++)
		start(_metadata, &workers[i], i);
	thief = start_stealing(_metadata);
	for (i = 0; i < 4; i++)
		tell(&workers[i], hammer);
	for (i = 0; i < 4; i++)
		await(_metadata, &workers[i]);
	end_stealing(_metadata, thief);
	EXPECT_TRUE(sound(heap));
	for (i = 0; i < 4; i++)
		stop(_metadata, &workers[i]);
}

static void *live_shortly(void *argument)
{
	struct stamped *objects[300] = { NULL };
	unsigned int seed = (uintptr_t)argument;
	const char *bad = replace_some(objects, 300, 1000, &seed);

	return (void *)(bad ?: free_all(objects, 300, &seed));
}

TEST_F(steal, while_threads_come_and_go)
{
	pthread_t thief = start_stealing(_metadata), threads[4];
	size_t round, i;
	void *result;

	for (round = 0; round < 50; round++) {
		for (i = 0; i < 4; i++)
			ASSERT_EQ(0, pthread_create(&threads[i], NULL, live_shortly, (void *)i));
		for (i = 0; i < 4; i++) {
			ASSERT_EQ(0, pthread_join(threads[i], &result));
			EXPECT_EQ(NULL, result);
		}
	}
	end_stealing(_metadata, thief);
}

/*
 * Handlers of signals use the heap, between two operations of the thread: they may not
 * interrupt one.
 */
static __thread struct {
	struct stamped *objects[50];
	unsigned int seed;
	const char *bad;
	unsigned int runs;
} handler;

static void on_signal(int signal)
{
	(void)signal;
	handler.runs++;
	if (!handler.bad)
		handler.bad = replace_some(handler.objects, 50, 100, &handler.seed);
}

static void *hammer_with_signals(struct worker *worker)
{
	struct stamped *objects[500] = { NULL };
	const char *bad = NULL;
	sigset_t set;
	size_t round;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	for (round = 0; round < 200 && !bad; round++) {
		pthread_sigmask(SIG_BLOCK, &set, NULL);
		bad = replace_some(objects, 500, 500, &worker->seed);
		pthread_sigmask(SIG_UNBLOCK, &set, NULL);
		raise(SIGUSR1);
	}
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	bad = bad ?: free_all(objects, 500, &worker->seed);
	bad = bad ?: handler.bad ?: free_all(handler.objects, 50, &handler.seed);
	return (void *)(handler.runs < 200 ? "no signals" : bad);
}

TEST_F(steal, with_signals)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct worker workers[2];
	pthread_t thief;
	size_t i;

	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	for (i = 0; i < 2; i++)
		start(_metadata, &workers[i], i);
	thief = start_stealing(_metadata);
	for (i = 0; i < 2; i++)
		tell(&workers[i], hammer_with_signals);
	for (i = 0; i < 2; i++)
		await(_metadata, &workers[i]);
	end_stealing(_metadata, thief);
	for (i = 0; i < 2; i++)
		stop(_metadata, &workers[i]);
}

/* Only the caller's cache is in the child; nothing is held by the others', top included. */
TEST_F(steal, fork_beside_sleeping_threads)
{
	struct worker workers[3];
	struct stamped *own[100];
	unsigned int seed = 1;
	int status;
	pid_t child;
	size_t i;

	for (i = 0; i < 3; i++) {
		start(_metadata, &workers[i], i);
		workers[i].count = 3000;
		workers[i].objects = calloc(3000, sizeof(void *));
		do_work(_metadata, &workers[i], fill_magazines);
	}
	for (i = 0; i < 100; i++)
		own[i] = stamped_new(&seed);
	EXPECT_LT(1000, blocks_of(heap));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		ASSERT_EQ(NULL, free_all(own, 100, &seed));
		pymalloc_heap_flush(heap);
		ASSERT_EQ(0, blocks_of(heap));
		ASSERT_TRUE(sound(heap));
		/* A thread of its own gets an index that one of the parent's has had. */
		start(_metadata, &workers[0], 7);
		do_work(_metadata, &workers[0], hammer);
		EXPECT_LT(0, steal(PYMALLOC_STEAL_ALL));
		stop(_metadata, &workers[0]);
		_exit(left_in(heap) || !sound(heap) || !__test_passed(_metadata));
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(NULL, free_all(own, 100, &seed));
	for (i = 0; i < 3; i++) {
		do_work(_metadata, &workers[i], fill_magazines);
		stop(_metadata, &workers[i]);
		free(workers[i].objects);
	}
}

/* The child of a child; and a child whose parent's threads are all in the middle of it. */
static void *fork_and_compare(struct worker *worker)
{
	struct stamped *own[200] = { NULL };
	const char *bad = NULL;
	int status;
	pid_t child;

	for (size_t round = 0; round < 30 && !bad; round++) {
		bad = replace_some(own, 200, 1000, &worker->seed);
		child = fork();
		if (!child) {
			bad = replace_some(own, 200, 1000, &worker->seed);
			if (!bad && !(round % 5)) {
				child = fork();
				if (child && (waitpid(child, &status, 0) != child || status))
					_exit(3);
			}
			bad = bad ?: replace_some(own, 200, 1000, &worker->seed);
			bad = bad ?: free_all(own, 200, &worker->seed);
			pymalloc_heap_flush(heap);
			_exit(bad ? 1 : sound(heap) ? 0 : 2);
		}
		if (waitpid(child, &status, 0) != child || status)
			bad = "the child failed";
	}
	return (void *)(bad ?: free_all(own, 200, &worker->seed));
}

TEST_F(steal, forks_in_the_middle)
{
	struct worker workers[3];
	pthread_t thief;
	size_t i;

	for (i = 0; i < 3; i++)
		start(_metadata, &workers[i], i);
	thief = start_stealing(_metadata);
	for (i = 0; i < 3; i++)
		tell(&workers[i], i ? hammer : fork_and_compare);
	for (i = 0; i < 3; i++)
		await(_metadata, &workers[i]);
	end_stealing(_metadata, thief);
	for (i = 0; i < 3; i++)
		stop(_metadata, &workers[i]);
}

static unsigned int reports;
static pthread_t reporter;
static void *reported;

static void note_bad(struct pymalloc_heap *where, void *object, unsigned int status)
{
	(void)where;
	reporter = pthread_self();
	reported = object;
	reports += status == PYMALLOC_REF_FREE ? 1 : 100;
}

static void *free_twice(struct worker *worker)
{
	for (size_t i = 0; i < worker->count; i++)
		worker->objects[i] = pymalloc_malloc(heap, 64);
	pymalloc_free(heap, worker->objects[0]);
	/* Without the mark, the second free is not noticed at once. */
	*(void **)worker->objects[0] = NULL;
	for (size_t i = 0; i < worker->count; i++)
		pymalloc_free(heap, worker->objects[i]);
	return NULL;
}

/* What is found to be bad on the way is reported by the owner, and only by it. */
TEST_F(steal, bad_free_is_reported_to_the_owner)
{
	struct pymalloc_stats stats;
	struct worker worker;
	void *twice;

	pymalloc_set_bad_free(note_bad);
	start(_metadata, &worker, 1);
	worker.count = 10;
	worker.objects = calloc(10, sizeof(void *));
	do_work(_metadata, &worker, free_twice);
	twice = worker.objects[0];
	EXPECT_LE(9, steal(PYMALLOC_STEAL_ALL));
	EXPECT_EQ(0, reports);
	ASSERT_EQ(0, pymalloc_heap_stats(heap, &stats, NULL));
	EXPECT_EQ(1, stats.nr_bad_refs);
	do_work(_metadata, &worker, fill_magazines);
	EXPECT_EQ(1, reports);
	EXPECT_EQ(worker.thread, reporter);
	EXPECT_EQ(twice, reported);
	stop(_metadata, &worker);
	pymalloc_set_bad_free(NULL);
	free(worker.objects);
}

/* A heap that may have no more pages still has magazines, which nobody can take from. */
TEST(no_room_for_caches)
{
	struct pymalloc_info info = { .argsz = sizeof(info) };
	int device = open("/dev/pymalloc", O_RDWR | O_CLOEXEC);
	struct pymalloc_cache_stats stats;
	void *object;

	ASSERT_EQ(0, ioctl(device, PYMALLOC_IOC_INFO, &info));
	close(device);
	heap = heap_with("steal", 8, info.heap_bytes_min + 40000);
	ASSERT_NE(NULL, heap);
	object = pymalloc_malloc(heap, 64);
	ASSERT_NE(NULL, object);
	pymalloc_heap_cache_stats(heap, &stats);
	EXPECT_EQ(1, stats.threads);
	EXPECT_LT(0, stats.blocks);
	EXPECT_EQ(0, steal(PYMALLOC_STEAL_ALL));
	pymalloc_free(heap, object);
	EXPECT_EQ(0, left_in(heap));
	EXPECT_TRUE(sound(heap));
	pymalloc_heap_destroy(heap);
}

TEST_HARNESS_MAIN
