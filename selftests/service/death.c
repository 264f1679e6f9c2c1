// SPDX-License-Identifier: GPL-2.0
/*
 * Processes that end, in every way there is: their heaps go with them.
 */
#include <pthread.h>
#include <sys/resource.h>

#include "service.h"

#define MAX_REFS 20000

/* Allocates, writes and frees in batches for ever. */
static void churn(struct heap *heap)
{
	__u64 refs[MAX_REFS];
	__u64 seed = heap->id;

	for (;;) {
		__u64 size = 1 + next_random(&seed) % 600;
		__u32 count = 1 + next_random(&seed) % (size > 512 ? 500 : MAX_REFS);

		alloc(heap, size, refs, count);
		for (__u32 i = 0; i < count; i += 16)
			*at(heap, refs[i]) = 'x';
		free_all(heap, refs, count);
	}
}

FIXTURE(death)
{
	int ids[2];		/* the child writes its heap's number there */
	__u32 heaps;
	__u64 bytes;
};

FIXTURE_SETUP(death)
{
	struct pymalloc_info info = service_info(_metadata);

	self->heaps = info.user_heaps;
	self->bytes = info.user_bytes;
	ASSERT_EQ(0, pipe(self->ids));
}

/* Nothing of the dead is left. */
FIXTURE_TEARDOWN(death)
{
	struct pymalloc_info info = service_info(_metadata);

	ASSERT_EQ(self->heaps, info.user_heaps);
	ASSERT_EQ(self->bytes, info.user_bytes);
}

static void tell(FIXTURE_DATA(death) *self, struct heap *heap)
{
	if (write(self->ids[1], &heap->id, sizeof(heap->id)) != sizeof(heap->id))
		_exit(1);
}

static __u64 hear(struct __test_metadata *_metadata, FIXTURE_DATA(death) *self)
{
	__u64 id;

	ASSERT_EQ(sizeof(id), read(self->ids[0], &id, sizeof(id)));
	ASSERT_TRUE(heap_listed(_metadata, id));
	return id;
}

static void killed(struct __test_metadata *_metadata, pid_t child, __u64 id)
{
	int status;

	ASSERT_EQ(0, kill(child, SIGKILL));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_TRUE(WIFSIGNALED(status));
	ASSERT_FALSE(heap_listed(_metadata, id));
}

/* Time passes by work: what the child is at when it is hit differs. */
static void pass_some_time(struct __test_metadata *_metadata, int amount)
{
	for (int i = 0; i < amount; i++)
		service_info(_metadata);
}

TEST_F(death, killed_in_a_batch)
{
	for (int round = 0; round < 30; round++) {
		pid_t child = fork();
		__u64 id;

		if (!child) {
			struct heap heap = HEAP();

			tell(self, &heap);
			churn(&heap);
		}
		id = hear(_metadata, self);
		pass_some_time(_metadata, round * 20);
		killed(_metadata, child, id);
	}
}

static void *churn_in_thread(void *heap)
{
	churn(heap);
	return NULL;
}

TEST_F(death, killed_with_threads)
{
	for (int round = 0; round < 5; round++) {
		pid_t child = fork();
		__u64 id;

		if (!child) {
			struct heap heap = HEAP();
			struct heap other = HEAP();
			pthread_t thread;

			if (pthread_create(&thread, NULL, churn_in_thread, &other))
				_exit(1);
			tell(self, &heap);
			churn(&heap);
		}
		id = hear(_metadata, self);
		pass_some_time(_metadata, round * 50);
		killed(_metadata, child, id);
	}
}

TEST_F(death, exit_with_all_in_use)
{
	pid_t child = fork();
	__u64 id;

	if (!child) {
		static __u64 refs[MAX_REFS];
		struct heap heap = HEAP();

		alloc(&heap, 100, refs, MAX_REFS);
		alloc_one(&heap, 1 << 20);
		memset(at(&heap, refs[0]), 'x', 100);
		tell(self, &heap);
		_exit(0);
	}
	ASSERT_EQ(sizeof(id), read(self->ids[0], &id, sizeof(id)));
	join_child(_metadata, child);
	EXPECT_FALSE(heap_listed(_metadata, id));
}

