// SPDX-License-Identifier: GPL-2.0
/*
 * Limits after fork(). The heaps of children count. A process pays as the user
 * that it is. A process can write to all memory that it has.
 */
#include <sys/uio.h>

#include "service.h"

/* These users have nothing but what these tests make. */
#define USER 32345
#define OTHER 32346

#define PAGES 100
#define WRITTEN 20

static const char *const parameters[] = { PARAMETERS "user_heaps", PARAMETERS "user_bytes" };
static unsigned long long usual[ARRAY_SIZE(parameters)];

/*
 * A test that dies leaves the parameters changed. So they are restored at the
 * end, by a process that is root.
 */
static void restore_parameters(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(parameters); i++) {
		FILE *file = fopen(parameters[i], "w");

		if (!file)
			continue;
		fprintf(file, "%llu", usual[i]);
		fclose(file);
	}
}

/*
 * Runs before the first test; the parameters are restored after the last one,
 * because only the process that starts the tests calls exit().
 */
static void __attribute__((constructor)) remember_parameters(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(parameters); i++) {
		FILE *file = fopen(parameters[i], "r");

		if (!file || fscanf(file, "%llu", &usual[i]) != 1)
			return;
		fclose(file);
	}
	atexit(restore_parameters);
}

FIXTURE(fork_limits)
{
	struct turns turns;	/* end 0 belongs to the test */
	struct heap heap;
	__u64 run;
};

static bool has_nothing(struct __test_metadata *_metadata, uid_t uid)
{
	struct pymalloc_info info = info_of(_metadata, uid);

	return !info.user_heaps && !info.user_bytes;
}

static void set_parameter(struct __test_metadata *_metadata, const char *name, __u64 value)
{
	uid_t user = geteuid();

	ASSERT_EQ(0, seteuid(0));
	write_parameter(_metadata, name, value);
	ASSERT_EQ(0, seteuid(user));
}

/* The test runs as USER. Its one heap has a run of PAGES and nothing else. */
FIXTURE_SETUP(fork_limits)
{
	restore_parameters();
	ASSERT_TRUE(EVENTUALLY(has_nothing(_metadata, USER)));
	ASSERT_TRUE(EVENTUALLY(has_nothing(_metadata, OTHER)));
	self->turns = turns_make(_metadata);
	become_user(_metadata, USER);
	self->heap = HEAP(.name = "user's");
	self->run = alloc_one(&self->heap, PAGES * POOL);
	memset(at(&self->heap, self->run), 'r', PAGES * POOL);
	ASSERT_EQ(PAGES * POOL, bytes_of(_metadata, USER));
}

/* Whichever users the processes were: in the end nothing is left. */
FIXTURE_TEARDOWN(fork_limits)
{
	heap_check(&self->heap);
	heap_close(&self->heap);
	EXPECT_TRUE(EVENTUALLY(has_nothing(_metadata, USER)));
	EXPECT_TRUE(EVENTUALLY(has_nothing(_metadata, OTHER)));
	ASSERT_EQ(0, seteuid(0));
	restore_parameters();
}

/*
 * Returns the result of an allocation of one object, and frees the object
 * again.
 */
static int alloc_result(struct heap *heap, __u64 size)
{
	__u64 ref;
	struct pymalloc_alloc arg = ARG(alloc, .size = size, .refs = user_ptr(&ref), .count = 1);
	int ret = call(heap->fd, PYMALLOC_IOC_ALLOC, &arg);

	if (!ret) {
		free_one(heap, ref);
		heap_trim(heap);
	}
	return ret;
}

/*
 * Write to @nr pages of the run from page @first on. Returns how many writes
 * worked.
 */
static int write_pages(struct heap *heap, __u64 run, __u64 first, __u64 nr)
{
	int written = 0;

	for (__u64 i = first; i < first + nr; i++)
		written += !touch(at(heap, run + i * POOL), true);
	return written;
}

/* The rest of each page is as it was before the writes. */
static bool pages_are_right(struct heap *heap, __u64 run)
{
	for (__u64 i = 0; i < PAGES; i++)
		if (!is_filled(at(heap, run + i * POOL) + 1, 'r', POOL - 1))
			return false;
	return true;
}

