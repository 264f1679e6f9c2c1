// SPDX-License-Identifier: GPL-2.0
/* Heaps of the library: how they are made, looked at, trimmed, given back. */
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <pymalloc-inline.h>

#include "library.h"

/* More heaps than can have magazines. */
#define MANY 24

FIXTURE(heap) {
	struct pymalloc_heap *heap;
};

FIXTURE_SETUP(heap)
{
	self->heap = heap_with("test heap", 8, 0);
	ASSERT_NE(NULL, self->heap);
}

FIXTURE_TEARDOWN(heap)
{
	EXPECT_TRUE(sound(self->heap));
	pymalloc_heap_destroy(self->heap);
}

static bool describe(struct pymalloc_heap *heap, struct pymalloc_heap_info *info)
{
	struct pymalloc_list list = {
		.argsz = sizeof(list),
		.heaps = (uintptr_t)info,
		.count = 1,
		.entry_size = sizeof(*info),
	};

	return !ioctl(pymalloc_heap_fd(heap), PYMALLOC_IOC_LIST, &list) && list.done == 1;
}

TEST(defaults)
{
	struct pymalloc_heap *heap = pymalloc_heap_create(NULL);
	struct pymalloc_heap_info info;

	ASSERT_NE(NULL, heap);
	ASSERT_TRUE(describe(heap, &info));
	EXPECT_EQ(8, info.alignment);
	EXPECT_STREQ("", info.name);
	EXPECT_EQ(getpid(), info.pid);
	EXPECT_EQ(info.id, pymalloc_heap_id(heap));
	pymalloc_heap_destroy(heap);
	pymalloc_heap_destroy(NULL);
}

/* The child ends with 0 if @what is true of the heap that it has inherited. */
static int child_finds(bool (*what)(struct pymalloc_heap *heap, void *object),
		       struct pymalloc_heap *heap, void *object)
{
	int status = -1;
	pid_t child = fork();

	if (!child)
		_exit(what(heap, object) ? 0 : 1);
	waitpid(child, &status, 0);
	return status;
}

static bool number_is_its_own(struct pymalloc_heap *heap, void *parents)
{
	struct pymalloc_heap_info info;

	return describe(heap, &info) && info.pid == getpid() &&
	       info.id == pymalloc_heap_id(heap) && info.id != *(__u64 *)parents;
}

TEST(number_of_a_child)
{
	struct pymalloc_heap *heap = pymalloc_heap_create(NULL);
	__u64 id;

	ASSERT_NE(NULL, heap);
	id = pymalloc_heap_id(heap);
	EXPECT_EQ(0, child_finds(number_is_its_own, heap, &id));
	EXPECT_EQ(id, pymalloc_heap_id(heap));
	pymalloc_heap_destroy(heap);
}

/*
 * As daemons do: all descriptors are closed, and the parent's heap has ended.
 */
static bool goes_on_without(struct pymalloc_heap *heap, void *object)
{
	close(pymalloc_heap_fd(heap));
	memset(object, 'c', 100);
	pymalloc_free(heap, object);
	object = pymalloc_malloc(heap, 100000);
	return object && pymalloc_heap_trim(heap, NULL) == 0;
}

TEST(child_without_descriptors)
{
	struct pymalloc_heap *heap = pymalloc_heap_create(NULL);
	void *object;

	ASSERT_NE(NULL, heap);
	object = pymalloc_malloc(heap, 100);
	ASSERT_NE(NULL, object);
	EXPECT_EQ(0, child_finds(goes_on_without, heap, object));
	pymalloc_heap_destroy(heap);
}

/* A descriptor that a child has inherited does not keep a heap. */
TEST(destroyed_beside_a_child)
{
	struct pymalloc_heap *heap = pymalloc_heap_create(NULL);
	int end[2], other;
	struct pymalloc_stats stats = { .argsz = sizeof(stats) };
	pid_t child;
	char byte;

	ASSERT_NE(NULL, heap);
	ASSERT_NE(NULL, pymalloc_malloc(heap, 100000));
	other = dup(pymalloc_heap_fd(heap));
	ASSERT_EQ(0, pipe(end));
	child = fork();
	if (!child) {
		close(end[1]);
		_exit(read(end[0], &byte, 1));
	}
	pymalloc_heap_destroy(heap);
	EXPECT_EQ(-1, ioctl(other, PYMALLOC_IOC_STATS, &stats));
	EXPECT_EQ(ESTALE, errno);
	close(end[1]);
	waitpid(child, NULL, 0);
	close(other);
}

TEST(options)
{
	struct pymalloc_heap *heap = heap_with("a name", 16, 4 << 20);
	struct pymalloc_heap_info info;

	ASSERT_NE(NULL, heap);
	ASSERT_TRUE(describe(heap, &info));
	EXPECT_EQ(16, info.alignment);
	EXPECT_STREQ("a name", info.name);
	EXPECT_EQ(4 << 20, info.limit);
	EXPECT_EQ(1ULL << 30, info.window);
	pymalloc_heap_destroy(heap);
}

