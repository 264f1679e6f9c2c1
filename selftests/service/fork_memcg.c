// SPDX-License-Identifier: GPL-2.0
/*
 * The memory cgroup of a heap pays for copies of pages that heaps share since
 * fork(), whoever writes. At the limit of the cgroup, the writer gets a SIGBUS.
 * The OOM killer kills nobody.
 */
#include <sched.h>
#include <stdatomic.h>
#include <sys/uio.h>

#define GROUP "/sys/fs/cgroup/pymalloc-fork-test"
#include "cgroup.h"

#define BYTES (16 * MIB)
#define PAGES (BYTES / POOL)

FIXTURE(fork_memcg)
{
	struct turns turns;	/* end 0 belongs to the test */
	struct heap heap;
	__u64 run;
	int log;
};

/* The heap is made in the group. Then its process leaves the group. */
FIXTURE_SETUP(fork_memcg)
{
	self->turns = turns_make(_metadata);
	self->log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	ASSERT_LE(0, self->log) TH_LOG("/dev/kmsg: %m");
	ASSERT_LE(0, lseek(self->log, 0, SEEK_END));
	group_make(_metadata);
	self->heap = HEAP();
	self->run = alloc_one(&self->heap, BYTES);
	memset(at(&self->heap, self->run), 'r', BYTES);
	group_leave(_metadata);
}

/* Does the kernel's log say that it has killed a process for memory? */
static bool log_has_oom(int log)
{
	char record[8192];
	ssize_t length;

	/*
	 * EPIPE means that records were lost. The next ones can still be read.
	 */
	while ((length = read(log, record, sizeof(record) - 1)) > 0 || errno == EPIPE) {
		record[length > 0 ? length : 0] = '\0';
		if (strstr(record, "oom-kill") || strstr(record, "Out of memory") ||
		    strstr(record, "out of memory"))
			return true;
	}
	return false;
}

FIXTURE_TEARDOWN(fork_memcg)
{
	EXPECT_EQ(0, read_group(_metadata, "memory.events", "oom_kill"));
	EXPECT_FALSE(log_has_oom(self->log));
	heap_check(&self->heap);
	heap_close(&self->heap);
	/* The heaps of children keep the group until they have gone. */
	ASSERT_TRUE(EVENTUALLY(!rmdir(GROUP))) TH_LOG("%m");
}

/*
 * Write to the pages of the run, up to the first write that fails. Returns how
 * many worked.
 */
static __u64 write_run(struct heap *heap, __u64 run)
{
	struct __test_metadata *_metadata = heap->test;
	__u64 i;

	for (i = 0; i < PAGES; i++) {
		int fault = touch(at(heap, run + i * POOL), true);

		if (fault) {
			EXPECT_EQ(SIGBUS, fault);
			break;
		}
	}
	return i;
}

static void grows(struct __test_metadata *_metadata, __u64 before, __u64 bytes)
{
	EXPECT_LE(before + bytes - SLACK, charged(_metadata));
	EXPECT_GE(before + bytes + SLACK, charged(_metadata));
}

/* Make a child that does nothing until it is told to end. */
static pid_t idle_child(struct __test_metadata *_metadata, FIXTURE_DATA(fork_memcg) *self)
{
	pid_t child;

	IN_CHILD(child, {
		turns_take(&self->turns, 1);
		turns_around(&self->turns);
		EXPECT_TRUE(is_filled(at(&self->heap, self->run), 'r', BYTES));
	});
	turns_take(&self->turns, 0);
	ASSERT_TRUE(turns_wait(&self->turns));
	return child;
}

static void let_go(struct __test_metadata *_metadata, FIXTURE_DATA(fork_memcg) *self,
		   pid_t child)
{
	turns_pass(&self->turns);
	join_child(_metadata, child);
}

/* The parent writes from outside the group, and the group pays. */
TEST_F(fork_memcg, copies_of_the_parent)
{
	pid_t child = idle_child(_metadata, self);
	__u64 before = charged(_metadata);

	EXPECT_LE(BYTES - SLACK, before);
	EXPECT_EQ(PAGES, write_run(&self->heap, self->run));
	grows(_metadata, before, BYTES);
	let_go(_metadata, self, child);
	EXPECT_TRUE(EVENTUALLY(charged(_metadata) <= before + SLACK));
}

/*
 * The parent enters the group again to fork. Its child leaves the group and
 * writes.
 */
TEST_F(fork_memcg, copies_of_a_child)
{
	pid_t child;

	write_group(_metadata, "cgroup.procs", getpid());
	IN_CHILD(child, {
		__u64 before;

		group_leave(_metadata);
		before = charged(_metadata);
		EXPECT_EQ(PAGES, write_run(&self->heap, self->run));
		grows(_metadata, before, BYTES);
	});
	group_leave(_metadata);
	join_child(_metadata, child);
	EXPECT_TRUE(is_filled(at(&self->heap, self->run), 'r', BYTES));
}