/*
 * Heaps
 */

/* Make a child that does nothing until it is told to end. */
static pid_t idle_child(struct __test_metadata *_metadata, FIXTURE_DATA(fork_limits) *self)
{
	pid_t child;

	IN_CHILD(child, {
		turns_take(&self->turns, 1);
		turns_around(&self->turns);
		EXPECT_TRUE(pages_are_right(&self->heap, self->run));
	});
	turns_take(&self->turns, 0);
	ASSERT_TRUE(turns_wait(&self->turns));
	return child;
}

static void let_go(struct __test_metadata *_metadata, FIXTURE_DATA(fork_limits) *self,
		   pid_t child)
{
	turns_pass(&self->turns);
	join_child(_metadata, child);
}

TEST_F(fork_limits, heap_of_a_child_counts)
{
	pid_t child;

	set_parameter(_metadata, "user_heaps", 2);
	EXPECT_EQ(0, TRY_HEAP());
	child = idle_child(_metadata, self);
	EXPECT_EQ(2, heaps_of(_metadata, USER));
	EXPECT_EQ(-EDQUOT, TRY_HEAP());
	let_go(_metadata, self, child);
	EXPECT_TRUE(EVENTUALLY(heaps_of(_metadata, USER) == 1));
	EXPECT_EQ(0, TRY_HEAP());
}

/* fork() does not care about a quota. */
TEST_F(fork_limits, fork_passes_the_limit)
{
	struct heap heap = self->heap;
	pid_t child;

	set_parameter(_metadata, "user_heaps", 1);
	child = idle_child(_metadata, self);
	EXPECT_EQ(2, heaps_of(_metadata, USER));
	EXPECT_EQ(-EDQUOT, TRY_HEAP());
	let_go(_metadata, self, child);
	EXPECT_TRUE(EVENTUALLY(heaps_of(_metadata, USER) == 1));
	EXPECT_EQ(-EDQUOT, TRY_HEAP());
	heap_close(&heap);
	EXPECT_TRUE(EVENTUALLY(heaps_of(_metadata, USER) == 0));
	self->heap = HEAP();
}

/*
 * The parent still has descriptors of the children's heaps after the children
 * have gone.
 */
TEST_F(fork_limits, children_leave_nothing)
{
	int fds[30], ids[2], stale = 0;
	__u64 id;

	ASSERT_EQ(0, pipe(ids));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		struct turns turns = turns_make(_metadata);
		pid_t child;

		IN_CHILD(child, {
			turns_take(&turns, 1);
			write_pages(&self->heap, self->run, 0, WRITTEN);
			id = heap_info(_metadata, self->heap.fd).id;
			ASSERT_EQ(sizeof(id), write(ids[1], &id, sizeof(id)));
			turns_wait(&turns);
		});
		turns_take(&turns, 0);
		ASSERT_EQ(sizeof(id), read(ids[0], &id, sizeof(id)));
		keep_looking(_metadata);
		fds[i] = heap_open(_metadata, id, i % 2 ? PYMALLOC_OPEN_RDONLY : 0);
		ASSERT_LE(0, fds[i]);
		turns_pass(&turns);
		join_child(_metadata, child);
		close(turns_end(&turns));
	}
	EXPECT_TRUE(EVENTUALLY(heaps_of(_metadata, USER) == 1));
	EXPECT_TRUE(EVENTUALLY(bytes_of(_metadata, USER) == PAGES * POOL));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		struct pymalloc_stats stats = ARG(stats);

		stale += call(fds[i], PYMALLOC_IOC_STATS, &stats) == -ESTALE;
		close(fds[i]);
	}
	EXPECT_EQ(ARRAY_SIZE(fds), stale);
}

/*
 * Users
 */

/*
 * A child becomes OTHER and does these steps, one each time that the test says
 * so.
 */
static pid_t child_of_other(struct __test_metadata *_metadata, FIXTURE_DATA(fork_limits) *self,
			    void (*first)(struct heap *heap, __u64 run),
			    void (*then)(struct heap *heap, __u64 run))
{
	pid_t child;

	IN_CHILD(child, {
		turns_take(&self->turns, 1);
		become_user(_metadata, OTHER);
		turns_around(&self->turns);
		first(&self->heap, self->run);
		turns_around(&self->turns);
		if (then)
			then(&self->heap, self->run);
		turns_around(&self->turns);
		heap_check(&self->heap);
	});
	turns_take(&self->turns, 0);
	ASSERT_TRUE(turns_wait(&self->turns));
	return child;
}

