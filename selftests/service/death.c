// SPDX-License-Identifier: GPL-2.0
/*
 * Processes end in every possible way. Their heaps end with them.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>

#include "service.h"

#define MAX_REFS 20000

/* Allocate, write and free in batches for ever. */
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

static bool is_as_before(struct __test_metadata *_metadata, FIXTURE_DATA(death) *self)
{
	struct pymalloc_info info = service_info(_metadata);

	return info.user_heaps == self->heaps && info.user_bytes == self->bytes;
}

/* Soon nothing is left of the dead process. */
FIXTURE_TEARDOWN(death)
{
	ASSERT_TRUE(EVENTUALLY(is_as_before(_metadata, self)));
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

static void gone(struct __test_metadata *_metadata, __u64 id)
{
	ASSERT_TRUE(EVENTUALLY(!heap_listed(_metadata, id)));
}

static void killed(struct __test_metadata *_metadata, pid_t child, __u64 id)
{
	int status;

	ASSERT_EQ(0, kill(child, SIGKILL));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_TRUE(WIFSIGNALED(status));
	gone(_metadata, id);
}

/* Pass time by work, so that the child is hit at different places. */
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
	gone(_metadata, id);
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

/* A descriptor in another process does not work any more. */
TEST_F(death, descriptor_elsewhere)
{
	struct pymalloc_stats stats = ARG(stats);
	struct pollfd pollfd = {};
	pid_t child = fork();
	__u64 id;

	if (!child) {
		static __u64 refs[100];
		struct heap heap = HEAP();

		alloc(&heap, 512, refs, ARRAY_SIZE(refs));
		tell(self, &heap);
		pause();
	}
	id = hear(_metadata, self);
	pollfd.fd = heap_open(_metadata, id, 0);
	ASSERT_LE(0, pollfd.fd);
	EXPECT_EQ(0, call(pollfd.fd, PYMALLOC_IOC_STATS, &stats));
	EXPECT_EQ(100, stats.blocks);
	EXPECT_EQ(0, poll(&pollfd, 1, 0));
	killed(_metadata, child, id);
	EXPECT_TRUE(EVENTUALLY(is_as_before(_metadata, self)));
	EXPECT_EQ(-ESTALE, call(pollfd.fd, PYMALLOC_IOC_STATS, &stats));
	EXPECT_EQ(1, poll(&pollfd, 1, 0));
	EXPECT_EQ(POLLHUP, pollfd.revents);
	close(pollfd.fd);
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
	gone(_metadata, id);
}

/* A descriptor that stays open across exec keeps nothing alive. */
TEST_F(death, exec_with_the_descriptor)
{
	int exec_closes[2];
	pid_t child;
	char byte;
	__u64 id;

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
	EXPECT_EQ(sizeof(id), read(self->ids[0], &id, sizeof(id)));
	EXPECT_EQ(0, read(exec_closes[0], &byte, 1));
	EXPECT_TRUE(EVENTUALLY(!heap_listed(_metadata, id)));
	EXPECT_TRUE(EVENTUALLY(is_as_before(_metadata, self)));
	killed(_metadata, child, id);
}

/*
 * A core dump reads every page that is there, and passes over all other places.
 */
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