/*
 * If a process forks outside the group, its child's heap is outside. The group
 * outside pays for this heap's copies.
 */
TEST_F(fork_memcg, copies_of_a_child_from_outside)
{
	pid_t child;

	IN_CHILD(child, {
		__u64 before = charged(_metadata);

		EXPECT_EQ(PAGES, write_run(&self->heap, self->run));
		grows(_metadata, before, 0);
	});
	join_child(_metadata, child);
}

/*
 * At the limit, the write is SIGBUS. Nothing is lost, and with more room it
 * goes on.
 */
TEST_F(fork_memcg, parent_at_the_limit)
{
	pid_t child = idle_child(_metadata, self);
	__u64 written;

	write_group(_metadata, "memory.max", charged(_metadata) + 4 * MIB);
	written = write_run(&self->heap, self->run);
	EXPECT_LE((4 * MIB - SLACK) / POOL, written);
	EXPECT_GE((4 * MIB + SLACK) / POOL, written);
	/* Pages that could not be written to can be read. */
	EXPECT_TRUE(is_filled(at(&self->heap, self->run + written * POOL), 'r',
			      BYTES - written * POOL));
	heap_check(&self->heap);
	write_group(_metadata, "memory.max", 256 * MIB);
	EXPECT_EQ(PAGES, write_run(&self->heap, self->run));
	let_go(_metadata, self, child);
}

/*
 * The kernel's own writes fail as well, after the CPUs have used up what they
 * had charged in advance.
 */
static bool writes_from_outside_fail(struct heap *heap, __u64 run)
{
	for (__u64 i = 1; i <= SLACK / POOL; i++) {
		struct iovec from = { "x", 1 }, to = { at(heap, run + BYTES - i * POOL), 1 };

		if (process_vm_writev(getpid(), &from, 1, &to, 1, 0) < 0)
			return errno == EFAULT;
	}
	return false;
}

TEST_F(fork_memcg, child_at_the_limit)
{
	pid_t child;

	write_group(_metadata, "cgroup.procs", getpid());
	IN_CHILD(child, {
		__u64 written;

		group_leave(_metadata);
		write_group(_metadata, "memory.max", charged(_metadata) + 4 * MIB);
		written = write_run(&self->heap, self->run);
		EXPECT_LE((4 * MIB - SLACK) / POOL, written);
		EXPECT_GE((4 * MIB + SLACK) / POOL, written);
		heap_check(&self->heap);
		EXPECT_TRUE(writes_from_outside_fail(&self->heap, self->run));
		write_group(_metadata, "memory.max", 256 * MIB);
	});
	group_leave(_metadata);
	join_child(_metadata, child);
	EXPECT_TRUE(is_filled(at(&self->heap, self->run), 'r', BYTES));
}

/*
 * Shared memory in which a process that may not allocate anything says how far
 * it is.
 */
static atomic_int *new_stage(struct __test_metadata *_metadata)
{
	atomic_int *stage = mmap(NULL, sizeof(*stage), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, stage);
	atomic_store(stage, 0);
	return stage;
}

static void next_stage(atomic_int *stage, int number)
{
	atomic_store(stage, number);
	while (atomic_load(stage) == number)
		sched_yield();
}

/*
 * A writer inside the group gets SIGBUS as well. Everything else that it needs
 * is there before the limit comes.
 */
TEST_F(fork_memcg, writer_in_the_group)
{
	atomic_int *stage = new_stage(_metadata);
	pid_t child;

	write_group(_metadata, "cgroup.procs", getpid());
	IN_CHILD(child, {
		EXPECT_EQ(SIGBUS, touch(at(&self->heap, 0), true));
		EXPECT_EQ(0, touch(at(&self->heap, self->run), true));
		/* The page tables: a fault that gets none ends the process. */
		for (__u64 i = 0; i < PAGES; i++)
			EXPECT_EQ(0, touch(at(&self->heap, self->run + i * POOL), false));
		next_stage(stage, 1);
		EXPECT_GT(PAGES, write_run(&self->heap, self->run));
		next_stage(stage, 3);
		EXPECT_EQ(PAGES, write_run(&self->heap, self->run));
	});
	group_leave(_metadata);
	ASSERT_TRUE(EVENTUALLY(atomic_load(stage) == 1));
	write_group(_metadata, "memory.max", charged(_metadata) + 4 * MIB);
	atomic_store(stage, 2);
	/* Or until it has been killed, which must not happen. */
	EXPECT_TRUE(EVENTUALLY(atomic_load(stage) == 3));
	write_group(_metadata, "memory.max", 256 * MIB);
	atomic_store(stage, 4);
	join_child(_metadata, child);
	EXPECT_TRUE(is_filled(at(&self->heap, self->run), 'r', BYTES));
}

TEST_HARNESS_MAIN
