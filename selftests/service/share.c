// SPDX-License-Identifier: GPL-2.0
/*
 * A heap belongs to one address space. Another process that has a descriptor of
 * it may look at it. A process of another user may not even do that.
 */
#include <sched.h>
#include <sys/socket.h>

#include "service.h"

FIXTURE(share)
{
	struct heap heap;
	__u64 ref;
};

FIXTURE_SETUP(share)
{
	self->heap = HEAP(.name = "shared");
	self->ref = alloc_one(&self->heap, 100);
	*at(&self->heap, self->ref) = 'x';
}

FIXTURE_TEARDOWN(share)
{
	heap_check(&self->heap);
	heap_close(&self->heap);
}

/* What another process may and may not do with a descriptor. */
static void stranger(struct __test_metadata *_metadata, FIXTURE_DATA(share) *self, int fd)
{
	struct heap heap = { .test = _metadata, .fd = fd };
	__u64 ref = self->ref;
	struct pymalloc_alloc alloc = ARG(alloc, .refs = user_ptr(&ref), .size = 8, .count = 1);
	struct pymalloc_free free = ARG(free, .refs = user_ptr(&ref), .count = 1);
	struct pymalloc_resize resize = ARG(resize, .ref = ref, .size = 500);
	struct pymalloc_notify notify = ARG(notify, .threshold = 1);
	struct pymalloc_caches caches = ARG(caches, .threads = 1);
	struct pymalloc_grow grow = ARG(grow, .extent = self->heap.bytes);
	struct pymalloc_end end = ARG(end);

	EXPECT_EQ(-EPERM, call(fd, PYMALLOC_IOC_ALLOC, &alloc));
	EXPECT_EQ(-EPERM, call(fd, PYMALLOC_IOC_FREE, &free));
	EXPECT_EQ(-EPERM, call(fd, PYMALLOC_IOC_RESIZE, &resize));
	EXPECT_EQ(-EPERM, call(fd, PYMALLOC_IOC_NOTIFY, &notify));
	EXPECT_EQ(-EPERM, call(fd, PYMALLOC_IOC_CACHES, &caches));
	EXPECT_EQ(-EPERM, call(fd, PYMALLOC_IOC_GROW, &grow));
	EXPECT_EQ(-EPERM, call(fd, PYMALLOC_IOC_END, &end));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, POOL, PROT_READ, MAP_SHARED, fd, 0));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, POOL, PROT_READ, MAP_SHARED, fd,
				   PYMALLOC_POOL_MAP_OFFSET));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(104, usable(&heap, self->ref));
	EXPECT_EQ(1, heap_stats(&heap).blocks);
	EXPECT_EQ(0, heap_stats(&heap).threshold);
	EXPECT_EQ(0, heap_stats(&heap).cache_threads);
	EXPECT_STREQ("shared", heap_info(_metadata, fd).name);
	heap_trim(&heap);
	heap_check(&heap);
}

/* The program that a child executes has the descriptor, but not the heap. */
static void drop_window(struct heap *heap)
{
	munmap(heap->window, heap->bytes);
	munmap((void *)heap->map, heap->bytes / POOL);
}

TEST_F(share, inherited_descriptor)
{
	pid_t child = fork();

	if (!child) {
		drop_window(&self->heap);
		stranger(_metadata, self, self->heap.fd);
		_exit(0);
	}
	join_child(_metadata, child);
}

static void send_descriptor(struct __test_metadata *_metadata, int socket, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {};
	struct iovec iov = { "", 1 };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	ASSERT_EQ(1, sendmsg(socket, &message, 0));
}

static int receive_descriptor(struct __test_metadata *_metadata, int socket)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	int fd;

	ASSERT_EQ(1, recvmsg(socket, &message, 0));
	ASSERT_NE(NULL, CMSG_FIRSTHDR(&message));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

TEST_F(share, passed_descriptor)
{
	int sockets[2];
	pid_t child;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	child = fork();
	if (!child) {
		drop_window(&self->heap);
		close(self->heap.fd);
		stranger(_metadata, self, receive_descriptor(_metadata, sockets[0]));
		_exit(0);
	}
	send_descriptor(_metadata, sockets[1], self->heap.fd);
	join_child(_metadata, child);
}

/* What a dead process has left to others does not use up its user's limits. */
TEST_F(share, left_to_another)
{
	struct pymalloc_stats stats = ARG(stats);
	int sockets[2], fd;
	pid_t child;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	child = fork();
	if (!child) {
		struct heap heap;

		become_somebody(_metadata);
		heap = HEAP();
		alloc_one(&heap, 100 * POOL);
		drop_window(&heap);
		send_descriptor(_metadata, sockets[1], heap.fd);
		close(heap.fd);
		_exit(0);
	}
	fd = receive_descriptor(_metadata, sockets[0]);
	join_child(_metadata, child);
	EXPECT_EQ(-ESTALE, call(fd, PYMALLOC_IOC_STATS, &stats));
	EXPECT_EQ(0, bytes_of(_metadata, SOMEBODY));
	EXPECT_EQ(0, heaps_of(_metadata, SOMEBODY));
	close(fd);
	close(sockets[0]);
	close(sockets[1]);
}

/*
 * Another process opens the heap by number. It has the same rights as with any
 * descriptor.
 */
TEST_F(share, opened_elsewhere)
{
	pid_t child = fork();

	if (!child) {
		int fd;

		drop_window(&self->heap);
		fd = heap_open(_metadata, self->heap.id, 0);
		ASSERT_LE(0, fd);
		stranger(_metadata, self, fd);
		_exit(0);
	}
	join_child(_metadata, child);
}

