// SPDX-License-Identifier: GPL-2.0
/*
 * pymalloc_enter_sandbox(): heaps of a process that has only read() and write()
 * left.
 */
#include "library.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <linux/seccomp.h>

/* In strict mode, only the exit status can report a failure. */
#define NEED(condition) \
	do { \
		if (!(condition)) \
			syscall(SYS_exit, 2 + __LINE__ % 200); \
	} while (0)

#define OBJECTS 3000

static void use(struct pymalloc_heap *heap, size_t least, size_t most, size_t count)
{
	static unsigned char *objects[OBJECTS];
	size_t i, size;

	for (i = 0; i < count; i++) {
		size = least + 31 * i % (most - least + 1);
		objects[i] = pymalloc_malloc(heap, size);
		NEED(objects[i]);
		NEED(pymalloc_usable_size(heap, objects[i]) >= size);
		fill(objects[i], size, i);
	}
	for (i = 0; i < count; i++) {
		size = least + 31 * i % (most - least + 1);
		NEED(filled(objects[i], size, i));
		objects[i] = pymalloc_realloc(heap, objects[i], 2 * size);
		NEED(objects[i]);
		NEED(filled(objects[i], size, i));
		pymalloc_free(heap, objects[i]);
	}
}

static void use_in_strict_mode(struct pymalloc_heap *heap)
{
	unsigned char *zero;

	NEED(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
	use(heap, 1, PYMALLOC_BLOCK_MAX, OBJECTS);
	use(heap, PYMALLOC_BLOCK_MAX + 1, 20000, 200);
	zero = pymalloc_calloc(heap, 1, 50000);
	NEED(zero && all_zero(zero, 50000));
	zero = pymalloc_realloc(heap, zero, 100);
	NEED(zero && all_zero(zero, 100));
	pymalloc_free(heap, zero);
	pymalloc_heap_flush(heap);
	syscall(SYS_exit, 1);
}

static void expect_strict_mode_to_do(struct __test_metadata *_metadata,
				     struct pymalloc_heap *heap)
{
	int status;
	pid_t child = fork();

	if (!child) {
		pymalloc_enter_sandbox();
		use_in_strict_mode(heap);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFEXITED(status)) TH_LOG("signal %d", WTERMSIG(status));
	EXPECT_EQ(1, WEXITSTATUS(status));
	EXPECT_EQ(0, left_in(heap));
}

TEST(strict_mode)
{
	struct pymalloc_heap *heap = heap_with("sandbox", 8, 0);

	ASSERT_NE(NULL, heap);
	expect_strict_mode_to_do(_metadata, heap);
	pymalloc_heap_destroy(heap);
}

/* Heaps without magazines work without them, there too. */
TEST(many_heaps)
{
	struct pymalloc_heap *heaps[20];
	size_t i;

	for (i = 0; i < 20; i++) {
		heaps[i] = heap_with("sandbox", 16, 0);
		ASSERT_NE(NULL, heaps[i]);
	}
	expect_strict_mode_to_do(_metadata, heaps[0]);
	expect_strict_mode_to_do(_metadata, heaps[19]);
	for (i = 0; i < 20; i++)
		pymalloc_heap_destroy(heaps[i]);
}

/* A function that needs other calls says so. */
TEST(refused)
{
	struct pymalloc_heap *heap = heap_with("sandbox", 8, 0);
	struct pymalloc_stats stats;
	void *object;
	__u64 id;

	ASSERT_NE(NULL, heap);
	object = pymalloc_malloc(heap, 100);
	id = pymalloc_heap_id(heap);
	pymalloc_enter_sandbox();
	EXPECT_EQ(NULL, pymalloc_heap_create(NULL));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, pymalloc_heap_trim(heap, NULL));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, pymalloc_heap_compact(heap, 0, NULL));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, pymalloc_heap_stats(heap, &stats, NULL));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(id, pymalloc_heap_id(heap));
	EXPECT_EQ(104, pymalloc_usable_size(heap, object));
	errno = 7;
	pymalloc_free(heap, object);
	pymalloc_heap_flush(heap);
	EXPECT_EQ(7, errno);
	EXPECT_TRUE(sound(heap));
	pymalloc_heap_destroy(heap);
}

TEST(limit)
{
	struct pymalloc_heap *heap = heap_with("sandbox", 8, 64 * 4096);
	size_t count = 0;

	ASSERT_NE(NULL, heap);
	pymalloc_enter_sandbox();
	while (pymalloc_malloc(heap, 512))
		count++;
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_LT(0, count);
	/* Metadata counts, too. */
	EXPECT_GT(64 * 8, count);
	EXPECT_TRUE(sound(heap));
}

static unsigned int statuses[10];
static size_t nr_bad;

static void note_bad(struct pymalloc_heap *heap, void *object, unsigned int status)
{
	(void)heap;
	(void)object;
	if (nr_bad < 10)
		statuses[nr_bad++] = status;
}

/*
 * They are found as exactly as outside, and the good frees beside them are
 * done.
 */
TEST(bad_frees)
{
	struct pymalloc_heap *heap = heap_with("sandbox", 8, 0);
	char *objects[200];
	size_t i;

	ASSERT_NE(NULL, heap);
	pymalloc_set_bad_free(note_bad);
	for (i = 0; i < 200; i++)
		objects[i] = pymalloc_malloc(heap, 96);
	pymalloc_enter_sandbox();
	pymalloc_free(heap, objects[150]);
	pymalloc_heap_flush(heap);
	for (i = 0; i < 200; i++) {
		if (i == 50)
			pymalloc_free(heap, objects[20] + 8);
		pymalloc_free(heap, objects[i]);
	}
	pymalloc_free(heap, objects[0] - 64 * PYMALLOC_POOL_SIZE);
	pymalloc_heap_flush(heap);
	ASSERT_EQ(3, nr_bad);
	EXPECT_EQ(PYMALLOC_REF_MISALIGNED, statuses[0]);
	EXPECT_EQ(PYMALLOC_REF_FREE, statuses[1]);
	EXPECT_EQ(PYMALLOC_REF_RANGE, statuses[2]);
	EXPECT_TRUE(sound(heap));
	pymalloc_heap_destroy(heap);
}

TEST_HARNESS_MAIN
