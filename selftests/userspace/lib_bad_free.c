// SPDX-License-Identifier: GPL-2.0
/* What the library reports about frees that name no object. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "library.h"
#include "pool.h"

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

/*
 * For each size: free every place in a pool where none of its blocks begins.
 * The flush finds the bad free, at the latest.
 */
TEST_F(bad_free, wherever_no_block_begins)
{
	size_t size, at;

	pymalloc_set_bad_free(remember);
	for (size = 8; size <= PYMALLOC_BLOCK_MAX; size += 8) {
		char *block = pymalloc_malloc(self->heap, size);
		char *pool = block - (uintptr_t)block % PYMALLOC_POOL_SIZE;

		for (at = 0; at < PYMALLOC_POOL_SIZE; at += 8) {
			if (at % size == 0 && at + size <= PYMALLOC_POOL_SIZE)
				continue;
			pymalloc_free(self->heap, pool + at);
			if (at % (size & -size) == 0)
				pymalloc_heap_flush(self->heap);
			EXPECT_BAD(pool + at, PYMALLOC_REF_MISALIGNED);
		}
		pymalloc_free(self->heap, block);
		EXPECT_EQ(0, seen.count);
	}
}

/*
 * The address looks like that of a block. Only the kernel knows that it is
 * none.
 */
TEST_F(bad_free, at_the_flush)
{
	/* The first batch is 16 blocks: what lies behind them was never allocated. */
	char *untouched = next_in_pool(self->block, 64, 40);

	pymalloc_set_bad_free(remember);
	pymalloc_heap_flush(self->heap);
	pymalloc_free(self->heap, untouched);
	EXPECT_EQ(0, seen.count);
	pymalloc_heap_flush(self->heap);
	EXPECT_BAD(untouched, PYMALLOC_REF_UNTOUCHED);
}

TEST_F(bad_free, twice)
{
	void *block = pymalloc_malloc(self->heap, 32), *other;

	pymalloc_set_bad_free(remember);
	pymalloc_free(self->heap, block);
	pymalloc_free(self->heap, block);
	EXPECT_BAD(block, PYMALLOC_REF_FREE);
	/* The block is handed out once. */
	EXPECT_EQ(block, pymalloc_malloc(self->heap, 32));
	other = pymalloc_malloc(self->heap, 32);
	EXPECT_NE(block, other);
	pymalloc_free(self->heap, block);
	pymalloc_free(self->heap, other);
}

TEST_F(bad_free, twice_with_a_flush_between)
{
	pymalloc_set_bad_free(remember);
	pymalloc_free(self->heap, self->block);
	pymalloc_heap_flush(self->heap);
	pymalloc_free(self->heap, self->block);
	EXPECT_EQ(1, seen.count);
	EXPECT_EQ(self->block, seen.object);
	/*
	 * The block is free, or its pool is gone, because it had no other
	 * block.
	 */
	EXPECT_NE(PYMALLOC_REF_OK, seen.status);
	seen.count = 0;
	self->block = pymalloc_malloc(self->heap, 64);
}

/* Every class, and every place in a magazine. */
TEST_F(bad_free, twice_of_many)
{
	void *blocks[200];
	size_t size, i;

	pymalloc_set_bad_free(remember);
	for (size = 8; size <= PYMALLOC_BLOCK_MAX; size += 8) {
		for (i = 0; i < 200; i++)
			blocks[i] = pymalloc_malloc(self->heap, size);
		for (i = 0; i < 200; i++)
			pymalloc_free(self->heap, blocks[i]);
		for (i = 0; i < 200; i++) {
			pymalloc_free(self->heap, blocks[i]);
			EXPECT_EQ(1, seen.count);
			EXPECT_EQ(blocks[i], seen.object);
			seen.count = 0;
		}
	}
}

static void *free_block(void *argument)
{
	void **heap_and_block = argument;

	pymalloc_free(heap_and_block[0], heap_and_block[1]);
	return NULL;
}

TEST_F(bad_free, by_two_threads)
{
	void *block = pymalloc_malloc(self->heap, 32);
	void *argument[] = { self->heap, block };
	pthread_t thread;

	pymalloc_set_bad_free(remember);
	pymalloc_free(self->heap, block);
	ASSERT_EQ(0, pthread_create(&thread, NULL, free_block, argument));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_BAD(block, PYMALLOC_REF_FREE);
}

