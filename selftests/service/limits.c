// SPDX-License-Identifier: GPL-2.0
/*
 * Limits: a heap's bytes, a user's heaps and bytes. Past a limit, a call fails
 * and says how much it has done. Nothing is lost, and what is freed can be
 * allocated again.
 */
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "service.h"

static const char *const parameters[] = { "heap_limit", "window", "user_heaps", "user_bytes" };

/* Each test may set the limits. The test that sets them puts them back. */
FIXTURE(limits)
{
	__u64 before[ARRAY_SIZE(parameters)];
};

FIXTURE_SETUP(limits)
{
	for (size_t i = 0; i < ARRAY_SIZE(parameters); i++)
		self->before[i] = read_parameter(_metadata, parameters[i]);
}

FIXTURE_TEARDOWN(limits)
{
	for (size_t i = 0; i < ARRAY_SIZE(parameters); i++)
		write_parameter(_metadata, parameters[i], self->before[i]);
}

static int try_alloc(struct heap *heap, __u64 size, __u64 *refs, __u32 count, __u32 *done)
{
	struct pymalloc_alloc arg = ARG(alloc, .size = size, .refs = user_ptr(refs),
					.count = count);
	int ret = call(heap->fd, PYMALLOC_IOC_ALLOC, &arg);

	*done = arg.done;
	return ret;
}

static __u64 refs[3000];

/* Make a heap that has room for so many pages in one arena. */
static struct heap heap_of(struct __test_metadata *_metadata, __u64 pages)
{
	return HEAP(.limit = meta_with(_metadata, 1) + pages * (POOL + PAGE_META_MAX));
}

/* The heap has ten pages, and the test asks for more. */
static void fill(struct heap *heap, __u64 size, __u32 expected)
{
	struct __test_metadata *_metadata = heap->test;
	__u32 done;

	ASSERT_EQ(-ENOMEM, try_alloc(heap, size, refs, ARRAY_SIZE(refs), &done));
	ASSERT_EQ(expected, done) TH_LOG("size %llu", size);
	ASSERT_GE(heap_stats(heap).limit,
		  heap_stats(heap).page_bytes + heap_stats(heap).meta_bytes);
	ASSERT_EQ(expected, heap_stats(heap).blocks + heap_stats(heap).runs);
	heap_check(heap);
}

TEST_F(limits, of_a_heap)
{
	static const __u64 sizes[] = { 24, 64, 104, 512, 513, 2 * 4096, 3 * 4096, 10 * 4096 };
	struct heap heap = heap_of(_metadata, 10);

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		__u64 size = sizes[i];
		__u32 fit = size <= 512 ? 10 * (POOL / size) : 10 / run_pages(size);

		for (int round = 0; round < 3; round++) {
			fill(&heap, size, fit);
			free_all(&heap, refs, fit);
		}
	}
	EXPECT_EQ(10 * POOL, heap_stats(&heap).page_bytes_peak);
	heap_close(&heap);
}

/* One block that is freed makes room for one. */
TEST_F(limits, full_and_one_free)
{
	struct heap heap = heap_of(_metadata, 10);
	__u64 again[2];
	__u32 done;

	fill(&heap, 512, 80);
	free_one(&heap, refs[33]);
	EXPECT_EQ(-ENOMEM, try_alloc(&heap, 512, again, 2, &done));
	EXPECT_EQ(1, done);
	EXPECT_EQ(refs[33], again[0]);
	EXPECT_EQ(-ENOMEM, try_alloc(&heap, 8, again, 1, &done));
	EXPECT_EQ(0, done);
	heap_check(&heap);
	heap_close(&heap);
}

/*
 * Empty pools that one class has left must not make an allocation of another
 * class fail.
 */
TEST_F(limits, trims_itself_first)
{
	struct heap heap = heap_of(_metadata, 10);

	fill(&heap, 512, 80);
	free_all(&heap, refs, 80);
	fill(&heap, 16, 10 * 256);
	free_all(&heap, refs, 10 * 256);
	fill(&heap, 10 * POOL, 1);
	heap_close(&heap);
}

/*
 * There is no room for a page, nor for its arena; then there is not even room
 * for the heap itself.
 */