static void expect_bytes(struct __test_metadata *_metadata, __u64 user, __u64 other)
{
	EXPECT_EQ(user * POOL, bytes_of(_metadata, USER));
	EXPECT_EQ(other * POOL, bytes_of(_metadata, OTHER));
}

static void look(struct heap *heap, __u64 run)
{
	struct __test_metadata *_metadata = heap->test;

	EXPECT_EQ(PAGES * POOL, usable(heap, run));
	EXPECT_EQ(OTHER, heap_info(_metadata, heap->fd).uid);
}

/* Allocate 10 pages of its own. */
static void alloc_ten(struct heap *heap, __u64 run)
{
	alloc_one(heap, 10 * POOL);
	touch(at(heap, run), false);
}

static void write_some(struct heap *heap, __u64 run)
{
	struct __test_metadata *_metadata = heap->test;

	EXPECT_EQ(WRITTEN, write_pages(heap, run, 0, WRITTEN));
}

/* The first call moves the heap, and all of its pages with it. */
TEST_F(fork_limits, call_of_another_user)
{
	pid_t child = child_of_other(_metadata, self, look, alloc_ten);

	ASSERT_TRUE(turns_around(&self->turns));
	expect_bytes(_metadata, PAGES, PAGES);
	EXPECT_EQ(1, heaps_of(_metadata, USER));
	EXPECT_EQ(1, heaps_of(_metadata, OTHER));
	ASSERT_TRUE(turns_around(&self->turns));
	expect_bytes(_metadata, PAGES, PAGES + 10);
	let_go(_metadata, self, child);
}

TEST_F(fork_limits, allocations_of_another_user)
{
	pid_t child = child_of_other(_metadata, self, alloc_ten, write_some);

	ASSERT_TRUE(turns_around(&self->turns));
	expect_bytes(_metadata, PAGES, PAGES + 10);
	/* It copies pages that it has paid for. */
	ASSERT_TRUE(turns_around(&self->turns));
	expect_bytes(_metadata, PAGES, PAGES + 10);
	let_go(_metadata, self, child);
}

/* Without any call, the first page that is copied moves the heap. */
TEST_F(fork_limits, copies_of_another_user)
{
	pid_t child = child_of_other(_metadata, self, write_some, look);

	ASSERT_TRUE(turns_around(&self->turns));
	expect_bytes(_metadata, PAGES, PAGES);
	EXPECT_EQ(1, heaps_of(_metadata, USER));
	EXPECT_EQ(1, heaps_of(_metadata, OTHER));
	ASSERT_TRUE(turns_around(&self->turns));
	expect_bytes(_metadata, PAGES, PAGES);
	let_go(_metadata, self, child);
}

/*
 * The parent copies pages that the child of another user has as well. Nothing
 * changes.
 */
TEST_F(fork_limits, copies_of_the_parent)
{
	pid_t child = child_of_other(_metadata, self, look, NULL);

	ASSERT_TRUE(turns_around(&self->turns));
	EXPECT_EQ(WRITTEN, write_pages(&self->heap, self->run, 0, WRITTEN));
	expect_bytes(_metadata, PAGES, PAGES);
	ASSERT_TRUE(turns_around(&self->turns));
	let_go(_metadata, self, child);
}

/*
 * The parent does not pay any more for what it has freed, whoever else has it.
 */
TEST_F(fork_limits, parent_frees)
{
	pid_t child = child_of_other(_metadata, self, look, write_some);

	ASSERT_TRUE(turns_around(&self->turns));
	free_one(&self->heap, self->run);
	heap_trim(&self->heap);
	expect_bytes(_metadata, 0, PAGES);
	ASSERT_TRUE(turns_around(&self->turns));
	expect_bytes(_metadata, 0, PAGES);
	let_go(_metadata, self, child);
}

static void free_run(struct heap *heap, __u64 run)
{
	free_one(heap, run);
	heap_trim(heap);
}

