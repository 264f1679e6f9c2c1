// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that is not there: it was never allocated, or it was freed and given
 * back. The program gets SIGBUS, and a system call gets EFAULT. A page that
 * somebody has pinned stays as it was.
 */
#include <sys/uio.h>

#include "service.h"

FIXTURE(gone)
{
	struct heap heap;
	__u64 pool;		/* of blocks, freed and trimmed */
	__u64 run;		/* of four pages, freed and trimmed */
	__u64 alive;
};

FIXTURE_SETUP(gone)
{
	struct heap *heap = &self->heap;

	*heap = HEAP();
	self->alive = alloc_one(heap, 64);
	self->pool = alloc_one(heap, 512);
	self->run = alloc_one(heap, 4 * POOL);
	memset(at(heap, self->alive), 'l', 64);
	memset(at(heap, self->pool), 'p', 512);
	memset(at(heap, self->run), 'r', 4 * POOL);
	free_one(heap, self->pool);
	free_one(heap, self->run);
	heap_trim(heap);
	heap_check(heap);
}

FIXTURE_TEARDOWN(gone)
{
	ASSERT_TRUE(is_filled(at(&self->heap, self->alive), 'l', 64));
	heap_check(&self->heap);
	heap_close(&self->heap);
}

#define MAX_PLACES 10

/* Refs at which there is no memory. */
static int places(FIXTURE_DATA(gone) *self, __u64 *refs)
{
	const __u64 all[] = {
		0, 8, ARENA - 8,			/* the first arena */
		self->pool, self->run, self->run + 4 * POOL - 8,
		(self->alive & -POOL) + 63 * POOL,	/* a pool that was never used */
		self->heap.bytes / 2, self->heap.bytes - 8,
	};

	memcpy(refs, all, sizeof(all));
	return ARRAY_SIZE(all);
}

TEST_F(gone, touch)
{
	__u64 refs[MAX_PLACES];
	int count = places(self, refs);

	for (int i = 0; i < count; i++) {
		EXPECT_EQ(SIGBUS, touch(at(&self->heap, refs[i]), false)) TH_LOG("%#llx", refs[i]);
		EXPECT_EQ(SIGBUS, touch(at(&self->heap, refs[i]), true)) TH_LOG("%#llx", refs[i]);
	}
	EXPECT_EQ(0, touch(at(&self->heap, self->alive), true));
	*at(&self->heap, self->alive) = 'l';
}

/* Each of these returns 0 or an errno for 8 bytes at @p. */

static int by_write(char *p)
{
	int pipe_fds[2];
	int error = pipe(pipe_fds) ? errno : 0;

	if (!error)
		error = write(pipe_fds[1], p, 8) == 8 ? 0 : errno;
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	return error;
}

static int by_read(char *p)
{
	int fd = open("/dev/zero", O_RDONLY);
	int error = read(fd, p, 8) == 8 ? 0 : errno;

	close(fd);
	return error;
}

static int by_vmsplice(char *p)
{
	struct iovec iov = { p, 8 };
	int pipe_fds[2];
	int error = pipe(pipe_fds) ? errno : 0;

	if (!error)
		error = vmsplice(pipe_fds[1], &iov, 1, 0) == 8 ? 0 : errno;
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	return error;
}

static int by_process_vm_readv(char *p)
{
	char copy[8];
	struct iovec local = { copy, 8 }, remote = { p, 8 };

	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 8 ? 0 : errno;
}

static int by_process_vm_writev(char *p)
{
	char copy[8] = "llllllll";
	struct iovec local = { copy, 8 }, remote = { p, 8 };

	return process_vm_writev(getpid(), &local, 1, &remote, 1, 0) == 8 ? 0 : errno;
}

static int by_pipe(char *p)
{
	return syscall(SYS_pipe2, p, 0) ? errno : 0;
}

