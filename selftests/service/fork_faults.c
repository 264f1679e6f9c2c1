// SPDX-License-Identifier: GPL-2.0
/*
 * fork() and what follows it, without memory. Every single allocation fails
 * once: alone, together with the next one, and together with all that follow.
 * Whatever fails, the parent keeps everything, and a child has either
 * everything or nothing. Only a debug kernel can make its allocations fail.
 */
#include <limits.h>

#include "service.h"

#define OBJECTS 500
#define SIZE 200
#define RUN_PAGES 10

static __u64 refs[OBJECTS];

/*
 * What fails on purpose, and how. 'N' means no: then allocations that may sleep
 * fail, too.
 */
static const struct setting {
	const char *path;
	const char *value;
	const char *usual;
} settings[] = {
	{ "/sys/kernel/debug/failslab/ignore-gfp-wait", "N", "Y" },
	{ "/sys/kernel/debug/failslab/verbose", "0", "2" },
	{ "/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N", "Y" },
	{ "/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem", "N", "Y" },
	{ "/sys/kernel/debug/fail_page_alloc/min-order", "0", "1" },
	{ "/sys/kernel/debug/fail_page_alloc/verbose", "0", "2" },
	{ "/sys/kernel/debug/fail_usercopy/verbose", "0", "2" },
};

FIXTURE(fork_faults)
{
	struct heap heap;
	__u64 run;
	__u32 heaps;	/* of the user, before those of the test */
	__u64 bytes;
	int *without;	/* children that have got no heap */
};

FIXTURE_SETUP(fork_faults)
{
	struct pymalloc_info info = service_info(_metadata);

	if (access("/proc/self/fail-nth", F_OK))
		SKIP(return, "no /proc/self/fail-nth: this kernel has no fault injection");
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		write_text(_metadata, settings[i].path, settings[i].value);
	self->without = mmap(NULL, sizeof(*self->without), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->without);
	self->heaps = info.user_heaps;
	self->bytes = info.user_bytes;
	self->heap = HEAP(.window = 32 * ARENA);
	alloc(&self->heap, SIZE, refs, OBJECTS);
	for (int i = 0; i < OBJECTS; i++)
		*(int *)at(&self->heap, refs[i]) = i;
	self->run = alloc_one(&self->heap, RUN_PAGES * POOL);
	memset(at(&self->heap, self->run), 'r', RUN_PAGES * POOL);
}

static bool is_back(struct __test_metadata *_metadata, FIXTURE_DATA(fork_faults) *self)
{
	struct pymalloc_info info = service_info(_metadata);

	return info.user_heaps == self->heaps && info.user_bytes == self->bytes;
}

FIXTURE_TEARDOWN(fork_faults)
{
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		write_text(_metadata, settings[i].path, settings[i].usual);
	heap_check(&self->heap);
	heap_close(&self->heap);
	EXPECT_TRUE(EVENTUALLY(is_back(_metadata, self)));
}

/*
 * May be called while allocations fail, because it asks the kernel for nothing.
 */
static bool contents_are_right(struct heap *heap, __u64 run)
{
	for (int i = 0; i < OBJECTS; i++)
		if (*(int *)at(heap, refs[i]) != i)
			return false;
	return is_filled(at(heap, run), 'r', RUN_PAGES * POOL);
}

/*
 * One failure: the n-th request of this task that may fail does fail.
 */

static int nth_fd = -1;

static void nth_open(struct __test_metadata *_metadata)
{
	nth_fd = open("/proc/thread-self/fail-nth", O_RDWR);
	ASSERT_LE(0, nth_fd);
}

static void nth_arm(int n)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%d", n);

	if (pwrite(nth_fd, text, length, 0) != length)
		_exit(1);
}

/* Turn it off. Returns whether something has failed since it was armed. */
static bool nth_disarm(void)
{
	char left[16] = "";
	ssize_t length = pread(nth_fd, left, sizeof(left) - 1, 0);

	/* The read itself was what failed. */
	if (length < 0)
		return false;
	/* This write may be what fails, too. */
	while (pwrite(nth_fd, "0", 1, 0) != 1)
		;
	return !atoi(left);
}

/*
 * A child of a fork() in which something failed has either all objects or
 * nothing.
 */