TEST_F(limits, smaller_than_a_page)
{
	__u64 least = service_info(_metadata).heap_bytes_min;
	__u64 limits[] = { meta_with(_metadata, 1) + POOL - 1, meta_with(_metadata, 1) - 1, least };
	struct pymalloc_create arg = ARG(create, .limit = least - 1);
	int device = device_open(_metadata);
	__u32 done;

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		struct heap heap = HEAP(.limit = limits[i]);

		EXPECT_EQ(-ENOMEM, try_alloc(&heap, 8, refs, 1, &done));
		EXPECT_EQ(0, done);
		heap_check(&heap);
		heap_close(&heap);
	}
	EXPECT_EQ(-ENOMEM, call(device, PYMALLOC_IOC_CREATE, &arg));
	arg.limit = 1;
	EXPECT_EQ(-ENOMEM, call(device, PYMALLOC_IOC_CREATE, &arg));
	close(device);
}

TEST_F(limits, defaults)
{
	__u64 limit = meta_with(_metadata, 1) + 7 * (POOL + PAGE_META_MIN);
	struct pymalloc_info info;
	struct heap heap;

	write_parameter(_metadata, "heap_limit", limit);
	write_parameter(_metadata, "window", 5 * ARENA);
	info = service_info(_metadata);
	EXPECT_EQ(limit, info.limit_default);
	EXPECT_EQ(5 * ARENA, info.window_default);
	heap = HEAP();
	EXPECT_EQ(limit, heap_info(_metadata, heap.fd).limit);
	EXPECT_EQ(5 * ARENA, heap.bytes);
	fill(&heap, 512, 56);
	heap_close(&heap);
}

/*
 * A user's limits. The test needs a user who has nothing else, so it runs in a
 * child with its own user number, which waits until the heaps of the last such
 * child are gone: a worker may still be ending them.
 */
static pid_t fork_somebody(struct __test_metadata *_metadata)
{
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child) {
		ASSERT_EQ(0, setgid(SOMEBODY));
		ASSERT_EQ(0, setuid(SOMEBODY));
		ASSERT_TRUE(EVENTUALLY(!service_info(_metadata).user_bytes));
	}
	return child;
}

TEST_F(limits, heaps_of_a_user)
{
	pid_t child;

	write_parameter(_metadata, "user_heaps", 3);
	child = fork_somebody(_metadata);
	if (!child) {
		struct pymalloc_create arg = ARG(create);
		int device = device_open(_metadata);
		struct heap first = HEAP();

		HEAP();
		HEAP();
		EXPECT_EQ(3, service_info(_metadata).user_heaps);
		EXPECT_EQ(3, service_info(_metadata).user_heaps_max);
		EXPECT_EQ(-EDQUOT, call(device, PYMALLOC_IOC_CREATE, &arg));
		EXPECT_EQ(3, service_info(_metadata).user_heaps);
		EXPECT_LE(0, heap_open(_metadata, first.id, 0));
		_exit(0);
	}
	join_child(_metadata, child);
	child = fork_somebody(_metadata);
	if (!child) {
		EXPECT_TRUE(EVENTUALLY(!service_info(_metadata).user_heaps));
		for (int i = 0; i < 10; i++) {
			struct heap heap = HEAP();

			heap_close(&heap);
		}
		_exit(0);
	}
	join_child(_metadata, child);
	EXPECT_EQ(0, service_info(_metadata).user_heaps);
}

/* Two heaps share the limit of their user. */
TEST_F(limits, bytes_of_a_user)
{
	__u64 limit = 2 * meta_with(_metadata, 1) + 20 * (POOL + PAGE_META_MIN);
	pid_t child;

	write_parameter(_metadata, "user_bytes", limit);
	child = fork_somebody(_metadata);
	if (!child) {
		struct heap a = HEAP(), b = HEAP();
		struct pymalloc_info info;
		__u32 done;

		alloc(&a, 512, refs, 15 * 8);
		EXPECT_EQ(-EDQUOT, try_alloc(&b, 512, refs + 120, 100, &done));
		EXPECT_EQ(5 * 8, done);
		info = service_info(_metadata);
		EXPECT_EQ(20 * POOL, user_pages(&info));
		EXPECT_GE(limit, info.user_bytes);
		EXPECT_LE(limit - 20 * 8, info.user_bytes);
		EXPECT_EQ(limit, info.user_bytes_max);
		EXPECT_EQ(-EDQUOT, try_alloc(&a, POOL, refs + 200, 1, &done));
		heap_check(&a);
		heap_check(&b);
		free_all(&a, refs, 15 * 8);
		heap_trim(&a);
		/* The arena has gone with its pages, but is smaller than one. */
		alloc(&b, 512, refs, 15 * 8);
		EXPECT_EQ(-EDQUOT, try_alloc(&b, 512, refs + 200, 1, &done));
		heap_check(&b);
		_exit(0);
	}
	join_child(_metadata, child);
	EXPECT_EQ(0, service_info(_metadata).user_bytes);
}

