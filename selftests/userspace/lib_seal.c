// SPDX-License-Identifier: GPL-2.0
/* Sealed heaps of the library: what its functions do there. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pymalloc-inline.h>
#include <pymalloc-reservation.h>
#include <pymalloc-stack.h>
#include <pymalloc-type.h>

#include "library.h"

#define COUNT 2000
#define SIZE 100

/* The last bad free. */
static unsigned int bad;

static void note_bad_free(struct pymalloc_heap *heap, void *object, unsigned int status)
{
	(void)heap;
	(void)object;
	bad = status;
}

FIXTURE(seal) {
	struct pymalloc_heap *heap;
	char *objects[COUNT];
	char *large;
};

FIXTURE_SETUP(seal)
{
	self->heap = heap_with("sealed", 8, 0);
	ASSERT_NE(NULL, self->heap);
	for (int i = 0; i < COUNT; i++) {
		self->objects[i] = pymalloc_malloc(self->heap, SIZE);
		ASSERT_NE(NULL, self->objects[i]);
		fill(self->objects[i], SIZE, i);
	}
	/* Magazines have something in them. */
	for (int i = COUNT / 2; i < COUNT / 2 + 20; i++)
		pymalloc_free(self->heap, self->objects[i]);
	self->large = pymalloc_malloc(self->heap, LARGEST);
	ASSERT_NE(NULL, self->large);
	fill(self->large, LARGEST, 1);
	bad = PYMALLOC_REF_OK;
	pymalloc_set_bad_free(note_bad_free);
}

FIXTURE_TEARDOWN(seal)
{
	pymalloc_heap_destroy(self->heap);
	pymalloc_set_bad_free(NULL);
}

static bool is_whole(FIXTURE_DATA(seal) *self)
{
	for (int i = 0; i < COUNT / 2; i++)
		if (!filled(self->objects[i], SIZE, i))
			return false;
	return filled(self->large, LARGEST, 1);
}

static sigjmp_buf env;

static void failed(int number)
{
	siglongjmp(env, number);
}

/* The signal that a write raises; 0 if there is none. */
static int write_to(char *object)
{
	int number = sigsetjmp(env, 1);

	if (!number) {
		signal(SIGSEGV, failed);
		*(volatile char *)object = 1;
	}
	signal(SIGSEGV, SIG_DFL);
	return number;
}

static bool refused(const void *object)
{
	return !object && errno == EPERM;
}

/* Nothing is allocated, whichever way a program asks for it. */
static bool allocates_nothing(FIXTURE_DATA(seal) *self)
{
	struct pymalloc_heap *heap = self->heap;

	return refused(pymalloc_malloc(heap, SIZE)) && refused(pymalloc_malloc(heap, 0)) &&
	       refused(pymalloc_inline_malloc(heap, 64)) &&
	       refused(pymalloc_malloc(heap, LARGEST)) &&
	       refused(pymalloc_calloc(heap, 10, 10)) &&
	       refused(pymalloc_calloc(heap, 10, 1000)) &&
	       refused(pymalloc_aligned_alloc(heap, 64, 64)) &&
	       refused(pymalloc_aligned_alloc(heap, 64, 1000)) &&
	       refused(pymalloc_realloc(heap, NULL, SIZE)) &&
	       refused(pymalloc_realloc(heap, self->objects[1], 2 * SIZE)) &&
	       refused(pymalloc_realloc(heap, self->objects[1], SIZE)) &&
	       refused(pymalloc_realloc(heap, self->large, LARGEST / 2));
}

static bool frees_nothing(FIXTURE_DATA(seal) *self)
{
	void *objects[] = { self->objects[0], self->objects[COUNT / 2], self->large, self };

	for (size_t i = 0; i < ARRAY_SIZE(objects); i++) {
		bad = PYMALLOC_REF_OK;
		pymalloc_free(self->heap, objects[i]);
		if (bad != PYMALLOC_REF_SEALED)
			return false;
		bad = PYMALLOC_REF_OK;
		pymalloc_inline_free(self->heap, objects[i]);
		if (bad != PYMALLOC_REF_SEALED)
			return false;
	}
	pymalloc_free(self->heap, NULL);
	return true;
}

