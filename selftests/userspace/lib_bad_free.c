// SPDX-License-Identifier: GPL-2.0
/* What the library says of frees that name no object. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "library.h"

static struct {
	unsigned int count;
	void *object;
	unsigned int status;
} seen;

static void remember(struct pymalloc_heap *heap, void *object, unsigned int status)
{
	(void)heap;
	seen.count++;
	seen.object = object;
	seen.status = status;
}

FIXTURE(bad_free) {
	struct pymalloc_heap *heap;
	char *block;
	char *large;
};

FIXTURE_SETUP(bad_free)
{
	self->heap = heap_with("bad free", 8, 0);
	ASSERT_NE(NULL, self->heap);
	self->block = pymalloc_malloc(self->heap, 64);
	self->large = pymalloc_malloc(self->heap, 3 * PYMALLOC_POOL_SIZE);
	ASSERT_NE(NULL, self->block);
	ASSERT_NE(NULL, self->large);
}

/* The heap's own objects are as they were. */
FIXTURE_TEARDOWN(bad_free)
{
	pymalloc_set_bad_free(remember);
	seen.count = 0;
	pymalloc_free(self->heap, self->block);
	pymalloc_free(self->heap, self->large);
	EXPECT_EQ(0, left_in(self->heap));
	EXPECT_EQ(0, seen.count);
	EXPECT_TRUE(sound(self->heap));
	pymalloc_heap_destroy(self->heap);
}

#define EXPECT_BAD(pointer, reason) do {		\
	EXPECT_EQ(1, seen.count);			\
	EXPECT_EQ((void *)(pointer), seen.object);	\
	EXPECT_EQ(reason, seen.status);			\
	seen.count = 0;					\
} while (0)

TEST_F(bad_free, at_once)
{
	int local;

	pymalloc_set_bad_free(remember);
	pymalloc_free(self->heap, &local);
	EXPECT_BAD(&local, PYMALLOC_REF_RANGE);
	pymalloc_free(self->heap, self->block + 4);
	EXPECT_BAD(self->block + 4, PYMALLOC_REF_MISALIGNED);
	pymalloc_free(self->heap, self->large + PYMALLOC_POOL_SIZE);
	EXPECT_BAD(self->large + PYMALLOC_POOL_SIZE, PYMALLOC_REF_MISALIGNED);
	pymalloc_free(self->heap, self->large + 3 * PYMALLOC_POOL_SIZE);
	EXPECT_BAD(self->large + 3 * PYMALLOC_POOL_SIZE, PYMALLOC_REF_FOREIGN);
}

TEST_F(bad_free, at_the_flush)
{
	pymalloc_set_bad_free(remember);
	pymalloc_heap_flush(self->heap);
	pymalloc_free(self->heap, self->block + 8);
	EXPECT_EQ(0, seen.count);
	pymalloc_heap_flush(self->heap);
	EXPECT_BAD(self->block + 8, PYMALLOC_REF_MISALIGNED);
}

TEST_F(bad_free, twice)
{
	void *block = pymalloc_malloc(self->heap, 32);

	pymalloc_set_bad_free(remember);
	pymalloc_free(self->heap, block);
	pymalloc_heap_flush(self->heap);
	pymalloc_free(self->heap, block);
	pymalloc_heap_flush(self->heap);
	EXPECT_EQ(1, seen.count);
	EXPECT_EQ(block, seen.object);
	/* Free, or gone with its pool, which had no other. */
	EXPECT_NE(PYMALLOC_REF_OK, seen.status);
}

TEST_F(bad_free, large_object_twice)
{
	void *large = pymalloc_malloc(self->heap, 5000);

	pymalloc_set_bad_free(remember);
	pymalloc_free(self->heap, large);
	pymalloc_free(self->heap, large);
	EXPECT_BAD(large, PYMALLOC_REF_FOREIGN);
}

/* The good ones of a batch are freed nevertheless. */
TEST_F(bad_free, among_many)
{
	void *blocks[40];
	size_t i;

	pymalloc_set_bad_free(remember);
	for (i = 0; i < 40; i++)
		blocks[i] = pymalloc_malloc(self->heap, 128);
	pymalloc_heap_flush(self->heap);
	/* Leave some, lest the pools go. */
	for (i = 0; i < 40; i += 2)
		pymalloc_free(self->heap, blocks[i]);
	pymalloc_free(self->heap, blocks[20]);
	pymalloc_heap_flush(self->heap);
	EXPECT_BAD(blocks[20], PYMALLOC_REF_FREE);
	EXPECT_EQ(1 + 20, blocks_of(self->heap));
	for (i = 1; i < 40; i += 2)
		pymalloc_free(self->heap, blocks[i]);
}

TEST_F(bad_free, realloc)
{
	int local;

	pymalloc_set_bad_free(remember);
	errno = 0;
	EXPECT_EQ(NULL, pymalloc_realloc(self->heap, &local, 100));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_BAD(&local, PYMALLOC_REF_FOREIGN);
	EXPECT_EQ(0, pymalloc_usable_size(self->heap, &local));
}

TEST_F(bad_free, policy_is_returned)
{
	EXPECT_TRUE(!pymalloc_set_bad_free(remember));
	EXPECT_TRUE(pymalloc_set_bad_free(NULL) == remember);
	EXPECT_TRUE(!pymalloc_set_bad_free(NULL));
}

/*
 * One line, then SIGABRT, as glibc does it. In a child: the harness takes that
 * signal for a failed assertion.
 */
static void expect_abort(struct __test_metadata *_metadata, struct pymalloc_heap *heap,
			 void *object, const char *reason)
{
	char line[200] = "";
	int status, fds[2];
	pid_t child;

	ASSERT_EQ(0, pipe(fds));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		dup2(fds[1], STDERR_FILENO);
		pymalloc_free(heap, object);
		_exit(0);
	}
	close(fds[1]);
	EXPECT_LT(0, read(fds[0], line, sizeof(line) - 1));
	EXPECT_EQ(0, strncmp(line, "free(): invalid pointer 0x", 26));
	EXPECT_NE(NULL, strstr(line, reason));
	EXPECT_EQ(0, read(fds[0], line, sizeof(line)));
	close(fds[0]);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGABRT, WTERMSIG(status));
}

TEST_F(bad_free, default_policy)
{
	int local;

	expect_abort(_metadata, self->heap, &local, ": not in the heap\n");
	expect_abort(_metadata, self->heap, self->block + 4, ": not the start of an object\n");
	/* Where no arena ever was the pool map shows none, and the kernel says so. */
	expect_abort(_metadata, self->heap, self->block + (512 << 20), ": no object is there\n");
}

TEST_HARNESS_MAIN