TEST_F(limits, resize_past_the_users_bytes)
{
	pid_t child;

	write_parameter(_metadata, "user_bytes",
			meta_with(_metadata, 1) + 4 * (POOL + PAGE_META_MIN));
	child = fork_somebody(_metadata);
	if (!child) {
		struct heap heap = HEAP();
		struct pymalloc_resize arg = ARG(resize, .ref = alloc_one(&heap, 3 * POOL),
						 .size = 4 * POOL);
		__u64 ref = arg.ref;

		EXPECT_EQ(-EDQUOT, call(heap.fd, PYMALLOC_IOC_RESIZE, &arg));
		EXPECT_EQ(ref, arg.ref);
		EXPECT_EQ(3 * POOL, usable(&heap, ref));
		heap_check(&heap);
		_exit(0);
	}
	join_child(_metadata, child);
}

/* 0 means no limit. */
TEST_F(limits, none)
{
	static const char *const off[] = { "heap_limit", "user_heaps", "user_bytes" };
	struct pymalloc_info info;
	struct heap heap;

	for (size_t i = 0; i < ARRAY_SIZE(off); i++)
		write_parameter(_metadata, off[i], 0);
	info = service_info(_metadata);
	EXPECT_EQ(0, info.limit_default);
	EXPECT_EQ(0, info.user_heaps_max);
	EXPECT_EQ(0, info.user_bytes_max);
	heap = HEAP();
	alloc(&heap, POOL, refs, ARRAY_SIZE(refs));
	heap_check(&heap);
	heap_close(&heap);
}

/* Returns 0, or the errno of writing a parameter. */
static int try_parameter(const char *name, const char *value)
{
	char path[128];
	int fd, error;

	snprintf(path, sizeof(path), PARAMETERS "%s", name);
	fd = open(path, O_WRONLY);
	error = write(fd, value, strlen(value)) < 0 ? errno : 0;
	close(fd);
	return error;
}

