// SPDX-License-Identifier: GPL-2.0
/* Reservations: all or nothing at first, and then no failure, no call and no fault. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pymalloc-reservation.h>
#include <pymalloc-type.h>

#include "library.h"

#define COUNT	1000
#define SIZE	200

/* The last bad free. */
static unsigned int bad;

static void note_bad_free(struct pymalloc_heap *heap, void *object, unsigned int status)
{
	(void)heap;
	(void)object;
	bad = status;
}

FIXTURE(reservation) {
	struct pymalloc_heap *heap;
	struct pymalloc_reservation *reservation;
};

static struct pymalloc_stats stats_of(struct pymalloc_heap *heap)
{
	struct pymalloc_stats stats = { .runs = ~0ULL };

	pymalloc_heap_stats(heap, &stats, NULL);
	return stats;
}

FIXTURE_SETUP(reservation)
{
	self->heap = heap_with("reservations", 8, 0);
	ASSERT_NE(NULL, self->heap);
	self->reservation = pymalloc_reservation_create(self->heap, SIZE, COUNT);
	ASSERT_NE(NULL, self->reservation);
	bad = PYMALLOC_REF_OK;
	pymalloc_set_bad_free(note_bad_free);
}

FIXTURE_TEARDOWN(reservation)
{
	pymalloc_reservation_destroy(self->reservation);
	pymalloc_set_bad_free(NULL);
	EXPECT_EQ(0, stats_of(self->heap).runs);
	EXPECT_TRUE(sound(self->heap));
	pymalloc_heap_destroy(self->heap);
}

static int compare(const void *a, const void *b)
{
	char *const *x = a;
	char *const *y = b;

	return (*x > *y) - (*x < *y);
}

/* Takes all; returns whether they are as many as there should be, zero, aligned and apart. */
static bool take_all(struct pymalloc_reservation *reservation, char **objects, size_t count,
		     size_t size)
{
	for (size_t i = 0; i < count; i++) {
		objects[i] = pymalloc_reservation_take(reservation);
		if (!objects[i] || !aligned_to(objects[i], 16) || !all_zero(objects[i], size))
			return false;
	}
	if (pymalloc_reservation_take(reservation))
		return false;
	qsort(objects, count, sizeof(*objects), compare);
	for (size_t i = 1; i < count; i++)
		if (objects[i] - objects[i - 1] < (ptrdiff_t)size)
			return false;
	return true;
}

TEST_F(reservation, all_of_it)
{
	char *objects[COUNT];

	EXPECT_EQ(COUNT, pymalloc_reservation_free_count(self->reservation));
	ASSERT_TRUE(take_all(self->reservation, objects, COUNT, SIZE));
	EXPECT_EQ(0, pymalloc_reservation_free_count(self->reservation));
	for (int i = 0; i < COUNT; i++)
		fill(objects[i], SIZE, i);
	for (int i = 0; i < COUNT; i++)
		EXPECT_TRUE(filled(objects[i], SIZE, i));
	for (int i = 0; i < COUNT; i++)
		pymalloc_reservation_give(self->reservation, objects[i]);
	EXPECT_EQ(COUNT, pymalloc_reservation_free_count(self->reservation));
	EXPECT_EQ(objects[COUNT - 1], pymalloc_reservation_take(self->reservation));
	EXPECT_EQ(PYMALLOC_REF_OK, bad);
}