TEST_F(fork_limits, child_of_another_user_frees)
{
	pid_t child = child_of_other(_metadata, self, look, free_run);

	ASSERT_TRUE(turns_around(&self->turns));
	ASSERT_TRUE(turns_around(&self->turns));
	expect_bytes(_metadata, PAGES, 0);
	let_go(_metadata, self, child);
	EXPECT_TRUE(pages_are_right(&self->heap, self->run));
}

static void alloc_beyond(struct heap *heap, __u64 run)
{
	struct __test_metadata *_metadata = heap->test;

	EXPECT_EQ(-EDQUOT, alloc_result(heap, POOL));
	/*
	 * The heap has moved all the same, and the child can write to all that
	 * it has.
	 */
	EXPECT_EQ(PAGES, write_pages(heap, run, 0, PAGES));
	EXPECT_EQ(PAGES * POOL, bytes_of(_metadata, OTHER));
}

/* Only a user's own heaps use up this user's limit. */
TEST_F(fork_limits, limits_of_two_users)
{
	__u64 limit = limit_of(_metadata, USER, PAGES * POOL);
	pid_t child = child_of_other(_metadata, self, alloc_beyond, free_run);

	set_parameter(_metadata, "user_bytes", limit);
	ASSERT_TRUE(turns_around(&self->turns));
	expect_bytes(_metadata, PAGES, PAGES);
	EXPECT_EQ(-EDQUOT, alloc_result(&self->heap, POOL));
	/* The child frees everything. This makes no room for the parent. */
	ASSERT_TRUE(turns_around(&self->turns));
	expect_bytes(_metadata, PAGES, 0);
	EXPECT_EQ(-EDQUOT, alloc_result(&self->heap, POOL));
	set_parameter(_metadata, "user_bytes",
		      limit_of(_metadata, USER, (PAGES + 1) * POOL + PAGE_META_MIN));
	EXPECT_EQ(0, alloc_result(&self->heap, POOL));
	let_go(_metadata, self, child);
}

/* As soon as the heap has moved, the old user has room again. */
TEST_F(fork_limits, room_for_the_old_user)
{
	pid_t child = child_of_other(_metadata, self, alloc_ten, NULL);

	set_parameter(_metadata, "user_bytes", limit_of(_metadata, USER, (PAGES + 10) * POOL));
	ASSERT_TRUE(turns_around(&self->turns));
	expect_bytes(_metadata, PAGES, PAGES + 10);
	EXPECT_EQ(0, alloc_result(&self->heap, 10 * POOL));
	free_run(&self->heap, self->run);
	EXPECT_EQ(0, alloc_result(&self->heap, (PAGES + 10) * POOL));
	ASSERT_TRUE(turns_around(&self->turns));
	let_go(_metadata, self, child);
}

/* The parent, too, may become another user. Its child keeps the old one. */
TEST_F(fork_limits, parent_becomes_another_user)
{
	pid_t child = idle_child(_metadata, self);

	become_user(_metadata, OTHER);
	EXPECT_EQ(OTHER, heap_info(_metadata, self->heap.fd).uid);
	expect_bytes(_metadata, PAGES, PAGES);
	free_run(&self->heap, self->run);
	expect_bytes(_metadata, PAGES, 0);
	let_go(_metadata, self, child);
}

/* Of three heaps, two stay with the user. They pay once for what both have. */
TEST_F(fork_limits, grandchild_of_another_user)
{
	pid_t child, grandchild;

	IN_CHILD(child, {
		grandchild = child_of_other(_metadata, self, look, NULL);
		ASSERT_TRUE(turns_around(&self->turns));
		expect_bytes(_metadata, PAGES, PAGES);
		EXPECT_EQ(2, heaps_of(_metadata, USER));
		EXPECT_EQ(WRITTEN, write_pages(&self->heap, self->run, 0, WRITTEN));
		expect_bytes(_metadata, PAGES + WRITTEN, PAGES);
		free_run(&self->heap, self->run);
		expect_bytes(_metadata, PAGES, PAGES);
		ASSERT_TRUE(turns_around(&self->turns));
		let_go(_metadata, self, grandchild);
	});
	join_child(_metadata, child);
	EXPECT_TRUE(EVENTUALLY(has_nothing(_metadata, OTHER)));
	expect_bytes(_metadata, PAGES, 0);
}

