// SPDX-License-Identifier: GPL-2.0
/*
 * Threads on one heap and on many heaps. No block is ever handed out twice. A
 * thread may free blocks that another has allocated. A thread that looks, trims
 * or checks meanwhile sees a sound heap.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "service.h"

#define THREADS 4
#define ROUNDS 150
#define MAX_BATCH 200
#define WINDOW (64 << 20)
#define MAILBOXES 512

/* What all threads of a test share. */
struct shared {
	struct heap heaps[THREADS];	/* may all be the same heap */
	atomic_bool stop;
	atomic_ullong mailboxes[MAILBOXES];
	atomic_uchar owned[WINDOW / 8];	/* one heap: the block's thread; 0 is none */
};

struct worker {
	struct shared *shared;
	pthread_t thread;
	int number;
	const char *failure;		/* the first failure, in words */
};

static void expect(struct worker *worker, bool ok, const char *failure)
{
	if (!ok && !worker->failure)
		worker->failure = failure;
}

static struct heap *heap_of(struct worker *worker)
{
	return &worker->shared->heaps[worker->number];
}

static void take(struct worker *worker, __u64 size, __u64 *refs, __u32 count)
{
	struct pymalloc_alloc arg = ARG(alloc, .size = size, .refs = user_ptr(refs),
					.count = count);

	expect(worker, !call(heap_of(worker)->fd, PYMALLOC_IOC_ALLOC, &arg), "alloc failed");
	expect(worker, arg.done == count, "alloc did not do all");
}

static void give(struct worker *worker, const __u64 *refs, __u32 count)
{
	struct pymalloc_free arg = ARG(free, .refs = user_ptr(refs), .count = count);

	expect(worker, !call(heap_of(worker)->fd, PYMALLOC_IOC_FREE, &arg), "free failed");
	expect(worker, !arg.nr_bad, "a block was gone");
}

static void own(struct worker *worker, const __u64 *refs, __u32 count)
{
	for (__u32 i = 0; i < count; i++) {
		expect(worker, !atomic_exchange(&worker->shared->owned[refs[i] / 8], 1),
		       "a block was handed out twice");
		*(__u64 *)at(heap_of(worker), refs[i]) = refs[i];
	}
}

static void disown(struct worker *worker, const __u64 *refs, __u32 count)
{
	for (__u32 i = 0; i < count; i++) {
		expect(worker, *(__u64 *)at(heap_of(worker), refs[i]) == refs[i],
		       "a block has lost its contents");
		atomic_store(&worker->shared->owned[refs[i] / 8], 0);
	}
}

static __u64 some_size(__u64 *seed)
{
	__u64 random = next_random(seed);

	return random % 16 ? 1 + random / 16 % 512 : 513 + random / 16 % 20000;
}

/* Each thread frees what it has allocated. */
static void *own_blocks(void *arg)
{
	struct worker *worker = arg;
	__u64 refs[MAX_BATCH], seed = 77 + worker->number;

	for (int round = 0; round < ROUNDS && !worker->failure; round++) {
		__u64 size = some_size(&seed);
		__u32 count = 1 + next_random(&seed) % (size > 512 ? 10 : MAX_BATCH);

		take(worker, size, refs, count);
		own(worker, refs, count);
		shuffle(refs, count, &seed);
		disown(worker, refs, count);
		give(worker, refs, count);
	}
	return NULL;
}

/* Each thread leaves its blocks to others, and frees what others have left. */
static void *each_others_blocks(void *arg)
{
	struct worker *worker = arg;
	__u64 refs[MAX_BATCH], seed = 99 + worker->number;

	for (int round = 0; round < ROUNDS && !worker->failure; round++) {
		__u64 size = 1 + next_random(&seed) % 512;
		__u32 count = 1 + next_random(&seed) % MAX_BATCH, got = 0;

		take(worker, size, refs, count);
		own(worker, refs, count);
		for (__u32 i = 0; i < count; i++) {
			__u64 box = next_random(&seed) % MAILBOXES;
			__u64 ref = atomic_exchange(&worker->shared->mailboxes[box], refs[i]);

			if (ref)
				refs[got++] = ref;
		}
		if (!got)
			continue;
		disown(worker, refs, got);
		give(worker, refs, got);
	}
	return NULL;
}