TEST_F(reservation, of_any_size)
{
	static const struct {
		size_t size, count;
	} cases[] = {
		{ 1, 1 }, { 1, 100000 }, { 16, 3 }, { 17, 5000 }, { 4096, 100 }, { 5000, 7000 },
		{ PYMALLOC_SIZE_MAX, 2 }, { PYMALLOC_SIZE_MAX / 2 + 1, 3 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pymalloc_reservation *reservation =
			pymalloc_reservation_create(self->heap, cases[i].size, cases[i].count);
		char **objects = calloc(cases[i].count, sizeof(*objects));

		ASSERT_NE(NULL, reservation);
		EXPECT_TRUE(take_all(reservation, objects, cases[i].count, cases[i].size))
			TH_LOG("%zu of %zu bytes", cases[i].count, cases[i].size);
		for (size_t k = 0; k < cases[i].count; k++)
			pymalloc_reservation_give(reservation, objects[k]);
		EXPECT_EQ(cases[i].count, pymalloc_reservation_free_count(reservation));
		pymalloc_reservation_destroy(reservation);
		free(objects);
	}
	EXPECT_EQ(PYMALLOC_REF_OK, bad);
}

TEST_F(reservation, bad_arguments)
{
	static const struct {
		size_t size, count;
	} cases[] = {
		{ 0, 1 }, { 1, 0 }, { PYMALLOC_SIZE_MAX + 1, 1 }, { SIZE_MAX, 1 },
		{ 1, PYMALLOC_RESERVE_COUNT_MAX + 1 }, { 1, SIZE_MAX },
		{ PYMALLOC_SIZE_MAX, PYMALLOC_RESERVE_BYTES_MAX / PYMALLOC_SIZE_MAX + 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		errno = 0;
		EXPECT_EQ(NULL, pymalloc_reservation_create(self->heap, cases[i].size,
							    cases[i].count));
		EXPECT_EQ(EINVAL, errno);
	}
	pymalloc_reservation_destroy(NULL);
	pymalloc_reservation_give(self->reservation, NULL);
	EXPECT_EQ(PYMALLOC_REF_OK, bad);
}

TEST_F(reservation, bad_gives)
{
	char *object = pymalloc_reservation_take(self->reservation);
	char *free = pymalloc_reservation_take(self->reservation);
	char *other = pymalloc_malloc(self->heap, SIZE);

	ASSERT_NE(NULL, free);
	pymalloc_reservation_give(self->reservation, free);
	EXPECT_EQ(PYMALLOC_REF_OK, bad);
	pymalloc_reservation_give(self->reservation, free);
	EXPECT_EQ(PYMALLOC_REF_FREE, bad);
	pymalloc_reservation_give(self->reservation, object + 16);
	EXPECT_EQ(PYMALLOC_REF_MISALIGNED, bad);
	pymalloc_reservation_give(self->reservation, other);
	EXPECT_EQ(PYMALLOC_REF_FOREIGN, bad);
	bad = PYMALLOC_REF_OK;
	pymalloc_reservation_give(self->reservation, &other);
	EXPECT_EQ(PYMALLOC_REF_FOREIGN, bad);
	EXPECT_EQ(COUNT - 1, pymalloc_reservation_free_count(self->reservation));
	pymalloc_reservation_give(self->reservation, object);
	EXPECT_EQ(COUNT, pymalloc_reservation_free_count(self->reservation));
	pymalloc_free(self->heap, other);
}

/* No object is where a large one of the heap begins, which pymalloc_free() would give back. */
TEST_F(reservation, bad_frees)
{
	char *objects[COUNT];

	for (int i = 0; i < COUNT; i++) {
		objects[i] = pymalloc_reservation_take(self->reservation);
		bad = PYMALLOC_REF_OK;
		pymalloc_free(self->heap, objects[i]);
		EXPECT_EQ(PYMALLOC_REF_MISALIGNED, bad);
		memset(objects[i], i, SIZE);
	}
	for (int i = 0; i < COUNT; i++)
		pymalloc_reservation_give(self->reservation, objects[i]);
	EXPECT_EQ(COUNT, pymalloc_reservation_free_count(self->reservation));
}

TEST_F(reservation, bad_frees_of_large_objects)
{
	struct pymalloc_reservation *reservation =
		pymalloc_reservation_create(self->heap, PYMALLOC_SIZE_MAX - 16, 2);
	char *objects[2];

	ASSERT_NE(NULL, reservation);
	ASSERT_TRUE(take_all(reservation, objects, 2, PYMALLOC_SIZE_MAX - 16));
	pymalloc_free(self->heap, objects[0]);
	EXPECT_EQ(PYMALLOC_REF_MISALIGNED, bad);
	pymalloc_reservation_destroy(reservation);
}

/* What is aligned to pages, too. */
TEST_F(reservation, bad_frees_of_aligned_objects)
{
	struct pymalloc_type_options options = { .size = 5000, .alignment = 4096 };
	struct pymalloc_type *type = pymalloc_type_create(self->heap, &options);
	struct pymalloc_reservation *reservation = pymalloc_reservation_create_of(type, 3);
	char *object;

	ASSERT_NE(NULL, reservation);
	while ((object = pymalloc_reservation_take(reservation))) {
		EXPECT_TRUE(aligned_to(object, 4096));
		bad = PYMALLOC_REF_OK;
		pymalloc_free(self->heap, object);
		EXPECT_EQ(PYMALLOC_REF_MISALIGNED, bad);
	}
	pymalloc_reservation_destroy(reservation);
	EXPECT_EQ(0, pymalloc_type_destroy(type));
}

/* At a limit there is nothing of it, and a reason. */
TEST(all_or_nothing)
{
	struct pymalloc_heap *heap = heap_with("small", 8, 4 << 20);

	ASSERT_NE(NULL, heap);
	for (int i = 0; i < 3; i++) {
		errno = 0;
		EXPECT_EQ(NULL, pymalloc_reservation_create(heap, 1 << 20, 5));
		EXPECT_EQ(ENOMEM, errno);
		errno = 0;
		EXPECT_EQ(NULL, pymalloc_reservation_create(heap, PYMALLOC_SIZE_MAX, 1));
		EXPECT_EQ(ENOMEM, errno);
		EXPECT_EQ(0, stats_of(heap).runs);
	}
	EXPECT_NE(NULL, pymalloc_reservation_create(heap, 1 << 20, 3));
	pymalloc_heap_destroy(heap);
}

TEST(too_small_a_window)
{
	struct pymalloc_heap_options options = { .window = 1 << 20 };
	struct pymalloc_heap *heap = pymalloc_heap_create(&options);

	ASSERT_NE(NULL, heap);
	errno = 0;
	EXPECT_EQ(NULL, pymalloc_reservation_create(heap, 1 << 20, 1));
	EXPECT_EQ(ENOMEM, errno);
	pymalloc_heap_destroy(heap);
}

/* What is taken when the heap is at its limit. */
TEST(kept_for_an_error)
{
	struct pymalloc_heap *heap = heap_with("full", 8, 4 << 20);
	struct pymalloc_reservation *reservation;

	ASSERT_NE(NULL, heap);
	reservation = pymalloc_reservation_create(heap, 100, 10);
	ASSERT_NE(NULL, reservation);
	while (pymalloc_malloc(heap, 512))
		;
	for (int i = 0; i < 10; i++)
		EXPECT_NE(NULL, pymalloc_reservation_take(reservation));
	pymalloc_heap_destroy(heap);
}

static long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt + usage.ru_majflt;
}

/* Uses all objects; the program ends if that makes a system call other than exit_group(). */
static void use_all(struct pymalloc_reservation *reservation, char **objects)
{
	for (int i = 0; i < COUNT; i++) {
		objects[i] = pymalloc_reservation_take(reservation);
		memset(objects[i], i, SIZE);
	}
	for (int i = 0; i < COUNT; i++)
		pymalloc_reservation_give(reservation, objects[i]);
}

TEST_F(reservation, no_fault)
{
	static char *objects[COUNT];
	long before;

	/* The code, the table here and getrusage() have their faults now. */
	use_all(self->reservation, objects);
	pymalloc_reservation_destroy(self->reservation);
	self->reservation = pymalloc_reservation_create(self->heap, SIZE, COUNT);
	ASSERT_NE(NULL, self->reservation);
	before = faults();
	use_all(self->reservation, objects);
	EXPECT_EQ(before, faults());
}

/*
 * How many faults a use of all objects takes after a fork().  Everything but the objects has its
 * faults before: @other is for that.
 */
static long faults_after_fork(struct pymalloc_reservation *reservation,
			      struct pymalloc_reservation *other)
{
	static char *objects[COUNT];
	long before;

	use_all(other, objects);
	faults();
	pymalloc_reservation_touch(reservation);
	before = faults();
	use_all(reservation, objects);
	return faults() - before;
}

TEST_F(reservation, no_fault_after_fork)
{
	struct pymalloc_reservation *other = pymalloc_reservation_create(self->heap, SIZE, COUNT);
	int status;
	pid_t child;

	ASSERT_NE(NULL, other);
	EXPECT_EQ(0, faults_after_fork(self->reservation, other));
	child = fork();
	if (!child)
		_exit(faults_after_fork(self->reservation, other));
	waitpid(child, &status, 0);
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, faults_after_fork(self->reservation, other));
	pymalloc_reservation_destroy(other);
}