/* As a server does it: for good, with no way back to the old user. */
TEST_F(fork_limits, setuid)
{
	struct turns *turns = &self->turns;
	pid_t child;

	IN_CHILD(child, {
		turns_take(turns, 1);
		ASSERT_EQ(0, seteuid(0));
		ASSERT_EQ(0, setuid(OTHER));
		alloc_one(&self->heap, 10 * POOL);
		EXPECT_EQ((PAGES + 10) * POOL, own_bytes(_metadata));
		EXPECT_EQ(1, service_info(_metadata).user_heaps);
		EXPECT_EQ(OTHER, heap_info(_metadata, self->heap.fd).uid);
		EXPECT_TRUE(heap_listed(_metadata, heap_info(_metadata, self->heap.fd).id));
		turns_around(turns);
		heap_check(&self->heap);
	});
	turns_take(turns, 0);
	ASSERT_TRUE(turns_wait(turns));
	expect_bytes(_metadata, PAGES, PAGES + 10);
	EXPECT_EQ(1, heaps_of(_metadata, USER));
	let_go(_metadata, self, child);
}

/*
 * When only the effective user changes and changes back, the heap does not
 * move.
 */
TEST_F(fork_limits, seteuid)
{
	pid_t child;

	IN_CHILD(child, {
		ASSERT_EQ(0, seteuid(0));
		ASSERT_EQ(0, seteuid(OTHER));
		alloc_one(&self->heap, 10 * POOL);
		EXPECT_EQ(USER, heap_info(_metadata, self->heap.fd).uid);
		expect_bytes(_metadata, PAGES + 10, 0);
	});
	join_child(_metadata, child);
}

/*
 * Bytes: a process can write to all memory that it has.
 */

static void limit_to_what_is_there(struct __test_metadata *_metadata)
{
	set_parameter(_metadata, "user_bytes", info_of(_metadata, USER).user_bytes);
}

TEST_F(fork_limits, parent_writes_past_the_limit)
{
	pid_t child;

	limit_to_what_is_there(_metadata);
	child = idle_child(_metadata, self);
	EXPECT_EQ(PAGES, write_pages(&self->heap, self->run, 0, PAGES));
	expect_bytes(_metadata, 2 * PAGES, 0);
	EXPECT_EQ(-EDQUOT, alloc_result(&self->heap, POOL));
	let_go(_metadata, self, child);
	EXPECT_TRUE(EVENTUALLY(bytes_of(_metadata, USER) == PAGES * POOL));
	EXPECT_EQ(-EDQUOT, alloc_result(&self->heap, POOL));
	EXPECT_TRUE(pages_are_right(&self->heap, self->run));
	free_run(&self->heap, self->run);
	EXPECT_EQ(0, alloc_result(&self->heap, PAGES * POOL));
}

TEST_F(fork_limits, child_writes_past_the_limit)
{
	pid_t child;

	limit_to_what_is_there(_metadata);
	IN_CHILD(child, {
		EXPECT_EQ(PAGES, write_pages(&self->heap, self->run, 0, PAGES));
		expect_bytes(_metadata, 2 * PAGES, 0);
		EXPECT_EQ(-EDQUOT, alloc_result(&self->heap, POOL));
		EXPECT_TRUE(pages_are_right(&self->heap, self->run));
		free_run(&self->heap, self->run);
		expect_bytes(_metadata, PAGES, 0);
		heap_check(&self->heap);
	});
	join_child(_metadata, child);
	EXPECT_TRUE(is_filled(at(&self->heap, self->run), 'r', PAGES * POOL));
}

/* A limit that is now lower than what is there already takes nothing away. */
TEST_F(fork_limits, limit_of_one_page)
{
	pid_t child;

	set_parameter(_metadata, "user_bytes", POOL);
	child = idle_child(_metadata, self);
	EXPECT_EQ(PAGES, write_pages(&self->heap, self->run, 0, PAGES));
	EXPECT_EQ(-EDQUOT, alloc_result(&self->heap, POOL));
	let_go(_metadata, self, child);
}

