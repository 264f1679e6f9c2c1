// SPDX-License-Identifier: GPL-2.0
/*
 * The module stays while it is used, can be unloaded when it is not used, and
 * can be loaded again. It is loaded when this program ends, whatever has
 * happened.
 */
#include <sys/uio.h>

#include "service.h"

#define ROUNDS 20

/* Returns 0 or an errno. */
static int unload(void)
{
	return syscall(SYS_delete_module, "pymalloc", O_NONBLOCK) ? errno : 0;
}

/*
 * Load the file that the environment names, or else the file that is installed.
 */
static int load_with(const char *parameters)
{
	const char *path = getenv("PYMALLOC_MODULE");
	int fd, error;

	if (!path)
		return system("modprobe pymalloc");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	error = syscall(SYS_finit_module, fd, parameters, 0) ? errno : 0;
	close(fd);
	return error;
}

static int load(void)
{
	return load_with("");
}

static bool loaded(void)
{
	return !access("/sys/module/pymalloc", F_OK);
}

FIXTURE(unload)
{
};

FIXTURE_SETUP(unload)
{
	ASSERT_TRUE(loaded());
}

FIXTURE_TEARDOWN(unload)
{
	if (!loaded()) {
		ASSERT_EQ(0, load());
	}
}

TEST_F(unload, not_with_the_device_open)
{
	int device = device_open(_metadata);

	EXPECT_EQ(EAGAIN, unload());
	close(device);
	EXPECT_EQ(0, unload());
}

TEST_F(unload, not_with_a_heap_open)
{
	struct heap heap = HEAP();

	heap_unmap(&heap);
	EXPECT_EQ(EAGAIN, unload());
	heap_check(&heap);
	close(heap.fd);
	EXPECT_EQ(0, unload());
}

TEST_F(unload, not_with_a_window_mapped)
{
	struct heap heap = HEAP();
	__u64 ref = alloc_one(&heap, 8);

	*at(&heap, ref) = 'x';
	munmap((void *)heap.map, heap.bytes / POOL);
	close(heap.fd);
	EXPECT_EQ(EAGAIN, unload());
	EXPECT_EQ('x', *at(&heap, ref));
	munmap(heap.window, heap.bytes);
	EXPECT_EQ(0, unload());
}

TEST_F(unload, not_with_a_pool_map_mapped)
{
	struct heap heap = HEAP();
	__u64 ref = alloc_one(&heap, 8);

	EXPECT_EQ(1, pool_map(&heap, ref));
	munmap(heap.window, heap.bytes);
	close(heap.fd);
	EXPECT_EQ(EAGAIN, unload());
	EXPECT_EQ(1, pool_map(&heap, ref));
	munmap((void *)heap.map, heap.bytes / POOL);
	EXPECT_EQ(0, unload());
}

/* The module is not loaded with a parameter that is not possible. */
TEST_F(unload, bad_parameters)
{
	EXPECT_EQ(0, unload());
	EXPECT_EQ(EINVAL, load_with("window=12345"));
	EXPECT_EQ(EINVAL, load_with("user_bytes=1"));
	EXPECT_FALSE(loaded());
	EXPECT_EQ(0, load());
}

TEST_F(unload, not_with_debugfs_open)
{
	int fd = open("/sys/kernel/debug/pymalloc/summary", O_RDONLY);

	ASSERT_LE(0, fd) TH_LOG("%m");
	EXPECT_EQ(EAGAIN, unload());
	close(fd);
	EXPECT_EQ(0, unload());
}

/* What is kept of dead heaps goes with the module. */
TEST_F(unload, with_dead_heaps)
{
	struct heap heap;
	pid_t child;

	write_parameter(_metadata, "keep_dead", 10);
	for (int i = 0; i < 20; i++) {
		IN_CHILD(child,
			 heap = HEAP();
			 alloc_one(&heap, 100));
		join_child(_metadata, child);
	}
	EXPECT_TRUE(EVENTUALLY(!service_info(_metadata).user_heaps));
	EXPECT_EQ(10, service_info(_metadata).user_dead);
	EXPECT_EQ(0, unload());
	EXPECT_EQ(0, load());
	EXPECT_EQ(0, service_info(_metadata).user_dead);
}

TEST_F(unload, not_with_a_dead_heap_open)
{
	struct heap *heap = mmap(NULL, POOL, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t child;
	int fd;

	write_parameter(_metadata, "keep_dead", 1);
	IN_CHILD(child, *heap = HEAP());
	join_child(_metadata, child);
	ASSERT_TRUE(EVENTUALLY(service_info(_metadata).user_dead));
	fd = heap_open(_metadata, heap->id, PYMALLOC_OPEN_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(EAGAIN, unload());
	close(fd);
	EXPECT_EQ(0, unload());
}

/* A page in a pipe belongs to the system. The module may go. */
TEST_F(unload, with_a_page_in_a_pipe)
{
	struct heap heap = HEAP();
	__u64 ref = alloc_one(&heap, POOL);
	struct iovec iov = { at(&heap, ref), POOL };
	char copy[PYMALLOC_POOL_SIZE];
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	memset(at(&heap, ref), 'p', POOL);
	ASSERT_EQ(POOL, vmsplice(fds[1], &iov, 1, 0));
	heap_close(&heap);
	EXPECT_EQ(0, unload());
	EXPECT_EQ(POOL, read(fds[0], copy, POOL));
	EXPECT_TRUE(is_filled(copy, 'p', POOL));
}

static void use(struct __test_metadata *_metadata)
{
	struct heap heap = HEAP();
	static __u64 refs[1000];

	alloc(&heap, 64, refs, ARRAY_SIZE(refs));
	for (size_t i = 0; i < ARRAY_SIZE(refs); i++)
		memset(at(&heap, refs[i]), 'x', 64);
	alloc_one(&heap, 1 << 20);
	free_all(&heap, refs, ARRAY_SIZE(refs) / 2);
	heap_check(&heap);
	heap_close(&heap);
}

TEST_F(unload, again_and_again)
{
	for (int i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, unload());
		ASSERT_FALSE(loaded());
		ASSERT_NE(0, access(DEVICE_PATH, F_OK));
		ASSERT_EQ(0, load());
		use(_metadata);
	}
}

/* A heap has ended whose next round is due tomorrow. */
TEST_F(unload, while_a_round_is_due)
{
	for (int round = 0; round < ROUNDS; round++) {
		struct heap heap = HEAP();

		POLICY(&heap, .flags = PYMALLOC_POLICY_SET, .decay_ms = PYMALLOC_DECAY_MS_MAX);
		free_one(&heap, alloc_one(&heap, 64));
		heap_close(&heap);
		ASSERT_TRUE(EVENTUALLY(!unload()));
		ASSERT_EQ(0, load());
	}
}

/* A round may just have begun. */
TEST_F(unload, while_rounds_begin)
{
	for (int round = 0; round < ROUNDS; round++) {
		struct heap heap = HEAP();

		POLICY(&heap, .flags = PYMALLOC_POLICY_SET, .decay_ms = PYMALLOC_DECAY_MS_MIN);
		free_one(&heap, alloc_one(&heap, 64));
		usleep(round * 1000);
		heap_close(&heap);
		ASSERT_TRUE(EVENTUALLY(!unload()));
		ASSERT_EQ(0, load());
	}
}

TEST_HARNESS_MAIN