TEST(bad_options)
{
	static const struct pymalloc_heap_options bad[] = {
		{ .alignment = 4 },
		{ .alignment = 12 },
		{ .alignment = 32 },
		{ .window = PYMALLOC_ARENA_SIZE },
		{ .window = PYMALLOC_WINDOW_MIN + 1 },
		{ .window = PYMALLOC_WINDOW_MAX + PYMALLOC_ARENA_SIZE },
		{ .name = "this name is one character long." },
		{ .name = "not\nprintable" },
		{ .flags = PYMALLOC_CREATE_SHARED },
	};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		errno = 0;
		EXPECT_EQ(NULL, pymalloc_heap_create(&bad[i])) {
			TH_LOG("entry %zu", i);
		}
		EXPECT_EQ(EINVAL, errno) {
			TH_LOG("entry %zu", i);
		}
	}
}

TEST(largest_window)
{
	struct pymalloc_heap_options options = { .window = PYMALLOC_WINDOW_MAX };
	struct pymalloc_heap *heap = pymalloc_heap_create(&options);
	void *block;

	ASSERT_NE(NULL, heap);
	block = pymalloc_malloc(heap, 100);
	EXPECT_NE(NULL, block);
	pymalloc_free(heap, block);
	EXPECT_EQ(0, left_in(heap));
	pymalloc_heap_destroy(heap);
}

TEST(more_heaps_than_have_magazines)
{
	struct pymalloc_cache_stats stats;
	struct pymalloc_heap *heaps[MANY];
	void *blocks[MANY];
	size_t i;

	for (i = 0; i < MANY; i++) {
		heaps[i] = heap_with("many", 8, 0);
		ASSERT_NE(NULL, heaps[i]);
		blocks[i] = pymalloc_calloc(heaps[i], 3, 30);
		ASSERT_NE(NULL, blocks[i]);
		EXPECT_TRUE(all_zero(blocks[i], 90));
		fill(blocks[i], 90, i);
	}
	pymalloc_heap_cache_stats(heaps[0], &stats);
	EXPECT_EQ(1, stats.threads);
	pymalloc_heap_cache_stats(heaps[MANY - 1], &stats);
	EXPECT_EQ(0, stats.threads);
	for (i = 0; i < MANY; i++) {
		EXPECT_TRUE(filled(blocks[i], 90, i));
		blocks[i] = pymalloc_realloc(heaps[i], blocks[i], 300);
		ASSERT_NE(NULL, blocks[i]);
		EXPECT_TRUE(filled(blocks[i], 90, i));
		pymalloc_free(heaps[i], blocks[i]);
		EXPECT_EQ(0, left_in(heaps[i]));
		EXPECT_TRUE(sound(heaps[i]));
		pymalloc_heap_destroy(heaps[i]);
	}
}

/*
 * A heap that takes the place of another must not find the other's magazines.
 */
TEST(heaps_in_turn)
{
	struct pymalloc_heap *heap;
	size_t i;

	for (i = 0; i < 3 * MANY; i++) {
		heap = heap_with("turn", i % 2 ? 8 : 16, 0);
		ASSERT_NE(NULL, heap);
		ASSERT_NE(NULL, pymalloc_malloc(heap, 24));
		EXPECT_LE(1, blocks_of(heap));
		pymalloc_heap_destroy(heap);
	}
}

TEST_F(heap, stats)
{
	struct pymalloc_class_stats classes[PYMALLOC_NR_CLASSES];
	struct pymalloc_cache_stats cache;
	struct pymalloc_stats stats;
	void *block = pymalloc_malloc(self->heap, 40);
	void *large = pymalloc_malloc(self->heap, 10000);

	ASSERT_NE(NULL, block);
	ASSERT_NE(NULL, large);
	ASSERT_EQ(0, pymalloc_heap_stats(self->heap, &stats, classes));
	pymalloc_heap_cache_stats(self->heap, &cache);
	EXPECT_EQ(PYMALLOC_NR_CLASSES, stats.nr_classes);
	EXPECT_EQ(40, classes[4].size);
	EXPECT_EQ(classes[4].blocks, stats.blocks);
	EXPECT_EQ(1 + cache.blocks, stats.blocks);
	EXPECT_EQ(40 * cache.blocks, cache.bytes);
	EXPECT_EQ(1, cache.nr_fills);
	EXPECT_EQ(1, stats.runs);
	EXPECT_EQ(3, stats.run_pages);
	pymalloc_free(self->heap, block);
	pymalloc_free(self->heap, large);
	EXPECT_EQ(0, left_in(self->heap));
	pymalloc_heap_cache_stats(self->heap, &cache);
	EXPECT_EQ(0, cache.blocks);
	EXPECT_EQ(1, cache.nr_flushes);
}