TEST_F(gone, system_calls)
{
	static const struct {
		const char *name;
		int (*access)(char *p);
	} ways[] = {
		{ "write", by_write },
		{ "read", by_read },
		{ "vmsplice", by_vmsplice },
		{ "process_vm_readv", by_process_vm_readv },
		{ "process_vm_writev", by_process_vm_writev },
		{ "pipe2", by_pipe },
	};
	__u64 refs[MAX_PLACES];
	int count = places(self, refs);

	for (size_t w = 0; w < ARRAY_SIZE(ways); w++) {
		for (int i = 0; i < count; i++) {
			EXPECT_EQ(EFAULT, ways[w].access(at(&self->heap, refs[i])))
				TH_LOG("%s at %#llx", ways[w].name, refs[i]);
		}
		EXPECT_EQ(0, ways[w].access(at(&self->heap, self->alive)))
			TH_LOG("%s", ways[w].name);
		memset(at(&self->heap, self->alive), 'l', 64);
	}
}

/*
 * With such memory as an argument, the service's own commands behave like other
 * system calls.
 */
TEST_F(gone, as_an_argument)
{
	struct pymalloc_alloc arg = ARG(alloc, .size = 8, .count = 4,
					.refs = user_ptr(at(&self->heap, self->run)));

	EXPECT_EQ(-EFAULT, call(self->heap.fd, PYMALLOC_IOC_STATS, at(&self->heap, self->run)));
	EXPECT_EQ(-EFAULT, call(self->heap.fd, PYMALLOC_IOC_ALLOC, &arg));
	EXPECT_EQ(0, arg.done);
}

/* A pool that comes back can be used again. */
TEST_F(gone, back_again)
{
	__u64 refs[64 * 8];

	alloc(&self->heap, 512, refs, ARRAY_SIZE(refs));
	for (size_t i = 0; i < ARRAY_SIZE(refs); i++)
		memset(at(&self->heap, refs[i]), 'n', 512);
	EXPECT_EQ('n', *at(&self->heap, self->pool));
}

/*
 * A page in a pipe is pinned. Whatever happens to the heap (the page is freed
 * and trimmed), the reader of the pipe gets what was sent, and no new object
 * shares memory with the page.
 */
static void pinned(struct heap *heap, __u64 size)
{
	struct __test_metadata *_metadata = heap->test;
	__u64 refs[64], ref = alloc_one(heap, size);
	struct iovec iov = { at(heap, ref), size };
	char copy[2 * PYMALLOC_POOL_SIZE] = "";
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	memset(iov.iov_base, 'k', size);
	ASSERT_EQ(size, vmsplice(fds[1], &iov, 1, 0));
	free_one(heap, ref);
	heap_trim(heap);
	heap_check(heap);
	EXPECT_EQ(SIGBUS, touch(iov.iov_base, false));
	alloc(heap, size, refs, ARRAY_SIZE(refs));
	for (size_t i = 0; i < ARRAY_SIZE(refs); i++)
		memset(at(heap, refs[i]), 'o', size);
	ASSERT_EQ(size, read(fds[0], copy, size));
	EXPECT_TRUE(is_filled(copy, 'k', size));
	for (size_t i = 0; i < ARRAY_SIZE(refs); i++) {
		ASSERT_TRUE(is_filled(at(heap, refs[i]), 'o', size));
	}
	free_all(heap, refs, ARRAY_SIZE(refs));
	close(fds[0]);
	close(fds[1]);
}

TEST_F(gone, pinned_pool)
{
	pinned(&self->heap, 512);
}

TEST_F(gone, pinned_run)
{
	pinned(&self->heap, 2 * POOL);
}

/* The heap may go while its page is still in a pipe. */
TEST(pinned_longer_than_the_heap)
{
	struct heap heap = HEAP();
	__u64 id = heap.id;
	__u64 ref = alloc_one(&heap, POOL);
	struct iovec iov = { at(&heap, ref), POOL };
	char copy[PYMALLOC_POOL_SIZE];
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	memset(iov.iov_base, 'k', POOL);
	ASSERT_EQ(POOL, vmsplice(fds[1], &iov, 1, 0));
	heap_close(&heap);
	EXPECT_FALSE(heap_listed(_metadata, id));
	heap = HEAP();
	ref = alloc_one(&heap, 1 << 20);
	memset(at(&heap, ref), 'o', 1 << 20);
	ASSERT_EQ(POOL, read(fds[0], copy, POOL));
	EXPECT_TRUE(is_filled(copy, 'k', POOL));
	EXPECT_TRUE(is_filled(at(&heap, ref), 'o', 1 << 20));
	heap_close(&heap);
}

TEST_HARNESS_MAIN