/*
 * Threads that look on
 */

static void *keep_trimming(void *arg)
{
	struct worker *worker = arg;

	while (!worker->shared->stop) {
		struct pymalloc_trim trim = ARG(trim);

		expect(worker, !call(heap_of(worker)->fd, PYMALLOC_IOC_TRIM, &trim),
		       "trim failed");
	}
	return NULL;
}

static void *keep_checking(void *arg)
{
	struct worker *worker = arg;

	while (!worker->shared->stop) {
		struct pymalloc_check check = ARG(check);

		expect(worker, !call(heap_of(worker)->fd, PYMALLOC_IOC_CHECK, &check),
		       "check failed");
		expect(worker, !check.errors, "the checker is not content");
	}
	return NULL;
}

static void *keep_walking(void *arg)
{
	static struct pymalloc_block_info blocks[1000];
	struct worker *worker = arg;
	struct pymalloc_walk walk = ARG(walk, .what = PYMALLOC_WALK_BLOCKS, .count = 1000,
					.entries = user_ptr(blocks),
					.entry_size = sizeof(blocks[0]));

	while (!worker->shared->stop) {
		expect(worker, !call(heap_of(worker)->fd, PYMALLOC_IOC_WALK, &walk),
		       "walk failed");
		for (__u32 i = 1; i < walk.done; i++)
			expect(worker, blocks[i - 1].ref < blocks[i].ref, "walk in no order");
		walk.start = walk.next;
	}
	return NULL;
}

static void *keep_counting(void *arg)
{
	struct worker *worker = arg;

	while (!worker->shared->stop) {
		struct pymalloc_stats stats = ARG(stats);

		expect(worker, !call(heap_of(worker)->fd, PYMALLOC_IOC_STATS, &stats),
		       "stats failed");
	}
	return NULL;
}

/* Touch memory that comes and goes. An access works or is SIGBUS. */
static void *keep_reading(void *arg)
{
	struct worker *worker = arg;
	__u64 seed = 1234;
	char copy[8];
	int fds[2];

	expect(worker, !pipe(fds), "no pipe");
	while (!worker->shared->stop) {
		__u64 ref = ARENA + next_random(&seed) % (4 << 20);

		if (write(fds[1], at(heap_of(worker), ref & -8ULL), 8) == 8)
			expect(worker, read(fds[0], copy, 8) == 8, "the pipe has lost bytes");
		else
			expect(worker, errno == EFAULT, "an access went wrong");
	}
	return NULL;
}

FIXTURE(threads)
{
	struct shared *shared;
	struct worker workers[THREADS];
	struct worker onlooker;
};

FIXTURE_SETUP(threads)
{
	self->shared = mmap(NULL, sizeof(*self->shared), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->shared);
	self->shared->heaps[0] = HEAP(.window = WINDOW);
	for (int i = 0; i < THREADS; i++) {
		self->shared->heaps[i] = self->shared->heaps[0];
		self->workers[i] = (struct worker){ .shared = self->shared, .number = i };
	}
	self->onlooker = self->workers[0];
}

FIXTURE_TEARDOWN(threads)
{
	munmap(self->shared, sizeof(*self->shared));
}

static void start(struct __test_metadata *_metadata, struct worker *worker, void *(*run)(void *arg))
{
	ASSERT_EQ(0, pthread_create(&worker->thread, NULL, run, worker));
}

static void finish(struct __test_metadata *_metadata, struct worker *worker)
{
	ASSERT_EQ(0, pthread_join(worker->thread, NULL));
	EXPECT_EQ(NULL, worker->failure) TH_LOG("%s", worker->failure);
}

/* All workers do @work while other threads look on. */
static void all(struct __test_metadata *_metadata, FIXTURE_DATA(threads) *self,
		void *(*work)(void *arg), void *(*look)(void *arg))
{
	if (look)
		start(_metadata, &self->onlooker, look);
	for (int i = 0; i < THREADS; i++)
		start(_metadata, &self->workers[i], work);
	for (int i = 0; i < THREADS; i++)
		finish(_metadata, &self->workers[i]);
	self->shared->stop = true;
	if (look)
		finish(_metadata, &self->onlooker);
}