TEST_F(seal, for_reading_only)
{
	ASSERT_EQ(0, pymalloc_heap_seal(self->heap));
	EXPECT_EQ(0, pymalloc_heap_seal(self->heap));
	EXPECT_TRUE(allocates_nothing(self));
	EXPECT_TRUE(frees_nothing(self));
	EXPECT_EQ(SIGSEGV, write_to(self->objects[0]));
	EXPECT_EQ(SIGSEGV, write_to(self->large));
	EXPECT_TRUE(is_whole(self));
	EXPECT_LE(SIZE, pymalloc_usable_size(self->heap, self->objects[0]));
	EXPECT_EQ(LARGEST, pymalloc_usable_size(self->heap, self->large));
	EXPECT_TRUE(sound(self->heap));
	/* Immortal. */
	pymalloc_heap_destroy(self->heap);
	EXPECT_TRUE(is_whole(self));
}

TEST_F(seal, memory_goes_back)
{
	ASSERT_EQ(0, pymalloc_heap_seal(self->heap));
	EXPECT_EQ(0, pymalloc_heap_trim(self->heap, NULL));
	EXPECT_EQ(0, pymalloc_heap_compact(self->heap, 0, NULL));
	EXPECT_TRUE(is_whole(self) && sound(self->heap));
}

/* Whether nothing comes on a stack that is there; what was there goes by its marks. */
static bool stack_is_closed(struct pymalloc_stack *stack, const struct pymalloc_stack_mark *marks)
{
	struct pymalloc_stack_mark mark;

	errno = 0;
	if (!refused(pymalloc_stack_alloc(stack, 10)))
		return false;
	errno = 0;
	if (!refused(pymalloc_stack_alloc(stack, LARGEST)))
		return false;
	mark = pymalloc_stack_mark(stack);
	pymalloc_stack_release(stack, &mark);
	for (int i = 3; i--;)
		pymalloc_stack_release(stack, &marks[i]);
	errno = 0;
	return refused(pymalloc_stack_alloc(stack, 10));
}

static bool wrong_release;

static void note_bad_release(struct pymalloc_stack *stack, const struct pymalloc_stack_mark *mark)
{
	(void)stack;
	(void)mark;
	wrong_release = true;
}

TEST_F(seal, stacks)
{
	struct pymalloc_stack *stack = pymalloc_stack_get(self->heap);
	/* In two chunks, the second one is full. */
	static const size_t sizes[3] = { 50000, 50000, 15520 };
	struct pymalloc_stack_mark marks[3];
	char *objects[3];
	int status;
	pid_t child;

	ASSERT_NE(NULL, stack);
	for (int i = 0; i < 3; i++) {
		marks[i] = pymalloc_stack_mark(stack);
		objects[i] = pymalloc_stack_alloc(stack, sizes[i]);
		ASSERT_NE(NULL, objects[i]);
		fill(objects[i], sizes[i], i);
	}
	wrong_release = false;
	pymalloc_set_bad_release(note_bad_release);
	ASSERT_EQ(0, pymalloc_heap_seal(self->heap));
	child = fork();
	if (!child)
		_exit(!(stack_is_closed(stack, marks) && bad == PYMALLOC_REF_OK));
	waitpid(child, &status, 0);
	EXPECT_EQ(0, status);
	pymalloc_stack_release(stack, &marks[0]);
	EXPECT_TRUE(wrong_release);
	wrong_release = false;
	EXPECT_TRUE(stack_is_closed(stack, marks));
	EXPECT_FALSE(wrong_release);
	pymalloc_stack_release(stack, &marks[1]);
	EXPECT_TRUE(wrong_release);
	EXPECT_EQ(PYMALLOC_REF_OK, bad);
	for (int i = 0; i < 3; i++)
		EXPECT_TRUE(filled(objects[i], sizes[i], i));
	EXPECT_TRUE(sound(self->heap));
	pymalloc_set_bad_release(NULL);
}

TEST_F(seal, no_new_stack)
{
	ASSERT_EQ(0, pymalloc_heap_seal(self->heap));
	errno = 0;
	EXPECT_TRUE(refused(pymalloc_stack_get(self->heap)));
}

static unsigned int nr_destructed;

static void count_destructed(void *object, void *arg)
{
	(void)object;
	(void)arg;
	nr_destructed++;
}

