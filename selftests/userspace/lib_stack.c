// SPDX-License-Identifier: GPL-2.0
/* Stacks: marks, what lies between them, and where its memory comes from and goes to. */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pymalloc-stack.h>

#include "library.h"

/* What a thread keeps at most: its first chunk, and one more. */
#define FIRST_BYTES	(64 * 1024)
#define KEPT_BYTES	(FIRST_BYTES + 256 * 1024)
/* The largest object: the chunk has a header. */
#define MOST		(PYMALLOC_SIZE_MAX - 16)

/* The last bad release. */
static const struct pymalloc_stack_mark *bad;

static void note_bad_release(struct pymalloc_stack *stack,
			     const struct pymalloc_stack_mark *mark)
{
	(void)stack;
	bad = mark;
}

FIXTURE(stack) {
	struct pymalloc_heap *heap;
	struct pymalloc_stack *stack;
};

FIXTURE_SETUP(stack)
{
	self->heap = heap_with("stacks", 8, 0);
	ASSERT_NE(NULL, self->heap);
	self->stack = pymalloc_stack_get(self->heap);
	ASSERT_NE(NULL, self->stack);
	bad = NULL;
	pymalloc_set_bad_release(note_bad_release);
}

FIXTURE_TEARDOWN(stack)
{
	pymalloc_set_bad_release(NULL);
	EXPECT_TRUE(sound(self->heap));
	pymalloc_heap_destroy(self->heap);
}

static struct pymalloc_stats stats_of(struct pymalloc_heap *heap)
{
	struct pymalloc_stats stats = { .runs = ~0ULL };

	pymalloc_heap_stats(heap, &stats, NULL);
	return stats;
}

static __u64 bytes_of_runs(struct pymalloc_heap *heap)
{
	return stats_of(heap).run_pages * PYMALLOC_POOL_SIZE;
}

TEST_F(stack, is_the_same_again)
{
	EXPECT_EQ(self->stack, pymalloc_stack_get(self->heap));
	EXPECT_EQ(1, stats_of(self->heap).runs);
}

TEST_F(stack, objects_and_marks)
{
	static const size_t sizes[] = { 0, 1, 15, 16, 17, 100, 512, 513, 5000 };
	char *first = NULL;

	for (int round = 0; round < 3; round++) {
		struct pymalloc_stack_mark mark = pymalloc_stack_mark(self->stack);
		char *objects[ARRAY_SIZE(sizes)];

		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			objects[i] = pymalloc_stack_alloc(self->stack, sizes[i]);
			ASSERT_NE(NULL, objects[i]);
			EXPECT_TRUE(aligned_to(objects[i], PYMALLOC_STACK_ALIGNMENT));
			fill(objects[i], sizes[i], i + round);
		}
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
			EXPECT_TRUE(filled(objects[i], sizes[i], i + round));
		first = first ?: objects[0];
		EXPECT_EQ(first, objects[0]);
		pymalloc_stack_release(self->stack, &mark);
	}
	EXPECT_EQ(NULL, bad);
}

/* What lies below a mark stays, whichever chunks come and go above it. */
TEST_F(stack, nests_across_chunks)
{
	enum { DEPTH = 40, BYTES = 10000 };
	struct pymalloc_stack_mark marks[DEPTH];
	char *objects[DEPTH];

	for (int i = 0; i < DEPTH; i++) {
		marks[i] = pymalloc_stack_mark(self->stack);
		objects[i] = pymalloc_stack_alloc(self->stack, BYTES);
		ASSERT_NE(NULL, objects[i]);
		fill(objects[i], BYTES, i);
	}
	EXPECT_LT(5, stats_of(self->heap).runs);
	for (int i = DEPTH - 1; i >= 0; i--) {
		EXPECT_TRUE(filled(objects[i], BYTES, i));
		pymalloc_stack_release(self->stack, &marks[i]);
	}
	EXPECT_EQ(NULL, bad);
	EXPECT_GE(KEPT_BYTES, bytes_of_runs(self->heap));
}

TEST_F(stack, any_size)
{
	static const size_t sizes[] = { FIRST_BYTES - 16, FIRST_BYTES, 3 * FIRST_BYTES + 1,
					LARGEST, MOST };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct pymalloc_stack_mark mark = pymalloc_stack_mark(self->stack);
		char *object = pymalloc_stack_alloc(self->stack, sizes[i]);

		ASSERT_NE(NULL, object)
			TH_LOG("%zu bytes", sizes[i]);
		object[0] = object[sizes[i] - 1] = 1;
		pymalloc_stack_release(self->stack, &mark);
		EXPECT_GE(KEPT_BYTES, bytes_of_runs(self->heap));
	}
}