/* Only the blocks in the mailboxes are left. */
static void count_the_rest(struct __test_metadata *_metadata, FIXTURE_DATA(threads) *self)
{
	struct heap *heap = &self->shared->heaps[0];
	__u64 left = 0;

	for (int i = 0; i < MAILBOXES; i++)
		left += self->shared->mailboxes[i] != 0;
	EXPECT_EQ(left, heap_stats(heap).blocks);
	EXPECT_EQ(0, heap_stats(heap).runs);
	heap_check(heap);
	for (int i = 0; i < MAILBOXES; i++) {
		if (self->shared->mailboxes[i])
			free_one(heap, self->shared->mailboxes[i]);
	}
	heap_trim(heap);
	heap_check(heap);
	EXPECT_EQ(0, heap_stats(heap).page_bytes);
	EXPECT_EQ(0, heap_stats(heap).nr_bad_refs);
}

FIXTURE_VARIANT(threads)
{
	void *(*look)(void *arg);
};

FIXTURE_VARIANT_ADD(threads, alone) { NULL };
FIXTURE_VARIANT_ADD(threads, trimmed) { keep_trimming };
FIXTURE_VARIANT_ADD(threads, checked) { keep_checking };
FIXTURE_VARIANT_ADD(threads, walked) { keep_walking };
FIXTURE_VARIANT_ADD(threads, counted) { keep_counting };
FIXTURE_VARIANT_ADD(threads, read) { keep_reading };

TEST_F(threads, own_blocks)
{
	all(_metadata, self, own_blocks, variant->look);
	count_the_rest(_metadata, self);
}

TEST_F(threads, each_others_blocks)
{
	all(_metadata, self, each_others_blocks, variant->look);
	count_the_rest(_metadata, self);
}

FIXTURE(heaps)
{
	struct shared *shared[THREADS];
	struct worker workers[THREADS];
};

FIXTURE_SETUP(heaps)
{
	for (int i = 0; i < THREADS; i++) {
		self->shared[i] = mmap(NULL, sizeof(*self->shared[i]), PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ASSERT_NE(MAP_FAILED, self->shared[i]);
		self->shared[i]->heaps[i] = HEAP(.window = WINDOW);
		self->workers[i] = (struct worker){ .shared = self->shared[i], .number = i };
	}
}

FIXTURE_TEARDOWN(heaps)
{
}

TEST_F(heaps, one_for_each_thread)
{
	for (int i = 0; i < THREADS; i++)
		start(_metadata, &self->workers[i], own_blocks);
	for (int i = 0; i < THREADS; i++)
		finish(_metadata, &self->workers[i]);
	for (int i = 0; i < THREADS; i++) {
		heap_check(&self->shared[i]->heaps[i]);
		EXPECT_EQ(0, heap_stats(&self->shared[i]->heaps[i]).blocks);
	}
}

/* Two threads free the same blocks: each block is freed exactly once. */
struct race {
	struct heap *heap;
	const __u64 *refs;
	__u32 freed;
};

#define RACERS 2
#define RACE_BLOCKS 1000

static void *free_them_all(void *arg)
{
	struct race *race = arg;
	struct pymalloc_free free = ARG(free, .refs = user_ptr(race->refs), .count = RACE_BLOCKS);

	call(race->heap->fd, PYMALLOC_IOC_FREE, &free);
	race->freed = free.done - free.nr_bad;
	return NULL;
}

TEST_F(service, double_free_race)
{
	static __u64 refs[RACE_BLOCKS];

	for (int round = 0; round < 10; round++) {
		struct race races[RACERS];
		pthread_t threads[RACERS];
		__u32 freed = 0;

		alloc(&self->heap, round % 2 ? 64 : 1000, refs, RACE_BLOCKS);
		for (int i = 0; i < RACERS; i++) {
			races[i] = (struct race){ &self->heap, refs, 0 };
			ASSERT_EQ(0, pthread_create(&threads[i], NULL, free_them_all, &races[i]));
		}
		for (int i = 0; i < RACERS; i++) {
			pthread_join(threads[i], NULL);
			freed += races[i].freed;
		}
		ASSERT_EQ(RACE_BLOCKS, freed);
		ASSERT_EQ(0, heap_stats(&self->heap).blocks);
		heap_check(&self->heap);
	}
}

TEST_HARNESS_MAIN