static int control(int fd)
{
	struct pymalloc_trim trim = ARG(trim);
	struct pymalloc_compact compact = ARG(compact);
	struct pymalloc_policy policy = ARG(policy, .flags = PYMALLOC_POLICY_RESET);
	struct pymalloc_check check = ARG(check);
	int all[] = {
		call(fd, PYMALLOC_IOC_TRIM, &trim), call(fd, PYMALLOC_IOC_COMPACT, &compact),
		call(fd, PYMALLOC_IOC_POLICY, &policy), call(fd, PYMALLOC_IOC_CHECK, &check),
	};

	/* All of them succeed, or all fail in the same way. */
	for (size_t i = 1; i < ARRAY_SIZE(all); i++)
		if (all[i] != all[0])
			return 1;
	return all[0];
}

/*
 * With an inherited descriptor, another user must not be able to keep the heap
 * busy.
 */
TEST_F(share, inherited_by_another_user)
{
	struct pymalloc_stats stats = ARG(stats);
	pid_t child = fork();

	if (!child) {
		int opened = heap_open(_metadata, self->heap.id, 0);

		drop_window(&self->heap);
		EXPECT_EQ(0, control(self->heap.fd));
		become_somebody(_metadata);
		EXPECT_EQ(-EPERM, control(self->heap.fd));
		EXPECT_EQ(-EPERM, call(self->heap.fd, PYMALLOC_IOC_STATS, &stats));
		EXPECT_EQ(MAP_FAILED, mmap(NULL, POOL, PROT_READ, MAP_SHARED, self->heap.fd, 0));
		EXPECT_EQ(EPERM, errno);
		/* The one that was opened by number was made for others. */
		EXPECT_EQ(0, control(opened));
		_exit(0);
	}
	join_child(_metadata, child);
}

/* A child makes its own heaps. */
TEST_F(share, heap_of_a_child)
{
	pid_t child = fork();

	if (!child) {
		struct heap heap = HEAP();

		EXPECT_EQ(getpid(), heap_info(_metadata, heap.fd).pid);
		*at(&heap, alloc_one(&heap, 8)) = 'c';
		heap_check(&heap);
		_exit(0);
	}
	join_child(_metadata, child);
	EXPECT_EQ(1, heap_stats(&self->heap).blocks);
}

static int alloc_in_thread(void *arg)
{
	struct heap *heap = arg;
	__u64 ref;
	struct pymalloc_alloc alloc = ARG(alloc, .refs = user_ptr(&ref), .size = 8, .count = 1);

	return call(heap->fd, PYMALLOC_IOC_ALLOC, &alloc) ? 1 : 0;
}

/*
 * A task that shares the address space shares the heap: a client is not a task.
 */
TEST_F(share, same_address_space)
{
	static char stack[65536];
	pid_t child = clone(alloc_in_thread, stack + sizeof(stack), CLONE_VM | SIGCHLD,
			    &self->heap);

	join_child(_metadata, child);
	EXPECT_EQ(2, heap_stats(&self->heap).blocks);
}

TEST_F(share, another_user)
{
	pid_t child = fork();

	if (!child) {
		become_somebody(_metadata);
		EXPECT_EQ(-EPERM, heap_open(_metadata, self->heap.id, 0));
		EXPECT_EQ(-EPERM, heap_open(_metadata, self->heap.id, PYMALLOC_OPEN_RDONLY));
		EXPECT_FALSE(heap_listed(_metadata, self->heap.id));
		_exit(0);
	}
	join_child(_metadata, child);
}

/* The administrator sees and opens everybody's heaps. */
TEST_F(share, root_sees_all)
{
	int ready[2], done[2];
	char byte;
	__u64 id;
	pid_t child;

	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(0, pipe(done));
	child = fork();
	if (!child) {
		struct heap heap;

		become_somebody(_metadata);
		heap = HEAP(.name = "somebody's");
		ASSERT_TRUE(heap_listed(_metadata, heap.id));
		ASSERT_EQ(sizeof(heap.id), write(ready[1], &heap.id, sizeof(heap.id)));
		close(done[1]);
		ASSERT_EQ(0, read(done[0], &byte, 1));
		_exit(0);
	}
	close(done[0]);
	ASSERT_EQ(sizeof(id), read(ready[0], &id, sizeof(id)));
	EXPECT_TRUE(heap_listed(_metadata, id));
	EXPECT_EQ(SOMEBODY, heap_info(_metadata, heap_open(_metadata, id, 0)).uid);
	EXPECT_EQ(child, heap_info(_metadata, heap_open(_metadata, id, 0)).pid);
	close(done[1]);
	join_child(_metadata, child);
}

/* In its own PID namespace, the child cannot see who made the heap. */
TEST_F(share, maker_out_of_sight)
{
	pid_t child;

	ASSERT_EQ(0, unshare(CLONE_NEWPID));
	child = fork();
	if (!child) {
		drop_window(&self->heap);
		EXPECT_EQ(0, heap_info(_metadata, self->heap.fd).pid);
		_exit(0);
	}
	join_child(_metadata, child);
}

/* For the heaps outside, root of a user namespace is no special user. */
TEST_F(share, root_of_a_namespace)
{
	pid_t child = fork();

	if (!child) {
		become_somebody(_metadata);
		ASSERT_EQ(0, unshare(CLONE_NEWUSER));
		EXPECT_EQ(-EPERM, heap_open(_metadata, self->heap.id, 0));
		EXPECT_FALSE(heap_listed(_metadata, self->heap.id));
		_exit(0);
	}
	join_child(_metadata, child);
}

TEST_HARNESS_MAIN
