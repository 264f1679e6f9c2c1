// SPDX-License-Identifier: GPL-2.0
/*
 * The notice: poll() reports POLLPRI while the heap holds at least so many
 * bytes of pages.
 */
#include <poll.h>
#include <sys/epoll.h>

#include "service.h"

static int notify(struct heap *heap, __u64 threshold)
{
	struct pymalloc_notify arg = ARG(notify, .threshold = threshold);

	return call(heap->fd, PYMALLOC_IOC_NOTIFY, &arg);
}

/* What poll() reports now, of all events. */
static short events(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN | POLLPRI | POLLOUT };

	return poll(&pollfd, 1, 0) ? pollfd.revents : 0;
}

TEST_F(service, off_by_default)
{
	EXPECT_EQ(0, heap_stats(&self->heap).threshold);
	alloc_one(&self->heap, 1 << 20);
	EXPECT_EQ(0, events(self->heap.fd));
}

TEST_F(service, at_the_threshold)
{
	struct heap *heap = &self->heap;
	__u64 ref;

	ASSERT_EQ(0, notify(heap, 10 * POOL));
	EXPECT_EQ(10 * POOL, heap_stats(heap).threshold);
	alloc_one(heap, 9 * POOL);
	EXPECT_EQ(0, events(heap->fd));
	ref = alloc_one(heap, 8);
	EXPECT_EQ(POLLPRI, events(heap->fd));
	EXPECT_EQ(POLLPRI, events(heap->fd));
	alloc_one(heap, POOL);
	EXPECT_EQ(POLLPRI, events(heap->fd));
	free_one(heap, ref);
	heap_trim(heap);
	EXPECT_EQ(POLLPRI, events(heap->fd));
}

TEST_F(service, below_it_again)
{
	struct heap *heap = &self->heap;
	__u64 ref = alloc_one(heap, 10 * POOL);

	ASSERT_EQ(0, notify(heap, 10 * POOL));
	EXPECT_EQ(POLLPRI, events(heap->fd));
	free_one(heap, ref);
	heap_trim(heap);
	EXPECT_EQ(0, events(heap->fd));
	alloc_one(heap, 10 * POOL);
	EXPECT_EQ(POLLPRI, events(heap->fd));
}

TEST_F(service, moved_and_off)
{
	struct heap *heap = &self->heap;

	alloc_one(heap, 10 * POOL);
	ASSERT_EQ(0, notify(heap, 1));
	EXPECT_EQ(POLLPRI, events(heap->fd));
	ASSERT_EQ(0, notify(heap, 11 * POOL));
	EXPECT_EQ(0, events(heap->fd));
	ASSERT_EQ(0, notify(heap, ~0ULL));
	EXPECT_EQ(0, events(heap->fd));
	ASSERT_EQ(0, notify(heap, 10 * POOL));
	EXPECT_EQ(POLLPRI, events(heap->fd));
	ASSERT_EQ(0, notify(heap, 0));
	EXPECT_EQ(0, events(heap->fd));
}

/* Every descriptor of the heap reports it, also one for reading. */
TEST_F(service, on_every_descriptor)
{
	struct heap *heap = &self->heap;
	int reader = heap_open(_metadata, heap->id, PYMALLOC_OPEN_RDONLY);

	ASSERT_LE(0, reader);
	ASSERT_EQ(0, notify(heap, POOL));
	EXPECT_EQ(0, events(reader));
	alloc_one(heap, 8);
	EXPECT_EQ(POLLPRI, events(reader));
}

/* Make a child that sleeps in poll() until the heap has grown. */
static pid_t sleeper(struct __test_metadata *_metadata, struct heap *heap, int ready)
{
	pid_t child = fork();

	if (!child) {
		struct pollfd pollfd = { .fd = heap->fd, .events = POLLPRI };

		/* The child waits for the parent's heap, not for its own. */
		heap_unmap(heap);
		write(ready, "", 1);
		_exit(poll(&pollfd, 1, -1) == 1 && pollfd.revents == POLLPRI ? 0 : 1);
	}
	ASSERT_LT(0, child);
	return child;
}

/* Wait until the child is asleep. This does not depend on how long it takes. */
static void wait_until_asleep(pid_t child)
{
	char path[64], state = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", child);
	while (state != 'S') {
		FILE *stat = fopen(path, "r");

		if (!stat || fscanf(stat, "%*d %*s %c", &state) != 1)
			state = 'S';
		if (stat)
			fclose(stat);
	}
}

static void wakes(struct __test_metadata *_metadata, struct heap *heap,
		  void (*grow)(struct heap *heap))
{
	int ready[2];
	char byte;
	pid_t child;

	ASSERT_EQ(0, pipe(ready));
	child = sleeper(_metadata, heap, ready[1]);
	ASSERT_EQ(1, read(ready[0], &byte, 1));
	wait_until_asleep(child);
	grow(heap);
	join_child(_metadata, child);
}

static void grow_by_blocks(struct heap *heap)
{
	static __u64 refs[800];

	alloc(heap, 512, refs, ARRAY_SIZE(refs));
}

static void grow_by_run(struct heap *heap)
{
	alloc_one(heap, 100 * POOL);
}

static void lower_threshold(struct heap *heap)
{
	notify(heap, 1);
}

TEST_F(service, wakes_when_blocks_grow)
{
	ASSERT_EQ(0, notify(&self->heap, 100 * POOL));
	wakes(_metadata, &self->heap, grow_by_blocks);
}

TEST_F(service, wakes_when_runs_grow)
{
	ASSERT_EQ(0, notify(&self->heap, 100 * POOL));
	wakes(_metadata, &self->heap, grow_by_run);
}

TEST_F(service, wakes_when_the_threshold_falls)
{
	alloc_one(&self->heap, 8);
	ASSERT_EQ(0, notify(&self->heap, 100 * POOL));
	wakes(_metadata, &self->heap, lower_threshold);
}

TEST_F(service, epoll)
{
	struct epoll_event event = { .events = EPOLLPRI | EPOLLET };
	int epoll = epoll_create1(0);

	ASSERT_EQ(0, notify(&self->heap, 2 * POOL));
	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, self->heap.fd, &event));
	EXPECT_EQ(0, epoll_wait(epoll, &event, 1, 0));
	alloc_one(&self->heap, 2 * POOL);
	EXPECT_EQ(1, epoll_wait(epoll, &event, 1, 0));
	EXPECT_EQ(EPOLLPRI, event.events);
	EXPECT_EQ(0, epoll_wait(epoll, &event, 1, 0));
}

TEST_HARNESS_MAIN