/* A value with which no heap could be made is refused, and changes nothing. */
TEST_F(limits, bad_parameters)
{
	static const struct {
		const char *name;
		const char *value;
	} bad[] = {
		{ "window", "12345" }, { "window", "0" }, { "window", "262144" },
		{ "window", "1099511889920" }, { "window", "524289" },
		{ "window", "99999999999999999999" }, { "window", "-524288" },
		{ "window", "words" },
		{ "heap_limit", "4095" }, { "heap_limit", "-1" }, { "heap_limit", "1.5" },
		{ "user_bytes", "1" }, { "user_bytes", "18446744073709551616" },
		{ "user_heaps", "-1" }, { "user_heaps", "4294967296" }, { "user_heaps", "x" },
		{ "check", "maybe" }, { "check", "2" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(EINVAL, try_parameter(bad[i].name, bad[i].value))
			TH_LOG("%s=%s", bad[i].name, bad[i].value);
	}
	for (size_t i = 0; i < ARRAY_SIZE(parameters); i++)
		EXPECT_EQ(self->before[i], read_parameter(_metadata, parameters[i]));
}

TEST_F(limits, good_parameters)
{
	static const __u64 windows[] = { PYMALLOC_WINDOW_MIN, 3 * ARENA, PYMALLOC_WINDOW_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(windows); i++) {
		write_parameter(_metadata, "window", windows[i]);
		EXPECT_EQ(windows[i], service_info(_metadata).window_default);
	}
	write_parameter(_metadata, "heap_limit", 4096);
	write_parameter(_metadata, "heap_limit", 0);
	write_parameter(_metadata, "user_bytes", 0);
	write_parameter(_metadata, "user_heaps", 0);
}

/*
 * A process leaves its heap to the caller: 56 pages, not mapped.  It has closed its own descriptor,
 * and so nobody notices its death before the user needs room.
 */
struct left {
	pid_t child;
	int fd;
};

static void leave_heap(struct __test_metadata *_metadata, int socket)
{
	struct heap heap = HEAP();
	char taken;

	ASSERT_EQ(0, prctl(PR_SET_PDEATHSIG, SIGKILL));
	alloc(&heap, 512, refs, 56 * 8);
	heap_unmap(&heap);
	/* It is not since setuid(), and then the caller may not take its descriptors. */
	ASSERT_EQ(0, prctl(PR_SET_DUMPABLE, 1));
	ASSERT_EQ(sizeof(heap.fd), write(socket, &heap.fd, sizeof(heap.fd)));
	ASSERT_EQ(1, read(socket, &taken, 1));
	close(heap.fd);
	ASSERT_EQ(1, write(socket, &taken, 1));
	pause();
}

static struct left left_new(struct __test_metadata *_metadata)
{
	struct left left;
	int sockets[2], fd, process;
	char taken = 1;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	IN_CHILD(left.child, leave_heap(_metadata, sockets[1]));
	ASSERT_EQ(sizeof(fd), read(sockets[0], &fd, sizeof(fd)));
	process = syscall(SYS_pidfd_open, left.child, 0);
	left.fd = syscall(SYS_pidfd_getfd, process, fd, 0);
	ASSERT_LE(0, left.fd);
	close(process);
	ASSERT_EQ(1, write(sockets[0], &taken, 1));
	ASSERT_EQ(1, read(sockets[0], &taken, 1));
	return left;
}

static void left_dies(struct __test_metadata *_metadata, struct left *left)
{
	ASSERT_EQ(0, kill(left->child, SIGKILL));
	ASSERT_EQ(left->child, waitpid(left->child, NULL, 0));
}

static int ten_by_alloc(struct heap *heap)
{
	__u32 done;

	return try_alloc(heap, 10 * POOL, refs, 1, &done);
}

static int ten_by_resize(struct heap *heap)
{
	struct pymalloc_resize arg = ARG(resize, .ref = refs[0], .size = 10 * POOL);

	return call(heap->fd, PYMALLOC_IOC_RESIZE, &arg);
}

static int ten_by_cache(struct heap *heap)
{
	struct pymalloc_cache arg = ARG(cache, .op = PYMALLOC_CACHE_MAKE, .count = 10);

	return call(heap->fd, PYMALLOC_IOC_CACHE, &arg);
}

FIXTURE(limits_of_the_dead)
{
	__u64 before;
};

FIXTURE_VARIANT(limits_of_the_dead)
{
	int (*take_ten_pages)(struct heap *heap);
};

FIXTURE_VARIANT_ADD(limits_of_the_dead, alloc)
{
	.take_ten_pages = ten_by_alloc,
};

FIXTURE_VARIANT_ADD(limits_of_the_dead, resize)
{
	.take_ten_pages = ten_by_resize,
};

FIXTURE_VARIANT_ADD(limits_of_the_dead, cache)
{
	.take_ten_pages = ten_by_cache,
};

FIXTURE_SETUP(limits_of_the_dead)
{
	self->before = read_parameter(_metadata, "user_bytes");
	write_parameter(_metadata, "user_bytes",
			2 * meta_with(_metadata, 2) + 64 * (POOL + PAGE_META_MIN));
}

FIXTURE_TEARDOWN(limits_of_the_dead)
{
	write_parameter(_metadata, "user_bytes", self->before);
}

TEST_F(limits_of_the_dead, go)
{
	pid_t child = fork_somebody(_metadata);

	if (!child) {
		struct left left = left_new(_metadata);
		struct heap heap = HEAP();

		refs[0] = alloc_one(&heap, 2 * POOL);
		EXPECT_EQ(-EDQUOT, variant->take_ten_pages(&heap));
		left_dies(_metadata, &left);
		EXPECT_EQ(0, variant->take_ten_pages(&heap));
		heap_check(&heap);
		_exit(0);
	}
	join_child(_metadata, child);
}

TEST_HARNESS_MAIN