static void look_at_inheritance(struct __test_metadata *_metadata, FIXTURE_DATA(fork_faults) *self)
{
	__u64 ref;
	struct pymalloc_alloc alloc = ARG(alloc, .refs = user_ptr(&ref), .size = 8, .count = 1);
	struct heap *heap = &self->heap;
	int fault = touch(at(heap, refs[0]), false);

	if (fault) {
		++*self->without;
		EXPECT_EQ(SIGBUS, fault);
		EXPECT_EQ(SIGBUS, touch(at(heap, self->run), false));
		EXPECT_EQ(SIGBUS, touch(at(heap, self->run), true));
		EXPECT_EQ(SIGBUS, touch((char *)heap->map, false));
		EXPECT_EQ(-EPERM, call(heap->fd, PYMALLOC_IOC_ALLOC, &alloc));
		return;
	}
	EXPECT_EQ(0, touch((char *)heap->map, false));
	EXPECT_TRUE(contents_are_right(heap, self->run));
	heap_check(heap);
	free_all(heap, refs, OBJECTS);
	memset(at(heap, self->run), 'c', RUN_PAGES * POOL);
	heap_check(heap);
}

/* The parent shows no sign of what has failed. */
static void look_at_parent(struct __test_metadata *_metadata, FIXTURE_DATA(fork_faults) *self)
{
	ASSERT_TRUE(contents_are_right(&self->heap, self->run));
	*(int *)at(&self->heap, refs[1]) = 1;
	memset(at(&self->heap, self->run), 'r', POOL);
	heap_check(&self->heap);
}

/* Returns whether something failed. */
static bool fork_failing(struct __test_metadata *_metadata, FIXTURE_DATA(fork_faults) *self, int n)
{
	bool failed;
	pid_t child;
	int error;

	nth_arm(n);
	child = fork();
	error = errno;
	/* A child does not inherit this: it is not armed. */
	if (!child) {
		look_at_inheritance(_metadata, self);
		_exit(0);
	}
	failed = nth_disarm();
	if (child > 0)
		join_child(_metadata, child);
	else
		EXPECT_TRUE(failed) TH_LOG("number %d: %s", n, strerror(error));
	look_at_parent(_metadata, self);
	return failed;
}

TEST_F(fork_faults, each_allocation_of_a_fork)
{
	int n = 1;

	nth_open(_metadata);
	while (fork_failing(_metadata, self, n))
		n++;
	/* To clone a heap alone takes more requests than that. */
	EXPECT_LT(20, n);
	EXPECT_LT(0, *self->without);
	TH_LOG("%d allocations, %d children without a heap", n - 1, *self->without);
}