TEST_F(stack, too_large)
{
	static const size_t sizes[] = { MOST + 1, PYMALLOC_SIZE_MAX, SIZE_MAX / 2, SIZE_MAX - 15,
					SIZE_MAX };
	char *below = pymalloc_stack_alloc(self->stack, 16);

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		errno = 0;
		EXPECT_EQ(NULL, pymalloc_stack_alloc(self->stack, sizes[i]));
		EXPECT_EQ(ENOMEM, errno);
	}
	EXPECT_EQ(below + 16, pymalloc_stack_alloc(self->stack, 16));
}

/* A loop that leaves its chunk each time makes no more calls after the first time. */
TEST_F(stack, needs_no_calls)
{
	static const size_t sizes[] = { FIRST_BYTES, 200 * 1000 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		__u64 calls = 0;

		for (int round = 0; round < 100; round++) {
			struct pymalloc_stack_mark mark = pymalloc_stack_mark(self->stack);

			ASSERT_NE(NULL, pymalloc_stack_alloc(self->stack, sizes[i]));
			pymalloc_stack_release(self->stack, &mark);
			if (!round)
				calls = stats_of(self->heap).nr_allocs;
		}
		EXPECT_EQ(calls, stats_of(self->heap).nr_allocs);
	}
}

TEST_F(stack, bad_releases)
{
	struct pymalloc_stack_mark outer = pymalloc_stack_mark(self->stack);
	char *object = pymalloc_stack_alloc(self->stack, 100000);
	struct pymalloc_stack_mark inner = pymalloc_stack_mark(self->stack);
	struct pymalloc_stack_mark copy = inner;

	ASSERT_NE(NULL, object);
	fill(object, 100000, 1);
	pymalloc_stack_release(self->stack, &outer);
	EXPECT_EQ(&outer, bad);
	EXPECT_TRUE(filled(object, 100000, 1));
	bad = NULL;
	pymalloc_stack_release(self->stack, &inner);
	EXPECT_EQ(NULL, bad);
	pymalloc_stack_release(self->stack, &inner);
	EXPECT_EQ(&inner, bad);
	/* A mark at the same depth is another one. */
	bad = NULL;
	inner = pymalloc_stack_mark(self->stack);
	pymalloc_stack_release(self->stack, &copy);
	EXPECT_EQ(&copy, bad);
	bad = NULL;
	pymalloc_stack_release(self->stack, &inner);
	pymalloc_stack_release(self->stack, &outer);
	EXPECT_EQ(NULL, bad);
	pymalloc_stack_release(self->stack, &outer);
	EXPECT_EQ(&outer, bad);
}

/* The numbers of their marks may be the same. */
TEST_F(stack, another_stacks_mark)
{
	struct pymalloc_heap *heap = heap_with("other", 8, 0);
	struct pymalloc_stack *stack = pymalloc_stack_get(heap);
	struct pymalloc_stack_mark mark, own;

	ASSERT_NE(NULL, stack);
	mark = pymalloc_stack_mark(stack);
	own = pymalloc_stack_mark(self->stack);
	EXPECT_EQ(mark.number, own.number);
	pymalloc_stack_release(self->stack, &mark);
	EXPECT_EQ(&mark, bad);
	bad = NULL;
	pymalloc_stack_release(self->stack, &own);
	pymalloc_stack_release(stack, &mark);
	EXPECT_EQ(NULL, bad);
	pymalloc_heap_destroy(heap);
}

TEST_F(stack, aborts_by_default)
{
	struct pymalloc_stack_mark mark = pymalloc_stack_mark(self->stack);
	int fds[2], status;
	char said[200] = "";
	pid_t child;

	EXPECT_TRUE(pymalloc_set_bad_release(NULL) == note_bad_release);
	EXPECT_TRUE(!pymalloc_set_bad_release(NULL));
	ASSERT_EQ(0, pipe(fds));
	child = fork();
	if (!child) {
		dup2(fds[1], STDERR_FILENO);
		pymalloc_stack_release(self->stack, &mark);
		pymalloc_stack_release(self->stack, &mark);
		_exit(0);
	}
	close(fds[1]);
	EXPECT_LT(0, read(fds[0], said, sizeof(said) - 1));
	EXPECT_NE(NULL, strstr(said, "is not the last one of its stack"))
		TH_LOG("%s", said);
	waitpid(child, &status, 0);
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	close(fds[0]);
}

/* Returns the first object in its scope; leaves that in one of three ways. */
static char *leave(struct pymalloc_stack *stack, int way)
{
	char *object = NULL;

	for (int i = 0; i < 2; i++) {
		pymalloc_stack_scope(stack);

		object = pymalloc_stack_alloc(stack, 5000);
		if (way == 0)
			return object;
		if (way == 1)
			break;
	}
	return object;
}

