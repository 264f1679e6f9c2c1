// SPDX-License-Identifier: GPL-2.0
/*
 * fork(): the child has its own heap with all objects of its parent. From then
 * on, neither sees what the other does.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include "service.h"

#define OBJECTS 20000
#define SIZE 200

static __u64 refs[OBJECTS];

FIXTURE(fork)
{
	struct heap heap;
	__u64 run;	/* a large object of 100 pages */
};

/* The number in object @i, which is read and written as a volatile. */
static volatile long *number(struct heap *heap, int i)
{
	return (volatile long *)at(heap, refs[i]);
}

FIXTURE_SETUP(fork)
{
	self->heap = HEAP(.name = "fork");
	alloc(&self->heap, SIZE, refs, OBJECTS);
	for (int i = 0; i < OBJECTS; i++)
		*number(&self->heap, i) = i;
	self->run = alloc_one(&self->heap, 100 * POOL);
	memset(at(&self->heap, self->run), 'r', 100 * POOL);
}

FIXTURE_TEARDOWN(fork)
{
	heap_check(&self->heap);
	heap_close(&self->heap);
}

static bool numbers_are(struct heap *heap, int step, long offset)
{
	for (int i = 0; i < OBJECTS; i += step)
		if (*number(heap, i) != i + offset)
			return false;
	return true;
}

static void add_to_numbers(struct heap *heap, int step, long offset)
{
	for (int i = 0; i < OBJECTS; i += step)
		*number(heap, i) += offset;
}

TEST_F(fork, child_reads_what_its_parent_had)
{
	pid_t child;

	IN_CHILD(child, {
		EXPECT_TRUE(numbers_are(&self->heap, 1, 0));
		EXPECT_TRUE(is_filled(at(&self->heap, self->run), 'r', 100 * POOL));
		EXPECT_EQ(SIZE / 8, pool_map(&self->heap, refs[0]));
		EXPECT_EQ(SIZE, usable(&self->heap, refs[0]));
		heap_check(&self->heap);
	});
	join_child(_metadata, child);
	EXPECT_TRUE(numbers_are(&self->heap, 1, 0));
}

TEST_F(fork, writes_are_not_seen_across)
{
	int ready[2];
	pid_t child;
	char byte;

	ASSERT_EQ(0, pipe(ready));
	IN_CHILD(child, {
		close(ready[1]);
		add_to_numbers(&self->heap, 7, 1000000);
		/* Wait until the parent has written. */
		EXPECT_EQ(0, read(ready[0], &byte, 1));
		EXPECT_TRUE(numbers_are(&self->heap, 7, 1000000));
		EXPECT_EQ(1, *number(&self->heap, 1));
		heap_check(&self->heap);
	});
	close(ready[0]);
	add_to_numbers(&self->heap, 5, -5000000);
	EXPECT_TRUE(numbers_are(&self->heap, 5, -5000000));
	EXPECT_EQ(7, *number(&self->heap, 7));
	close(ready[1]);
	join_child(_metadata, child);
	EXPECT_TRUE(numbers_are(&self->heap, 5, -5000000));
	EXPECT_EQ(7, *number(&self->heap, 7));
}

/* What the kernel writes for a process belongs to that process, too. */
TEST_F(fork, the_kernel_writes_to_copies)
{
	__u64 ref = refs[0], zeroed[100], blocks[100];
	pid_t child;

	alloc(&self->heap, 48, blocks, ARRAY_SIZE(blocks));
	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++)
		memset(at(&self->heap, blocks[i]), 'p', 48);
	IN_CHILD(child, {
		struct pymalloc_resize arg = ARG(resize, .ref = ref, .size = 512);
		struct iovec to = { at(&self->heap, refs[2]), 8 };
		long value = 42;
		struct iovec from = { &value, 8 };

		free_all(&self->heap, blocks, ARRAY_SIZE(blocks));
		alloc_flags(&self->heap, 48, zeroed, ARRAY_SIZE(zeroed), PYMALLOC_ALLOC_ZERO);
		for (size_t i = 0; i < ARRAY_SIZE(zeroed); i++)
			EXPECT_TRUE(is_filled(at(&self->heap, zeroed[i]), 0, 48));
		EXPECT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_RESIZE, &arg));
		EXPECT_EQ(0, *(long *)at(&self->heap, arg.ref));
		EXPECT_EQ(8, process_vm_writev(getpid(), &from, 1, &to, 1, 0));
		EXPECT_EQ(42, *number(&self->heap, 2));
		heap_check(&self->heap);
	});
	join_child(_metadata, child);
	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++)
		EXPECT_TRUE(is_filled(at(&self->heap, blocks[i]), 'p', 48));
	EXPECT_EQ(2, *number(&self->heap, 2));
	EXPECT_EQ(SIZE, usable(&self->heap, refs[0]));
}