static bool allow_only_exit_group(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog filter = { ARRAY_SIZE(code), code };

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

TEST_F(reservation, no_call)
{
	int status;
	pid_t child = fork();

	if (!child) {
		static char *objects[COUNT];

		if (!allow_only_exit_group())
			_exit(1);
		use_all(self->reservation, objects);
		syscall(SYS_exit_group, 0);
	}
	waitpid(child, &status, 0);
	EXPECT_EQ(0, status);
}

/* Takes and gives back; other than NULL if an object is somebody else's, too. */
static void *use_in_thread(void *arg)
{
	struct pymalloc_reservation *reservation = arg;
	__u64 mine = (__u64)pthread_self();

	for (int round = 0; round < 20000; round++) {
		__u64 *objects[4];
		int count = 0;

		while (count < 4 && (objects[count] = pymalloc_reservation_take(reservation)))
			*(volatile __u64 *)objects[count++] = mine;
		for (int i = 0; i < count; i++) {
			if (*(volatile __u64 *)objects[i] != mine)
				return arg;
			pymalloc_reservation_give(reservation, objects[i]);
		}
	}
	return NULL;
}

/* Fewer objects than the threads want at once. */
TEST_F(reservation, of_threads)
{
	enum { THREADS = 4, OBJECTS = 6 };
	struct pymalloc_reservation *reservation =
		pymalloc_reservation_create(self->heap, 8, OBJECTS);
	pthread_t threads[THREADS];
	void *wrong;

	ASSERT_NE(NULL, reservation);
	for (int i = 0; i < THREADS; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, use_in_thread, reservation));
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &wrong);
		EXPECT_EQ(NULL, wrong);
	}
	EXPECT_EQ(PYMALLOC_REF_OK, bad);
	EXPECT_EQ(OBJECTS, pymalloc_reservation_free_count(reservation));
	for (int i = 0; i < OBJECTS; i++)
		EXPECT_NE(NULL, pymalloc_reservation_take(reservation));
	EXPECT_EQ(NULL, pymalloc_reservation_take(reservation));
	pymalloc_reservation_destroy(reservation);
}

static struct pymalloc_reservation *handlers;
static volatile sig_atomic_t handled;

static void handle(int signal)
{
	void *object = pymalloc_reservation_take(handlers);

	(void)signal;
	handled++;
	pymalloc_reservation_give(handlers, object);
}

TEST_F(reservation, in_a_handler)
{
	struct itimerval often = { { 0, 1000 }, { 0, 1000 } }, never = { 0 };

	handlers = self->reservation;
	signal(SIGALRM, handle);
	setitimer(ITIMER_REAL, &often, NULL);
	while (handled < 50)
		pymalloc_reservation_give(handlers, pymalloc_reservation_take(handlers));
	setitimer(ITIMER_REAL, &never, NULL);
	EXPECT_EQ(PYMALLOC_REF_OK, bad);
	EXPECT_EQ(COUNT, pymalloc_reservation_free_count(handlers));
}

TEST_HARNESS_MAIN