/* They stay as all else. */
TEST_F(seal, reservations)
{
	struct pymalloc_type_options options = { .size = 40, .destruct = count_destructed };
	struct pymalloc_type *type = pymalloc_type_create(self->heap, &options);
	struct pymalloc_reservation *plain = pymalloc_reservation_create(self->heap, SIZE, 10);
	struct pymalloc_reservation *typed = pymalloc_reservation_create_of(type, 10);
	char *object;

	ASSERT_NE(NULL, plain);
	ASSERT_NE(NULL, typed);
	object = pymalloc_reservation_take(plain);
	fill(object, SIZE, 1);
	ASSERT_EQ(0, pymalloc_heap_seal(self->heap));
	nr_destructed = 0;
	pymalloc_reservation_destroy(plain);
	pymalloc_reservation_destroy(typed);
	EXPECT_EQ(0, nr_destructed);
	EXPECT_EQ(PYMALLOC_REF_OK, bad);
	EXPECT_TRUE(filled(object, SIZE, 1));
	EXPECT_EQ(9, pymalloc_reservation_free_count(plain));
	errno = 0;
	EXPECT_TRUE(refused(pymalloc_reservation_create(self->heap, SIZE, 10)));
	errno = 0;
	EXPECT_TRUE(refused(pymalloc_reservation_create_of(type, 10)));
}

struct shared {
	FIXTURE_DATA(seal) *self;
	pthread_barrier_t barrier;
	bool ok;
};

/* Has magazines and a stack from before, and uses the heap after. */
static void *use_in_thread(void *arg)
{
	struct shared *shared = arg;
	struct pymalloc_heap *heap = shared->self->heap;
	struct pymalloc_stack_mark marks[3];
	struct pymalloc_stack *stack;

	for (int i = 0; i < 10; i++)
		pymalloc_free(heap, pymalloc_malloc(heap, SIZE));
	stack = pymalloc_stack_get(heap);
	if (!stack)
		return NULL;
	for (int i = 0; i < 3; i++)
		marks[i] = pymalloc_stack_mark(stack);
	pthread_barrier_wait(&shared->barrier);
	pthread_barrier_wait(&shared->barrier);
	shared->ok = allocates_nothing(shared->self) && frees_nothing(shared->self) &&
		     stack_is_closed(stack, marks) && is_whole(shared->self);
	return NULL;
}

TEST_F(seal, another_thread)
{
	struct shared shared = { .self = self };
	pthread_t thread;

	pthread_barrier_init(&shared.barrier, NULL, 2);
	ASSERT_EQ(0, pthread_create(&thread, NULL, use_in_thread, &shared));
	pthread_barrier_wait(&shared.barrier);
	ASSERT_EQ(0, pymalloc_heap_seal(self->heap));
	pthread_barrier_wait(&shared.barrier);
	pthread_join(thread, NULL);
	EXPECT_TRUE(shared.ok);
	EXPECT_TRUE(sound(self->heap));
}

TEST_F(seal, in_a_child)
{
	int status;
	pid_t child;

	ASSERT_EQ(0, pymalloc_heap_seal(self->heap));
	child = fork();
	if (!child)
		_exit(!(allocates_nothing(self) && frees_nothing(self) && is_whole(self) &&
			write_to(self->objects[5]) == SIGSEGV && is_whole(self)));
	waitpid(child, &status, 0);
	EXPECT_EQ(0, status);
}

TEST_F(seal, not_in_a_sandbox)
{
	int status;
	pid_t child = fork();

	if (!child) {
		pymalloc_enter_sandbox();
		errno = 0;
		_exit(!(pymalloc_heap_seal(self->heap) == -1 && errno == EPERM &&
			pymalloc_malloc(self->heap, SIZE)));
	}
	waitpid(child, &status, 0);
	EXPECT_EQ(0, status);
}

/* What cannot be sealed goes on as before. */
TEST_F(seal, pages_that_are_held)
{
	struct iovec iov = { self->objects[0], 1 };
	int fds[2];
	char byte;

	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(1, vmsplice(fds[1], &iov, 1, 0));
	EXPECT_EQ(-1, pymalloc_heap_seal(self->heap));
	EXPECT_EQ(EBUSY, errno);
	pymalloc_free(self->heap, pymalloc_malloc(self->heap, SIZE));
	EXPECT_EQ(PYMALLOC_REF_OK, bad);
	EXPECT_EQ(0, write_to(self->objects[COUNT - 1]));
	EXPECT_EQ(1, read(fds[0], &byte, 1));
	EXPECT_EQ(0, pymalloc_heap_seal(self->heap));
	EXPECT_TRUE(is_whole(self));
}

TEST_HARNESS_MAIN