TEST_F(fork, child_frees_and_allocates_alone)
{
	__u64 more[500];
	pid_t child;

	IN_CHILD(child, {
		free_all(&self->heap, refs, OBJECTS / 2);
		free_one(&self->heap, self->run);
		heap_trim(&self->heap);
		EXPECT_EQ(OBJECTS / 2, heap_stats(&self->heap).blocks);
		alloc(&self->heap, 64, more, ARRAY_SIZE(more));
		for (size_t i = 0; i < ARRAY_SIZE(more); i++)
			memset(at(&self->heap, more[i]), 'c', 64);
		heap_check(&self->heap);
	});
	join_child(_metadata, child);
	EXPECT_EQ(OBJECTS, heap_stats(&self->heap).blocks);
	EXPECT_TRUE(numbers_are(&self->heap, 1, 0));
	EXPECT_TRUE(is_filled(at(&self->heap, self->run), 'r', 100 * POOL));
}

TEST_F(fork, parent_goes_first)
{
	int ready[2], result[2];
	pid_t child;
	char byte;

	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(0, pipe(result));
	IN_CHILD(child, {
		/* This child is the parent here; its own child outlives it. */
		if (!fork()) {
			close(ready[1]);
			read(ready[0], &byte, 1);
			byte = numbers_are(&self->heap, 1, 0) ? 'y' : 'n';
			write(result[1], &byte, 1);
			_exit(0);
		}
		add_to_numbers(&self->heap, 1, 9);
	});
	join_child(_metadata, child);
	close(ready[1]);
	ASSERT_EQ(1, read(result[0], &byte, 1));
	EXPECT_EQ('y', byte);
}

TEST_F(fork, grandchildren)
{
	pid_t child, grandchild;

	IN_CHILD(child, {
		add_to_numbers(&self->heap, 3, 1);
		IN_CHILD(grandchild, {
			EXPECT_TRUE(numbers_are(&self->heap, 3, 1));
			add_to_numbers(&self->heap, 3, 1);
			EXPECT_TRUE(numbers_are(&self->heap, 3, 2));
			heap_check(&self->heap);
		});
		join_child(_metadata, grandchild);
		EXPECT_TRUE(numbers_are(&self->heap, 3, 1));
		heap_check(&self->heap);
	});
	join_child(_metadata, child);
	EXPECT_TRUE(numbers_are(&self->heap, 1, 0));
}

/* The parent's memory does not double, because pages are shared. */
TEST_F(fork, pages_are_shared)
{
	struct pymalloc_info before;
	struct heap heap;
	pid_t child;
	__u64 run;

	/* Heaps of earlier children do not count against this user. */
	ASSERT_EQ(0, seteuid(SOMEBODY));
	heap = HEAP();
	run = alloc_one(&heap, 100 * POOL);
	memset(at(&heap, run), 'r', 100 * POOL);
	before = service_info(_metadata);
	IN_CHILD(child, {
		struct pymalloc_info after = service_info(_metadata);

		EXPECT_EQ(user_pages(&before), user_pages(&after));
		*at(&heap, run) = 1;
		after = service_info(_metadata);
		EXPECT_EQ(user_pages(&before) + POOL, user_pages(&after));
	});
	join_child(_metadata, child);
	heap_close(&heap);
	ASSERT_EQ(0, seteuid(0));
}