/* A pool with free blocks serves new ones, which the kernel clears. */
TEST_F(fork_limits, kernel_clears_past_the_limit)
{
	__u64 blocks[8], zeroed[4], before;
	pid_t child;

	alloc(&self->heap, 512, blocks, ARRAY_SIZE(blocks));
	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++)
		memset(at(&self->heap, blocks[i]), 'b', 512);
	free_all(&self->heap, blocks + 4, 4);
	limit_to_what_is_there(_metadata);
	child = idle_child(_metadata, self);
	before = bytes_of(_metadata, USER);
	alloc_flags(&self->heap, 512, zeroed, ARRAY_SIZE(zeroed), PYMALLOC_ALLOC_ZERO);
	for (size_t i = 0; i < ARRAY_SIZE(zeroed); i++)
		EXPECT_TRUE(is_filled(at(&self->heap, zeroed[i]), 0, 512));
	for (size_t i = 0; i < 4; i++)
		EXPECT_TRUE(is_filled(at(&self->heap, blocks[i]), 'b', 512));
	EXPECT_EQ(before + POOL, bytes_of(_metadata, USER));
	let_go(_metadata, self, child);
}

/* The same with blocks that move to where there is room. */
TEST_F(fork_limits, kernel_moves_past_the_limit)
{
	struct pymalloc_resize arg;
	__u64 small, large[2];
	pid_t child;

	small = alloc_one(&self->heap, 64);
	memset(at(&self->heap, small), 's', 64);
	alloc(&self->heap, 256, large, ARRAY_SIZE(large));
	memset(at(&self->heap, large[0]), 'l', 256);
	limit_to_what_is_there(_metadata);
	child = idle_child(_metadata, self);
	arg = (struct pymalloc_resize)ARG(resize, .ref = small, .size = 256);
	EXPECT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_RESIZE, &arg));
	EXPECT_EQ(arg.ref & -POOL, large[0] & -POOL);
	EXPECT_TRUE(is_filled(at(&self->heap, arg.ref), 's', 64));
	EXPECT_TRUE(is_filled(at(&self->heap, large[0]), 'l', 256));
	heap_check(&self->heap);
	let_go(_metadata, self, child);
}

/* The same with system calls that write to the process's memory. */
TEST_F(fork_limits, system_calls_past_the_limit)
{
	long value = 42;
	struct iovec from = { &value, sizeof(value) };
	__u64 written = 0;
	pid_t child;
	int zero;

	limit_to_what_is_there(_metadata);
	child = idle_child(_metadata, self);
	for (__u64 i = 0; i < PAGES / 2; i++) {
		struct iovec to = { at(&self->heap, self->run + i * POOL), sizeof(value) };

		written += process_vm_writev(getpid(), &from, 1, &to, 1, 0) == 8 &&
			   *(long *)to.iov_base == 42;
	}
	EXPECT_EQ(PAGES / 2, written);
	zero = open("/dev/zero", O_RDONLY);
	EXPECT_EQ(PAGES / 2 * POOL, read(zero, at(&self->heap, self->run + PAGES / 2 * POOL),
					 PAGES / 2 * POOL));
	close(zero);
	expect_bytes(_metadata, 2 * PAGES, 0);
	let_go(_metadata, self, child);
}

/*
 * Many children write at the same time. Each keeps what it had, whatever the
 * sum is.
 */
TEST_F(fork_limits, storm_past_the_limit)
{
	pid_t children[20];

	limit_to_what_is_there(_metadata);
	for (size_t i = 0; i < ARRAY_SIZE(children); i++)
		IN_CHILD(children[i], {
			EXPECT_EQ(PAGES, write_pages(&self->heap, self->run, 0, PAGES));
			EXPECT_TRUE(pages_are_right(&self->heap, self->run));
			heap_check(&self->heap);
		});
	for (size_t i = 0; i < ARRAY_SIZE(children); i++)
		join_child(_metadata, children[i]);
	EXPECT_TRUE(is_filled(at(&self->heap, self->run), 'r', PAGES * POOL));
	EXPECT_TRUE(EVENTUALLY(bytes_of(_metadata, USER) == PAGES * POOL));
}

TEST_HARNESS_MAIN