TEST_F(stack, scope)
{
	char *first = leave(self->stack, 0);

	ASSERT_NE(NULL, first);
	for (int way = 1; way < 3; way++)
		EXPECT_EQ(first, leave(self->stack, way));
	EXPECT_EQ(0, self->stack->innermost);
}

/* What a thread finds; other than NULL if something is wrong. */
static void *use_in_thread(void *heap)
{
	struct pymalloc_stack *stack = pymalloc_stack_get(heap);

	if (!stack || !pymalloc_stack_alloc(stack, 1000) ||
	    !pymalloc_stack_alloc(stack, 100000) || !pymalloc_stack_alloc(stack, LARGEST))
		return heap;
	return NULL;
}

TEST_F(stack, of_threads)
{
	enum { THREADS = 8 };
	pthread_t threads[THREADS];
	void *wrong;

	for (int i = 0; i < THREADS; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, use_in_thread, self->heap));
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &wrong);
		EXPECT_EQ(NULL, wrong);
	}
	EXPECT_EQ(1, stats_of(self->heap).runs);
}

TEST_F(stack, in_a_child)
{
	struct pymalloc_stack_mark mark = pymalloc_stack_mark(self->stack);
	char *object = pymalloc_stack_alloc(self->stack, 100000);
	int status;
	pid_t child;

	ASSERT_NE(NULL, object);
	fill(object, 100000, 3);
	child = fork();
	if (!child) {
		bool ok = filled(object, 100000, 3) &&
			  pymalloc_stack_get(self->heap) == self->stack;

		fill(object, 100000, 4);
		pymalloc_stack_release(self->stack, &mark);
		ok = ok && !bad && pymalloc_stack_alloc(self->stack, 100) &&
		     sound(self->heap);
		_exit(!ok);
	}
	waitpid(child, &status, 0);
	EXPECT_EQ(0, status);
	EXPECT_TRUE(filled(object, 100000, 3));
	pymalloc_stack_release(self->stack, &mark);
}

TEST_F(stack, in_a_sandbox)
{
	int status;
	pid_t child = fork();

	if (!child) {
		struct pymalloc_stack_mark mark = pymalloc_stack_mark(self->stack);
		char *object;

		pymalloc_enter_sandbox();
		object = pymalloc_stack_alloc(self->stack, 100000);
		if (object)
			fill(object, 100000, 5);
		pymalloc_stack_release(self->stack, &mark);
		_exit(!object || bad);
	}
	waitpid(child, &status, 0);
	EXPECT_EQ(0, status);
}

TEST_F(stack, keeps_errno)
{
	struct pymalloc_stack_mark mark = pymalloc_stack_mark(self->stack);

	ASSERT_NE(NULL, pymalloc_stack_alloc(self->stack, LARGEST));
	errno = EXFULL;
	pymalloc_stack_release(self->stack, &mark);
	EXPECT_EQ(EXFULL, errno);
}

TEST(at_a_limit)
{
	struct pymalloc_heap *heap = heap_with("small", 8, LARGEST);
	struct pymalloc_stack *stack = pymalloc_stack_get(heap);
	struct pymalloc_stack_mark mark;
	size_t count = 0;

	ASSERT_NE(NULL, stack);
	mark = pymalloc_stack_mark(stack);
	errno = 0;
	while (pymalloc_stack_alloc(stack, 10000))
		count++;
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_LT(10, count);
	pymalloc_stack_release(stack, &mark);
	EXPECT_NE(NULL, pymalloc_stack_alloc(stack, 100000));
	EXPECT_TRUE(sound(heap));
	pymalloc_heap_destroy(heap);

	heap = heap_with("full", 8, LARGEST);
	ASSERT_NE(NULL, heap);
	while (pymalloc_malloc(heap, PYMALLOC_POOL_SIZE))
		;
	errno = 0;
	EXPECT_EQ(NULL, pymalloc_stack_get(heap));
	EXPECT_EQ(ENOMEM, errno);
	pymalloc_heap_destroy(heap);
}

TEST(without_magazines)
{
	enum { HEAPS = 17 };
	struct pymalloc_heap *heaps[HEAPS];

	for (int i = 0; i < HEAPS; i++) {
		heaps[i] = heap_with("one of many", 8, 0);
		ASSERT_NE(NULL, heaps[i]);
	}
	errno = 0;
	EXPECT_EQ(NULL, pymalloc_stack_get(heaps[HEAPS - 1]));
	EXPECT_EQ(ENOTSUP, errno);
	for (int i = 0; i < HEAPS; i++)
		pymalloc_heap_destroy(heaps[i]);
}

TEST_HARNESS_MAIN