struct writer {
	struct heap *heap;
	pthread_t thread;
	atomic_bool stop;
	bool lost;
};

/* Count in an object of its own, and check that no count was lost. */
static void *write_on(void *arg)
{
	struct writer *writer = arg;
	long count = *number(writer->heap, 1);

	for (int i = 0; !atomic_load(&writer->stop); i = (i + 1) % OBJECTS) {
		number(writer->heap, i)[1] = count;
		*number(writer->heap, 1) = ++count;
		writer->lost |= *number(writer->heap, 1) != count;
	}
	*number(writer->heap, 1) = 1;
	return NULL;
}

TEST_F(fork, a_thread_writes_all_the_while)
{
	struct writer writer = { .heap = &self->heap };
	pid_t child;

	ASSERT_EQ(0, pthread_create(&writer.thread, NULL, write_on, &writer));
	for (int round = 0; round < 10; round++) {
		IN_CHILD(child, {
			long first = *number(&self->heap, 1);

			EXPECT_EQ(2, *number(&self->heap, 2));
			sched_yield();
			EXPECT_EQ(first, *number(&self->heap, 1));
			heap_check(&self->heap);
		});
		join_child(_metadata, child);
	}
	atomic_store(&writer.stop, true);
	ASSERT_EQ(0, pthread_join(writer.thread, NULL));
	EXPECT_FALSE(writer.lost);
	EXPECT_TRUE(numbers_are(&self->heap, 1, 0));
}

TEST_F(fork, storm)
{
	pid_t children[20];

	for (size_t i = 0; i < ARRAY_SIZE(children); i++)
		IN_CHILD(children[i], {
			add_to_numbers(&self->heap, 100, i);
			EXPECT_TRUE(numbers_are(&self->heap, 100, i));
		});
	for (size_t i = 0; i < ARRAY_SIZE(children); i++)
		join_child(_metadata, children[i]);
	EXPECT_TRUE(numbers_are(&self->heap, 1, 0));
}

/* How many faults it takes to write to each page of a new run of 64. */
static long faults_of_a_run(struct heap *heap)
{
	__u64 run = alloc_one(heap, 64 * POOL);
	struct rusage before, after;

	getrusage(RUSAGE_SELF, &before);
	for (__u64 i = 0; i < 64; i++)
		*at(heap, run + i * POOL) = 1;
	getrusage(RUSAGE_SELF, &after);
	free_one(heap, run);
	return after.ru_minflt - before.ru_minflt;
}

/* The child's heap goes a little later than the child. */
TEST_F(fork, pages_come_in_runs_again_afterwards)
{
	pid_t child;

	IN_CHILD(child, {
		EXPECT_GE(16, faults_of_a_run(&self->heap));
		add_to_numbers(&self->heap, 2, 1);
	});
	join_child(_metadata, child);
	while (faults_of_a_run(&self->heap) > 16)
		sched_yield();
	EXPECT_TRUE(numbers_are(&self->heap, 1, 0));
	add_to_numbers(&self->heap, 1, 1);
	/* The parent can fork again. */
	IN_CHILD(child, {
		add_to_numbers(&self->heap, 1, 1);
		EXPECT_TRUE(numbers_are(&self->heap, 1, 2));
	});
	add_to_numbers(&self->heap, 1, -1);
	join_child(_metadata, child);
	EXPECT_TRUE(numbers_are(&self->heap, 1, 0));
}

static void set_overcommit(struct __test_metadata *_metadata, char mode)
{
	int fd = open("/proc/sys/vm/overcommit_memory", O_WRONLY);

	ASSERT_LE(0, fd);
	ASSERT_EQ(1, write(fd, &mode, 1));
	close(fd);
}