TEST_F(bad_free, of_another_heap)
{
	struct pymalloc_heap *other = heap_with("other", 8, 0);
	char *block;

	ASSERT_NE(NULL, other);
	block = pymalloc_malloc(other, 64);
	pymalloc_set_bad_free(remember);
	pymalloc_free(self->heap, block);
	EXPECT_BAD(block, PYMALLOC_REF_RANGE);
	pymalloc_free(other, block);
	EXPECT_EQ(0, left_in(other));
	pymalloc_heap_destroy(other);
}

/*
 * An object is not free because it holds the mark, but because it lies in a
 * magazine.
 */
TEST_F(bad_free, mark_of_an_object_in_use)
{
	void *freed = pymalloc_malloc(self->heap, 64);
	void *copy = pymalloc_malloc(self->heap, 64);
	void *moved;

	pymalloc_set_bad_free(remember);
	pymalloc_free(self->heap, freed);
	memcpy(copy, freed, 64);
	moved = pymalloc_realloc(self->heap, copy, 200);
	ASSERT_NE(NULL, moved);
	EXPECT_EQ(0, memcmp(moved, freed, sizeof(void *)));
	pymalloc_free(self->heap, moved);
	EXPECT_EQ(0, seen.count);
}

static void count_and_exit(struct pymalloc_heap *heap, void *object, unsigned int status)
{
	(void)heap;
	(void)object;
	_exit(status);
}

/* The kernel's answer for an object that was written to after its free. */
TEST_F(bad_free, at_the_process_end)
{
	int status;
	pid_t child = fork();

	if (!child) {
		char *block = pymalloc_malloc(self->heap, 64);

		pymalloc_set_bad_free(count_and_exit);
		pymalloc_free(self->heap, block);
		memset(block, 1, 64);
		pymalloc_free(self->heap, block);
		exit(0);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(PYMALLOC_REF_FREE, WEXITSTATUS(status));
}

TEST_F(bad_free, large_object_twice)
{
	void *large = pymalloc_malloc(self->heap, 5000);

	pymalloc_set_bad_free(remember);
	pymalloc_free(self->heap, large);
	pymalloc_free(self->heap, large);
	EXPECT_BAD(large, PYMALLOC_REF_FOREIGN);
}

/* The good refs of a batch are freed nevertheless. */
TEST_F(bad_free, among_many)
{
	void *blocks[40];
	size_t i;

	pymalloc_set_bad_free(remember);
	for (i = 0; i < 40; i++)
		blocks[i] = pymalloc_malloc(self->heap, 128);
	pymalloc_heap_flush(self->heap);
	/* Keep some of them, so that their pools stay. */
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
	EXPECT_BAD(&local, PYMALLOC_REF_RANGE);
	EXPECT_EQ(0, pymalloc_usable_size(self->heap, &local));
	EXPECT_EQ(NULL, pymalloc_realloc(self->heap, self->block + 8, 100));
	EXPECT_BAD(self->block + 8, PYMALLOC_REF_MISALIGNED);
	EXPECT_EQ(0, pymalloc_usable_size(self->heap, self->block + 8));
	pymalloc_free(self->heap, self->block);
	EXPECT_EQ(NULL, pymalloc_realloc(self->heap, self->block, 60));
	EXPECT_BAD(self->block, PYMALLOC_REF_FREE);
	self->block = pymalloc_malloc(self->heap, 64);
}

TEST_F(bad_free, policy_is_returned)
{
	EXPECT_TRUE(!pymalloc_set_bad_free(remember));
	EXPECT_TRUE(pymalloc_set_bad_free(NULL) == remember);
	EXPECT_TRUE(!pymalloc_set_bad_free(NULL));
}

/*
 * One line, then SIGABRT, as with glibc. It runs in a child, because the
 * harness takes this signal for a failed assertion.
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
	/*
	 * Where no arena ever was, the pool map has 0, and the kernel says that
	 * no object is there.
	 */
	expect_abort(_metadata, self->heap, self->block + (512 << 20), ": no object is there\n");
}

TEST_HARNESS_MAIN
