// SPDX-License-Identifier: GPL-2.0
/*
 * A descriptor for reading shows everything and can change nothing, now or
 * later.
 */
#include "service.h"

FIXTURE(readonly)
{
	struct heap heap;
	int fd;
	__u64 ref;
};

FIXTURE_SETUP(readonly)
{
	self->heap = HEAP();
	self->ref = alloc_one(&self->heap, 100);
	*at(&self->heap, self->ref) = 'x';
	self->fd = heap_open(_metadata, self->heap.id, PYMALLOC_OPEN_RDONLY);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(readonly)
{
	ASSERT_EQ(104, usable(&self->heap, self->ref));
	heap_check(&self->heap);
	heap_close(&self->heap);
	close(self->fd);
}

/* No command that changes the heap works on @fd. */
static void refuses(struct __test_metadata *_metadata, FIXTURE_DATA(readonly) *self, int fd)
{
	__u64 ref = self->ref;
	struct pymalloc_alloc alloc = ARG(alloc, .refs = user_ptr(&ref), .size = 8, .count = 1);
	struct pymalloc_free free = ARG(free, .refs = user_ptr(&ref), .count = 1);
	struct pymalloc_resize resize = ARG(resize, .ref = ref, .size = 500);
	struct pymalloc_trim trim = ARG(trim);
	struct pymalloc_compact compact = ARG(compact);
	struct pymalloc_policy policy = ARG(policy, .flags = PYMALLOC_POLICY_SET);
	struct pymalloc_policy reset = ARG(policy, .flags = PYMALLOC_POLICY_RESET);
	struct pymalloc_notify notify = ARG(notify, .threshold = 1);
	struct pymalloc_caches caches = ARG(caches, .threads = 1);
	struct pymalloc_grow grow = ARG(grow, .extent = self->heap.bytes);
	struct pymalloc_end end = ARG(end);

	EXPECT_EQ(-EBADF, call(fd, PYMALLOC_IOC_ALLOC, &alloc));
	EXPECT_EQ(-EBADF, call(fd, PYMALLOC_IOC_FREE, &free));
	EXPECT_EQ(-EBADF, call(fd, PYMALLOC_IOC_RESIZE, &resize));
	EXPECT_EQ(-EBADF, call(fd, PYMALLOC_IOC_TRIM, &trim));
	EXPECT_EQ(-EBADF, call(fd, PYMALLOC_IOC_COMPACT, &compact));
	EXPECT_EQ(-EBADF, call(fd, PYMALLOC_IOC_POLICY, &policy));
	EXPECT_EQ(-EBADF, call(fd, PYMALLOC_IOC_POLICY, &reset));
	EXPECT_EQ(-EBADF, call(fd, PYMALLOC_IOC_NOTIFY, &notify));
	EXPECT_EQ(-EBADF, call(fd, PYMALLOC_IOC_CACHES, &caches));
	EXPECT_EQ(-EBADF, call(fd, PYMALLOC_IOC_GROW, &grow));
	EXPECT_EQ(-EBADF, call(fd, PYMALLOC_IOC_END, &end));
	EXPECT_EQ(self->ref, ref);
	EXPECT_EQ(0, heap_stats(&self->heap).threshold);
	EXPECT_EQ(0, heap_stats(&self->heap).cache_threads);
}

/* Nothing can be written through @fd, nor later through a mapping of it. */
static void cannot_write(struct __test_metadata *_metadata, FIXTURE_DATA(readonly) *self, int fd)
{
	size_t bytes = self->heap.bytes;
	char *window;

	EXPECT_EQ(MAP_FAILED, mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, bytes, PROT_WRITE, MAP_SHARED, fd, 0));
	EXPECT_EQ(EACCES, errno);
	window = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, window);
	EXPECT_EQ('x', window[self->ref]);
	EXPECT_EQ(-1, mprotect(window, bytes, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(SIGSEGV, touch(window + self->ref, true));
	EXPECT_EQ('x', window[self->ref]);
	munmap(window, bytes);
}

TEST_F(readonly, refuses_changes)
{
	refuses(_metadata, self, self->fd);
}

TEST_F(readonly, refuses_writes)
{
	cannot_write(_metadata, self, self->fd);
}

TEST_F(readonly, shows_everything)
{
	struct pymalloc_stats stats = ARG(stats);
	struct pymalloc_check check = ARG(check);
	struct pymalloc_block_info blocks[50];
	struct pymalloc_walk walk = ARG(walk, .what = PYMALLOC_WALK_BLOCKS,
					.entries = user_ptr(blocks), .count = 50,
					.entry_size = sizeof(blocks[0]));
	__u64 size;
	struct pymalloc_usable usable = ARG(usable, .refs = user_ptr(&self->ref),
					    .sizes = user_ptr(&size), .count = 1);
	const __u8 *map;

	EXPECT_EQ(self->heap.id, heap_info(_metadata, self->fd).id);
	EXPECT_EQ(0, call(self->fd, PYMALLOC_IOC_STATS, &stats));
	EXPECT_EQ(1, stats.blocks);
	EXPECT_EQ(0, call(self->fd, PYMALLOC_IOC_CHECK, &check));
	EXPECT_EQ(0, check.errors);
	EXPECT_EQ(0, call(self->fd, PYMALLOC_IOC_WALK, &walk));
	EXPECT_EQ(39, walk.done);
	EXPECT_EQ(0, call(self->fd, PYMALLOC_IOC_USABLE, &usable));
	EXPECT_EQ(104, size);
	map = mmap(NULL, self->heap.bytes / POOL, PROT_READ, MAP_SHARED, self->fd,
		   PYMALLOC_POOL_MAP_OFFSET);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(13, map[self->ref / POOL]);
}

/* Other ways to the same file give no more rights. */
TEST_F(readonly, reopened)
{
	static const int modes[] = { O_RDONLY, O_WRONLY, O_RDWR };
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->fd);
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		int fd = open(path, modes[i]);

		if (fd < 0)
			continue;
		refuses(_metadata, self, fd);
		cannot_write(_metadata, self, fd);
		close(fd);
	}
}

TEST_F(readonly, duplicated)
{
	int fd = dup(self->fd);

	EXPECT_EQ(O_RDONLY, fcntl(fd, F_GETFL) & O_ACCMODE);
	refuses(_metadata, self, fd);
	cannot_write(_metadata, self, fd);
	close(fd);
}

/*
 * The path in /proc of a descriptor for writing opens nothing, either: no heap
 * is opened without OPEN.
 */
TEST_F(readonly, writer_reopened)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->heap.fd);
	fd = open(path, O_RDWR);
	EXPECT_GT(0, fd);
}

TEST_HARNESS_MAIN