/* How many bytes may still be committed. */
static __u64 commit_left(struct __test_metadata *_metadata)
{
	__u64 value, limit = 0, committed = 0;
	FILE *file = fopen("/proc/meminfo", "r");
	char key[64];

	ASSERT_NE(NULL, file);
	while (fscanf(file, "%63s %llu%*[^\n]", key, &value) == 2) {
		if (!strcmp(key, "CommitLimit:"))
			limit = value;
		if (!strcmp(key, "Committed_AS:"))
			committed = value;
	}
	fclose(file);
	return (limit - committed) << 10;
}

/*
 * A private mapping lies above the heap's window, and no memory may be
 * committed for it. fork() comes to this mapping after it has cloned the heap.
 */
TEST_F(fork, fails_halfway)
{
	struct heap heap;
	__u64 ref, bytes;
	char *above;

	set_overcommit(_metadata, '2');
	bytes = round_up(commit_left(_metadata) / 4 * 3, POOL);
	above = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	heap = HEAP(.name = "below");
	ref = alloc_one(&heap, 100 * POOL);
	memset(at(&heap, ref), 'r', 100 * POOL);
	EXPECT_NE(MAP_FAILED, above);
	EXPECT_LT((void *)heap.window, (void *)above);
	for (int round = 0; round < 10; round++) {
		EXPECT_EQ(-1, fork());
		EXPECT_EQ(ENOMEM, errno);
	}
	munmap(above, bytes);
	set_overcommit(_metadata, '0');
	EXPECT_TRUE(is_filled(at(&heap, ref), 'r', 100 * POOL));
	memset(at(&heap, ref), 's', 100 * POOL);
	EXPECT_TRUE(is_filled(at(&heap, ref), 's', 100 * POOL));
	heap_check(&heap);
	/* The clones go by themselves, soon. */
	for (__u64 id = heap.id + 1; id <= heap.id + 10; id++)
		while (heap_listed(_metadata, id))
			sched_yield();
	heap_close(&heap);
}

/*
 * The child inherits only a part of the mappings. The rest stays the parent's.
 */
TEST_F(fork, window_kept_from_the_child)
{
	pid_t child;

	ASSERT_EQ(0, madvise(self->heap.window, self->heap.bytes, MADV_DONTFORK));
	IN_CHILD(child, {
		EXPECT_EQ(SIGSEGV, touch(at(&self->heap, refs[0]), false));
		EXPECT_EQ(SIGBUS, touch((char *)self->heap.map, false));
		EXPECT_EQ(MAP_FAILED, mmap(NULL, self->heap.bytes, PROT_READ, MAP_SHARED,
					   self->heap.fd, 0));
		EXPECT_EQ(EPERM, errno);
	});
	add_to_numbers(&self->heap, 1, 1);
	join_child(_metadata, child);
	EXPECT_TRUE(numbers_are(&self->heap, 1, 1));
}

TEST_F(fork, the_window_mapped_again)
{
	pid_t child;

	IN_CHILD(child, {
		char *again = mmap(NULL, self->heap.bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
				   self->heap.fd, 0);

		ASSERT_NE(MAP_FAILED, again);
		*(long *)(again + refs[3]) = 33;
		EXPECT_EQ(33, *number(&self->heap, 3));
	});
	join_child(_metadata, child);
	EXPECT_EQ(3, *number(&self->heap, 3));
}

TEST_F(fork, heap_of_a_child_is_listed)
{
	struct pymalloc_heap_info info;
	__u64 id = self->heap.id;
	pid_t child;

	IN_CHILD(child, {
		info = heap_info(_metadata, self->heap.fd);
		EXPECT_NE(id, info.id);
		EXPECT_EQ(getpid(), info.pid);
		EXPECT_STREQ("fork", info.name);
	});
	join_child(_metadata, child);
	EXPECT_EQ(id, heap_info(_metadata, self->heap.fd).id);
}

struct mapper {
	struct heap *heap;
	pthread_t thread;
	atomic_bool stop;
};

/* Map a second window and unmap it, again and again. */
static void *map_on(void *arg)
{
	struct mapper *mapper = arg;

	while (!atomic_load(&mapper->stop)) {
		void *p = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_SHARED,
			       mapper->heap->fd, ARENA);

		if (p != MAP_FAILED)
			munmap(p, ARENA);
	}
	return NULL;
}