TEST_F(death, by_sigsegv)
{
	pid_t child = fork();
	int status;

	if (!child) {
		struct heap heap = HEAP();

		tell(self, &heap);
		signal(SIGBUS, SIG_DFL);
		__atomic_store_n(heap.window, 'x', __ATOMIC_RELAXED);
		_exit(0);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGBUS, WTERMSIG(status));
}

/* What another process holds survives its maker, as something to look at. */
TEST_F(death, descriptor_survives)
{
	pid_t child = fork();
	struct heap left = { .test = _metadata };
	struct pymalloc_alloc arg;

	if (!child) {
		static __u64 refs[100];
		struct heap heap = HEAP();

		alloc(&heap, 512, refs, ARRAY_SIZE(refs));
		tell(self, &heap);
		pause();
	}
	left.id = hear(_metadata, self);
	left.fd = heap_open(_metadata, left.id, 0);
	ASSERT_LE(0, left.fd);
	ASSERT_EQ(0, kill(child, SIGKILL));
	ASSERT_EQ(child, waitpid(child, NULL, 0));
	EXPECT_EQ(100, heap_stats(&left).blocks);
	heap_trim(&left);
	heap_check(&left);
	arg = (struct pymalloc_alloc)ARG(alloc, .refs = user_ptr(&left.id), .size = 8, .count = 1);
	EXPECT_EQ(-EPERM, call(left.fd, PYMALLOC_IOC_ALLOC, &arg));
	close(left.fd);
	EXPECT_FALSE(heap_listed(_metadata, left.id));
}

/* exec ends the address space, and close-on-exec the descriptors. */
TEST_F(death, exec)
{
	pid_t child = fork();
	int status;
	__u64 id;

	if (!child) {
		struct heap heap = HEAP();

		alloc_one(&heap, 1 << 20);
		tell(self, &heap);
		execl("/bin/true", "true", NULL);
		_exit(1);
	}
	ASSERT_EQ(sizeof(id), read(self->ids[0], &id, sizeof(id)));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_EQ(0, status);
	EXPECT_FALSE(heap_listed(_metadata, id));
}

/* A descriptor kept open across exec keeps the heap, for nobody to change. */
TEST_F(death, exec_with_the_descriptor)
{
	struct heap left = { .test = _metadata };
	int exec_closes[2];
	pid_t child;
	char byte;

	ASSERT_EQ(0, pipe2(exec_closes, O_CLOEXEC));
	child = fork();
	if (!child) {
		struct heap heap = HEAP();

		alloc_one(&heap, 1 << 20);
		fcntl(heap.fd, F_SETFD, 0);
		tell(self, &heap);
		execl("/bin/sleep", "sleep", "infinity", NULL);
		_exit(1);
	}
	close(exec_closes[1]);
	ASSERT_EQ(0, read(exec_closes[0], &byte, 1));
	left.id = hear(_metadata, self);
	left.fd = heap_open(_metadata, left.id, 0);
	ASSERT_LE(0, left.fd);
	EXPECT_EQ(1 << 20, heap_stats(&left).page_bytes);
	heap_check(&left);
	close(left.fd);
	killed(_metadata, child, left.id);
}

/* A core dump reads every page there is, and passes over the others. */
TEST_F(death, core_dump)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	pid_t child = fork();
	int status;

	if (!child) {
		struct heap heap = HEAP(.window = 4 << 20);
		int filter = open("/proc/self/coredump_filter", O_WRONLY);

		memset(at(&heap, alloc_one(&heap, 100000)), 'x', 100000);
		if (chdir("/tmp") || write(filter, "0xff", 4) != 4 ||
		    setrlimit(RLIMIT_CORE, &unlimited))
			_exit(1);
		abort();
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGABRT, WTERMSIG(status));
	EXPECT_TRUE(WCOREDUMP(status));
}

TEST_HARNESS_MAIN