TEST_F(heap, trim)
{
	struct pymalloc_stats stats;
	void *blocks[1000];
	__u64 released = 0;
	size_t i;

	for (i = 0; i < 1000; i++) {
		blocks[i] = pymalloc_malloc(self->heap, 512);
		ASSERT_NE(NULL, blocks[i]);
	}
	for (i = 0; i < 1000; i++)
		pymalloc_free(self->heap, blocks[i]);
	ASSERT_EQ(0, pymalloc_heap_trim(self->heap, &released));
	ASSERT_EQ(0, pymalloc_heap_stats(self->heap, &stats, NULL));
	EXPECT_LT(0, released);
	EXPECT_EQ(0, stats.page_bytes);
	EXPECT_EQ(0, pymalloc_heap_trim(self->heap, NULL));
}

TEST_F(heap, compact)
{
	struct pymalloc_compact done;
	struct pymalloc_stats stats;
	void *blocks[1000];
	size_t i;

	for (i = 0; i < 1000; i++) {
		blocks[i] = pymalloc_malloc(self->heap, 512);
		ASSERT_NE(NULL, blocks[i]);
	}
	for (i = 0; i < 1000; i++)
		pymalloc_free(self->heap, blocks[i]);
	ASSERT_EQ(0, pymalloc_heap_compact(self->heap, 0, &done));
	ASSERT_EQ(0, pymalloc_heap_stats(self->heap, &stats, NULL));
	EXPECT_LT(0, done.pages_freed);
	EXPECT_EQ(0, stats.page_bytes);
	EXPECT_EQ(0, pymalloc_heap_compact(self->heap, PYMALLOC_COMPACT_STOCK, NULL));
	EXPECT_EQ(-1, pymalloc_heap_compact(self->heap, 1U << 31, &done));
	EXPECT_EQ(EINVAL, errno);
}

/* Objects that the program has allocated by a command may be freed in both ways. */
TEST_F(heap, objects_of_a_command)
{
	struct pymalloc_view *view = (struct pymalloc_view *)self->heap;
	int fd = pymalloc_heap_fd(self->heap);
	__u64 refs[2];
	struct pymalloc_alloc alloc = {
		.argsz = sizeof(alloc),
		.flags = PYMALLOC_ALLOC_PINNED,
		.size = 100,
		.refs = (uintptr_t)refs,
		.count = 2,
	};
	struct pymalloc_free free_one = {
		.argsz = sizeof(free_one),
		.refs = (uintptr_t)&refs[0],
		.count = 1,
	};

	ASSERT_EQ(0, ioctl(fd, PYMALLOC_IOC_ALLOC, &alloc));
	memset(view->base + refs[1], 1, alloc.size);
	EXPECT_LE(alloc.size, pymalloc_usable_size(self->heap, view->base + refs[1]));
	EXPECT_EQ(0, ioctl(fd, PYMALLOC_IOC_FREE, &free_one));
	pymalloc_free(self->heap, view->base + refs[1]);
	EXPECT_EQ(0, left_in(self->heap));
}

TEST_F(heap, notice)
{
	struct pymalloc_notify notify = {
		.argsz = sizeof(notify),
		.threshold = 1 << 16,
	};
	struct pollfd poller = { .events = POLLPRI };

	poller.fd = pymalloc_heap_fd(self->heap);
	ASSERT_EQ(0, ioctl(poller.fd, PYMALLOC_IOC_NOTIFY, &notify));
	EXPECT_EQ(0, poll(&poller, 1, 0));
	EXPECT_NE(NULL, pymalloc_malloc(self->heap, 1 << 17));
	EXPECT_EQ(1, poll(&poller, 1, 0));
}

/* As with a daemon that closes descriptors which it does not know. */
TEST_F(heap, lost_descriptor)
{
	void *blocks[500];
	size_t i;

	for (i = 0; i < 500; i++) {
		if (i % 100 == 50) {
			/*
			 * After the flush, the next allocation needs the
			 * descriptor.
			 */
			pymalloc_heap_flush(self->heap);
			ASSERT_EQ(0, close(pymalloc_heap_fd(self->heap)));
		}
		blocks[i] = pymalloc_malloc(self->heap, 200);
		ASSERT_NE(NULL, blocks[i]);
		fill(blocks[i], 200, i);
	}
	/* Another file may have the number by now. */
	ASSERT_LE(0, dup2(STDOUT_FILENO, pymalloc_heap_fd(self->heap)));
	for (i = 0; i < 500; i++) {
		EXPECT_TRUE(filled(blocks[i], 200, i));
		pymalloc_free(self->heap, blocks[i]);
	}
	EXPECT_EQ(0, left_in(self->heap));
}

TEST_F(heap, descriptor_is_out_of_the_way)
{
	int fd = open("/dev/null", O_RDONLY);

	EXPECT_LE(0, fd);
	EXPECT_LT(fd, pymalloc_heap_fd(self->heap));
	EXPECT_EQ(FD_CLOEXEC, fcntl(pymalloc_heap_fd(self->heap), F_GETFD));
	close(fd);
}

TEST_HARNESS_MAIN