/* A page is copied in the only window, while this window becomes one of two. */
TEST_F(fork, a_second_window_comes_and_goes)
{
	struct mapper mapper = { .heap = &self->heap };
	int ends[2];
	pid_t child;
	char byte;

	ASSERT_EQ(0, pthread_create(&mapper.thread, NULL, map_on, &mapper));
	for (int round = 1; round <= 20; round++) {
		ASSERT_EQ(0, pipe(ends));
		IN_CHILD(child, {
			close(ends[1]);
			EXPECT_EQ(0, read(ends[0], &byte, 1));
			EXPECT_TRUE(numbers_are(&self->heap, 1, round - 1));
		});
		add_to_numbers(&self->heap, 1, 1);
		EXPECT_TRUE(numbers_are(&self->heap, 1, round));
		close(ends[0]);
		close(ends[1]);
		join_child(_metadata, child);
	}
	atomic_store(&mapper.stop, true);
	ASSERT_EQ(0, pthread_join(mapper.thread, NULL));
}

/* A thread that frees blocks and runs in one batch. */
struct mixer {
	pthread_t thread;
	struct heap *heap;
	atomic_bool stop;
	int err;
};

#define MIXED_BLOCKS 64

static int alloc_and_free_mixed(struct heap *heap)
{
	__u64 mixed[MIXED_BLOCKS + 2];
	struct pymalloc_alloc blocks = ARG(alloc, .size = 512, .refs = user_ptr(mixed),
					   .count = MIXED_BLOCKS);
	struct pymalloc_alloc runs = ARG(alloc, .size = 150 * POOL, .count = 2,
					 .refs = user_ptr(mixed + MIXED_BLOCKS));
	struct pymalloc_free batch = ARG(free, .refs = user_ptr(mixed),
					 .count = ARRAY_SIZE(mixed));

	return call(heap->fd, PYMALLOC_IOC_ALLOC, &blocks) ?:
	       call(heap->fd, PYMALLOC_IOC_ALLOC, &runs) ?:
	       call(heap->fd, PYMALLOC_IOC_FREE, &batch);
}

static void *mix_on(void *arg)
{
	struct mixer *mixer = arg;

	while (!atomic_load(&mixer->stop) && !mixer->err)
		mixer->err = alloc_and_free_mixed(mixer->heap);
	return NULL;
}

/*
 * Each batch empties pools of blocks, and then waits for a run to be unmapped. A child
 * that is made meanwhile, and a check, find a sound heap.
 */
TEST_F(fork, batches_of_blocks_and_runs)
{
	struct mixer mixer = { .heap = &self->heap };
	pid_t child;

	ASSERT_EQ(0, pthread_create(&mixer.thread, NULL, mix_on, &mixer));
	for (int round = 0; round < 100; round++) {
		IN_CHILD(child, {
			heap_check(&self->heap);
		});
		heap_check(&self->heap);
		join_child(_metadata, child);
	}
	atomic_store(&mixer.stop, true);
	ASSERT_EQ(0, pthread_join(mixer.thread, NULL));
	EXPECT_EQ(0, mixer.err);
}

/* The process is known even if the child has not used its heap yet. */
TEST_F(fork, process_of_an_idle_child)
{
	struct pymalloc_heap_info infos[64];
	struct pymalloc_list list = ARG(list, .heaps = user_ptr(infos), .after = self->heap.id,
					.count = ARRAY_SIZE(infos), .entry_size = sizeof(*infos));
	int device = device_open(_metadata), found = 0;
	pid_t child = fork();

	if (!child) {
		pause();
		_exit(0);
	}
	ASSERT_EQ(0, call(device, PYMALLOC_IOC_LIST, &list));
	for (__u32 i = 0; i < list.done; i++)
		found += infos[i].pid == child;
	EXPECT_EQ(1, found);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(device);
}

TEST_HARNESS_MAIN