/* In a child that has a heap: the first calls that it makes. */
static bool call_failing(struct __test_metadata *_metadata, FIXTURE_DATA(fork_faults) *self, int n)
{
	struct heap *heap = &self->heap;
	bool *failed = mmap(NULL, sizeof(*failed), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	bool result;
	pid_t child;

	ASSERT_NE(MAP_FAILED, failed);
	IN_CHILD(child, {
		__u64 more[300] = {};
		struct pymalloc_alloc arg = ARG(alloc, .refs = user_ptr(more), .size = 64,
						.count = ARRAY_SIZE(more),
						.flags = PYMALLOC_ALLOC_ZERO);
		int ret;

		nth_open(_metadata);
		nth_arm(n);
		ret = call(heap->fd, PYMALLOC_IOC_ALLOC, &arg);
		*failed = nth_disarm();
		EXPECT_TRUE(!ret || (*failed && (ret == -ENOMEM || ret == -EFAULT)))
			TH_LOG("number %d: %d", n, ret);
		/*
		 * If the struct itself could not be written back, nothing is
		 * known of the rest.
		 */
		if (ret != -EFAULT)
			EXPECT_EQ(OBJECTS + arg.done, heap_stats(heap).blocks);
		for (__u32 i = 0; i < arg.done; i++)
			EXPECT_TRUE(is_filled(at(heap, more[i]), 0, 64));
		EXPECT_TRUE(contents_are_right(heap, self->run));
		heap_check(heap);
	});
	join_child(_metadata, child);
	look_at_parent(_metadata, self);
	result = *failed;
	munmap(failed, sizeof(*failed));
	return result;
}

TEST_F(fork_faults, each_allocation_of_a_first_call)
{
	int n = 1;

	while (call_failing(_metadata, self, n))
		n++;
	EXPECT_LT(1, n);
	TH_LOG("%d allocations", n - 1);
}

/* Returns the signal that a write raises if its n-th allocation fails. */
static int touch_failing(char *p, int n, bool *failed)
{
	int fault = sigsetjmp(touch_env, 1);

	if (!fault) {
		/* Set the handler first, because that can fail, too. */
		nth_arm(n);
		__atomic_store_n(p, 'x', __ATOMIC_RELAXED);
	}
	*failed = nth_disarm();
	return fault;
}

/*
 * @who writes to a page that another heap has as well. Returns whether
 * something failed.
 */
static bool write_failing(struct __test_metadata *_metadata, FIXTURE_DATA(fork_faults) *self,
			  int n)
{
	char *page = at(&self->heap, self->run + POOL);
	bool failed;
	int fault;

	signal(SIGBUS, touch_failed);
	fault = touch_failing(page, n, &failed);
	signal(SIGBUS, SIG_DFL);
	EXPECT_TRUE(!fault || (fault == SIGBUS && failed)) TH_LOG("number %d: %d", n, fault);
	EXPECT_EQ(fault ? 'r' : 'x', *page);
	EXPECT_TRUE(is_filled(page + 1, 'r', POOL - 1));
	/* With memory, the write works. */
	EXPECT_EQ(0, touch(page, true));
	*page = 'r';
	EXPECT_TRUE(contents_are_right(&self->heap, self->run));
	heap_check(&self->heap);
	return failed;
}

TEST_F(fork_faults, each_allocation_of_a_childs_copy)
{
	int *last = mmap(NULL, sizeof(*last), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t child;

	ASSERT_NE(MAP_FAILED, last);
	for (int n = 1; !*last; n++) {
		IN_CHILD(child, {
			nth_open(_metadata);
			if (!write_failing(_metadata, self, n))
				*last = n;
		});
		join_child(_metadata, child);
		look_at_parent(_metadata, self);
	}
	/* At least the allocation of a page. */
	EXPECT_LT(1, *last);
	TH_LOG("%d allocations", *last - 1);
}

TEST_F(fork_faults, each_allocation_of_a_parents_copy)
{
	bool failed = true;
	pid_t child;
	int n;

	nth_open(_metadata);
	for (n = 0; failed; ) {
		struct turns turns = turns_make(_metadata);

		IN_CHILD(child, {
			turns_take(&turns, 1);
			turns_wait(&turns);
			EXPECT_TRUE(contents_are_right(&self->heap, self->run));
		});
		turns_take(&turns, 0);
		failed = write_failing(_metadata, self, ++n);
		turns_pass(&turns);
		join_child(_metadata, child);
		close(turns_end(&turns));
	}
	EXPECT_LT(1, n);
	TH_LOG("%d allocations", n - 1);
}

/*
 * Several failures. After a task has got so many bytes from the slab allocator,
 * the next allocations fail: two of them, or all. Many allocations are tried
 * again if they fail once.
 */

#define SLAB "/sys/kernel/debug/failslab/"

/*
 * The maximum is several times what a fork() takes. A step is less than what a
 * table of fork() takes.
 */
#define SPACE_MAX (1 << 20)
#define SPACE_STEP 512
#define REPEATS 25

static void slab_begin(struct __test_metadata *_metadata)
{
	write_text(_metadata, SLAB "task-filter", "Y");
}

static void slab_end(struct __test_metadata *_metadata)
{
	write_text(_metadata, SLAB "task-filter", "N");
	write_text(_metadata, SLAB "times", "1");
	write_text(_metadata, SLAB "space", "0");
}

static int probability_fd = -1;

/*
 * Write both while nothing fails, or from a task whose allocations do not fail.
 */
static void slab_arm(struct __test_metadata *_metadata, int space, int times)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", space);
	write_text(_metadata, SLAB "space", text);
	snprintf(text, sizeof(text), "%d", times);
	write_text(_metadata, SLAB "times", text);
	write_text(_metadata, "/proc/self/make-it-fail", "1");
	ASSERT_EQ(3, write(probability_fd, "100", 3)) TH_LOG("%m");
}

static void slab_disarm(struct __test_metadata *_metadata)
{
	ASSERT_EQ(1, write(probability_fd, "0", 1)) TH_LOG("%m");
	write_text(_metadata, "/proc/self/make-it-fail", "0");
}

/* How many more allocations would have failed. */
static int times_left(struct __test_metadata *_metadata)
{
	FILE *file = fopen(SLAB "times", "r");
	int left = -1;

	ASSERT_NE(NULL, file);
	ASSERT_EQ(1, fscanf(file, "%d", &left));
	fclose(file);
	return left;
}

/*
 * Returns whether it could fork. The child goes on only when nothing fails any
 * more.
 */
static bool fork_with_space(struct __test_metadata *_metadata, FIXTURE_DATA(fork_faults) *self,
			    int space, int times, bool *all)
{
	struct turns turns = turns_make(_metadata);
	pid_t child;

	slab_arm(_metadata, space, times);
	child = fork();
	if (!child) {
		turns_wait(&(struct turns){ { -1, turns.ends[1] } });
		close(turns.ends[0]);
		look_at_inheritance(_metadata, self);
		_exit(0);
	}
	slab_disarm(_metadata);
	turns_take(&turns, 0);
	*all = times_left(_metadata) == times;
	turns_pass(&turns);
	if (child > 0)
		join_child(_metadata, child);
	look_at_parent(_metadata, self);
	close(turns_end(&turns));
	return child > 0;
}

static void look_at(struct __test_metadata *_metadata, int device, __u64 id)
{
	struct pymalloc_open open = ARG(open, .id = id);
	struct pymalloc_stats stats = ARG(stats);
	int fd = call(device, PYMALLOC_IOC_OPEN, &open);
	int ret;

	if (fd < 0)
		return;
	ret = call(fd, PYMALLOC_IOC_STATS, &stats);
	EXPECT_TRUE(!ret || ret == -ESTALE) TH_LOG("%d", ret);
	close(fd);
}

/*
 * List and open whatever heap comes after the test's own, over and over. Each
 * round makes few calls, so that it meets each of the heaps that are gone again
 * at once.
 */
static void look_at_new_heaps(struct __test_metadata *_metadata, __u64 id)
{
	struct pymalloc_heap_info infos[4];
	int device = device_open(_metadata);

	for (;;) {
		struct pymalloc_list list = ARG(list, .heaps = user_ptr(infos), .after = id,
						.count = ARRAY_SIZE(infos),
						.entry_size = sizeof(infos[0]));

		ASSERT_EQ(0, call(device, PYMALLOC_IOC_LIST, &list));
		for (__u32 i = 0; i < list.done; i++)
			look_at(_metadata, device, infos[i].id);
	}
}

static void end_looker(struct __test_metadata *_metadata, pid_t looker)
{
	int status;

	ASSERT_EQ(0, kill(looker, SIGKILL));
	ASSERT_EQ(looker, waitpid(looker, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
}

/* Others look at every heap meanwhile, also at those that are being undone. */
static void fork_while_others_look(struct __test_metadata *_metadata,
				   FIXTURE_DATA(fork_faults) *self, int times)
{
	int space, forks = 0;
	pid_t lookers[3];
	bool all = false;

	for (size_t i = 0; i < ARRAY_SIZE(lookers); i++)
		IN_CHILD(lookers[i], look_at_new_heaps(_metadata, self->heap.id));
	probability_fd = open(SLAB "probability", O_WRONLY);
	ASSERT_LE(0, probability_fd);
	slab_begin(_metadata);
	for (space = SPACE_STEP; !all && space < SPACE_MAX; space += SPACE_STEP) {
		int before = *self->without;

		forks += fork_with_space(_metadata, self, space, times, &all);
		/*
		 * A heap was begun and undone. This is what the others have to
		 * meet.
		 */
		for (int i = 0; *self->without > before && i < REPEATS; i++)
			fork_with_space(_metadata, self, space, times, &all);
	}
	slab_end(_metadata);
	for (size_t i = 0; i < ARRAY_SIZE(lookers); i++)
		end_looker(_metadata, lookers[i]);
	EXPECT_TRUE(all);
	EXPECT_LT(0, forks);
	TH_LOG("%d of %d worked, %d children without a heap", forks, space / SPACE_STEP,
	       *self->without);
}

TEST_F(fork_faults, two_of_a_fork_while_others_look)
{
	fork_while_others_look(_metadata, self, 2);
	EXPECT_LT(0, *self->without);
}

TEST_F(fork_faults, all_of_a_fork_from_one_on_while_others_look)
{
	fork_while_others_look(_metadata, self, INT_MAX);
}

TEST_HARNESS_MAIN
