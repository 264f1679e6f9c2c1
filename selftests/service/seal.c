// SPDX-License-Identifier: GPL-2.0
/*
 * A sealed heap: nobody can write to it, and nothing in it is allocated or freed.  It is
 * shared with all children, and never copied.
 */
#include <linux/userfaultfd.h>
#include <pthread.h>

#include "fuse.h"
#include "relatives.h"

#define SIZE	512
#define BLOCKS	1000
#define CHILDREN	8

FIXTURE(seal)
{
	struct heap heap;
	__u64 refs[BLOCKS];
	__u64 run;
};

static int seal(int fd)
{
	struct pymalloc_seal arg = ARG(seal);

	return call(fd, PYMALLOC_IOC_SEAL, &arg);
}

FIXTURE_SETUP(seal)
{
	self->heap = HEAP(.name = "sealed");
	alloc(&self->heap, SIZE, self->refs, BLOCKS);
	for (int i = 0; i < BLOCKS; i++)
		memset(at(&self->heap, self->refs[i]), i, SIZE);
	self->run = alloc_one(&self->heap, 10 * POOL);
	memset(at(&self->heap, self->run), 1, 10 * POOL);
}

FIXTURE_TEARDOWN(seal)
{
	heap_close(&self->heap);
}

static bool is_whole(FIXTURE_DATA(seal) *self)
{
	for (int i = 0; i < BLOCKS; i++)
		if (!is_filled(at(&self->heap, self->refs[i]), i, SIZE))
			return false;
	return is_filled(at(&self->heap, self->run), 1, 10 * POOL);
}

/* The signals that writes raise, all of which should be SIGSEGV. */
static bool writes_fail(FIXTURE_DATA(seal) *self)
{
	for (int i = 0; i < BLOCKS; i += 50)
		if (touch(at(&self->heap, self->refs[i]), true) != SIGSEGV)
			return false;
	return touch(at(&self->heap, self->run + 9 * POOL), true) == SIGSEGV;
}

TEST_F(seal, nobody_writes)
{
	EXPECT_EQ(0, heap_info(_metadata, self->heap.fd).flags);
	ASSERT_EQ(0, seal(self->heap.fd));
	EXPECT_EQ(PYMALLOC_SEALED, heap_info(_metadata, self->heap.fd).flags);
	EXPECT_TRUE(writes_fail(self));
	EXPECT_TRUE(is_whole(self));
	/* Now that pages are mapped for reading, too. */
	EXPECT_TRUE(writes_fail(self));
	EXPECT_EQ(0, seal(self->heap.fd));
	EXPECT_TRUE(is_whole(self));
	heap_check(&self->heap);
}

TEST_F(seal, whatever_mprotect_says)
{
	ASSERT_EQ(0, seal(self->heap.fd));
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(0, mprotect(self->heap.window, self->heap.bytes, PROT_READ));
		EXPECT_TRUE(is_whole(self));
		EXPECT_EQ(0, mprotect(self->heap.window, self->heap.bytes,
				      PROT_READ | PROT_WRITE));
		EXPECT_TRUE(writes_fail(self));
		EXPECT_EQ(0, madvise(self->heap.window, self->heap.bytes, MADV_DONTNEED));
		EXPECT_TRUE(writes_fail(self));
	}
	EXPECT_TRUE(is_whole(self));
}

TEST_F(seal, mapped_again)
{
	char *again, *moved;

	ASSERT_EQ(0, seal(self->heap.fd));
	again = mmap(NULL, self->heap.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, self->heap.fd, 0);
	ASSERT_NE(MAP_FAILED, again);
	EXPECT_EQ(SIGSEGV, touch(again + self->refs[7], true));
	EXPECT_TRUE(is_filled(again + self->refs[7], 7, SIZE));
	EXPECT_EQ(SIGSEGV, touch(again + self->refs[7], true));
	EXPECT_TRUE(writes_fail(self));
	moved = mremap(again, self->heap.bytes, self->heap.bytes, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, moved);
	EXPECT_EQ(SIGSEGV, touch(moved + self->refs[7], true));
	munmap(moved, self->heap.bytes);
	EXPECT_TRUE(is_whole(self));
}

TEST_F(seal, by_the_kernel)
{
	int fds[2], memory = open("/proc/self/mem", O_RDWR);
	char *object = at(&self->heap, self->refs[3]);
	struct iovec from = { "new", 3 }, to = { object, 3 };

	ASSERT_EQ(0, pipe(fds));
	ASSERT_LE(0, memory);
	ASSERT_EQ(0, seal(self->heap.fd));
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(3, write(fds[1], "new", 3));
		EXPECT_EQ(-1, read(fds[0], object, 3));
		EXPECT_EQ(EFAULT, errno);
		EXPECT_EQ(-1, pwrite(memory, "new", 3, (off_t)(uintptr_t)object));
		EXPECT_EQ(-1, process_vm_writev(getpid(), &from, 1, &to, 1, 0));
		EXPECT_EQ(EFAULT, errno);
		EXPECT_TRUE(is_whole(self));
	}
	close(memory);
	close(fds[0]);
	close(fds[1]);
}

TEST_F(seal, calls_that_are_refused)
{
	__u64 refs[4] = {};
	struct pymalloc_alloc alloc_arg = ARG(alloc, .size = 8, .refs = user_ptr(refs), .count = 1);
	struct pymalloc_free free_arg = ARG(free, .refs = user_ptr(self->refs), .count = BLOCKS);
	struct pymalloc_resize resize = ARG(resize, .ref = self->run, .size = POOL);
	struct pymalloc_grow grow = ARG(grow, .extent = self->heap.bytes);
	struct pymalloc_end end = ARG(end);
	__u64 words[2] = { 0, self->refs[0] };
	struct pymalloc_stats before = heap_stats(&self->heap);
	int fd = self->heap.fd;

	ASSERT_EQ(0, seal(fd));
	EXPECT_EQ(-EPERM, call(fd, PYMALLOC_IOC_ALLOC, &alloc_arg));
	EXPECT_EQ(-EPERM, call(fd, PYMALLOC_IOC_FREE, &free_arg));
	EXPECT_EQ(-EPERM, call(fd, PYMALLOC_IOC_RESIZE, &resize));
	EXPECT_EQ(-EPERM, call(fd, PYMALLOC_IOC_GROW, &grow));
	EXPECT_EQ(-EPERM, call(fd, PYMALLOC_IOC_END, &end));
	EXPECT_EQ(-1, write(fd, words, sizeof(words)));
	EXPECT_EQ(EPERM, errno);
	words[0] = 8;
	EXPECT_EQ(-1, read(fd, words, sizeof(words)));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(before.blocks, heap_stats(&self->heap).blocks);
	EXPECT_EQ(before.runs, heap_stats(&self->heap).runs);
	EXPECT_TRUE(is_whole(self));
	heap_check(&self->heap);
}

TEST_F(seal, who_may)
{
	struct pymalloc_seal flags = ARG(seal, .flags = 1);
	int fd = heap_open(_metadata, self->heap.id, PYMALLOC_OPEN_RDONLY);
	pid_t child;

	ASSERT_LE(0, fd);
	EXPECT_EQ(-EBADF, seal(fd));
	EXPECT_EQ(-EINVAL, call(self->heap.fd, PYMALLOC_IOC_SEAL, &flags));
	/* By its number, a child opens this heap, and not its own. */
	IN_CHILD(child, EXPECT_EQ(-EPERM, seal(heap_open(_metadata, self->heap.id, 0))));
	join_child(_metadata, child);
	EXPECT_EQ(0, heap_info(_metadata, self->heap.fd).flags);
	EXPECT_EQ(0, touch(at(&self->heap, self->refs[0]), true));
	free_all(&self->heap, self->refs, BLOCKS);
	close(fd);
}

/* All read everything, and some try to write.  No page is copied, and none is on its own. */
TEST_F(seal, children_share_it)
{
	__u64 pages = heap_stats(&self->heap).page_bytes / POOL;
	struct gate go = gate_new(_metadata), done = gate_new(_metadata);
	pid_t children[CHILDREN];
	char byte;

	ASSERT_EQ(0, seal(self->heap.fd));
	for (int i = 0; i < CHILDREN; i++)
		IN_CHILD(children[i], {
			__u64 pages_in = heap_stats(&self->heap).nr_pages_in;
			struct pymalloc_heap_info info;
			bool ok = is_whole(self) && writes_fail(self) && is_whole(self);

			ASSERT_EQ(1, write(done.fds[1], "", 1));
			gate_wait(_metadata, &go);
			info = heap_info(_metadata, self->heap.fd);
			EXPECT_TRUE(ok);
			EXPECT_EQ(PYMALLOC_SEALED, info.flags);
			EXPECT_EQ(pages * POOL, info.shared_bytes);
			EXPECT_EQ(pages_in, heap_stats(&self->heap).nr_pages_in);
			heap_check(&self->heap);
		});
	for (int i = 0; i < CHILDREN; i++)
		ASSERT_EQ(1, read(done.fds[0], &byte, 1));
	gate_open(_metadata, &go);
	for (int i = 0; i < CHILDREN; i++)
		join_child(_metadata, children[i]);
	EXPECT_EQ(pages, heap_stats(&self->heap).page_bytes / POOL);
	EXPECT_TRUE(writes_fail(self) && is_whole(self));
	gate_close(&go);
	gate_close(&done);
}

/* A child of a child, whose parent has gone, and what was sealed by a child alone. */
TEST_F(seal, descendants)
{
	pid_t child;

	IN_CHILD(child, {
		pid_t grandchild;

		ASSERT_EQ(0, seal(self->heap.fd));
		IN_CHILD(grandchild, EXPECT_TRUE(writes_fail(self) && is_whole(self)));
		join_child(_metadata, grandchild);
		EXPECT_TRUE(writes_fail(self) && is_whole(self));
	});
	join_child(_metadata, child);
	EXPECT_EQ(0, heap_info(_metadata, self->heap.fd).flags);
	EXPECT_EQ(0, touch(at(&self->heap, self->refs[0]), true));
	heap_check(&self->heap);
}

/* A pipe has a reference to a page; it may come from somebody who writes. */
TEST_F(seal, pages_that_are_held)
{
	int fds[2];
	char byte;

	ASSERT_EQ(0, pipe(fds));
	pipe_memory(_metadata, fds[1], at(&self->heap, self->refs[5]), 1);
	EXPECT_EQ(-EBUSY, seal(self->heap.fd));
	EXPECT_EQ(0, heap_info(_metadata, self->heap.fd).flags);
	/* Nothing has changed. */
	EXPECT_EQ(0, touch(at(&self->heap, self->refs[5] + 1), true));
	free_one(&self->heap, alloc_one(&self->heap, SIZE));
	EXPECT_EQ(0, touch(at(&self->heap, self->refs[5] + 1), true));
	ASSERT_EQ(1, read(fds[0], &byte, 1));
	EXPECT_EQ(5, byte);
	*at(&self->heap, self->refs[5] + 1) = 5;
	EXPECT_EQ(0, seal(self->heap.fd));
	EXPECT_TRUE(writes_fail(self) && is_whole(self));
	close(fds[0]);
	close(fds[1]);
}

/* A device writes, or will; fork() has made of its page one that may be shared. */
TEST_F(seal, pages_that_are_held_since_a_fork)
{
	struct silent_file file;
	pid_t child;

	if (!fuse_is_known())
		SKIP(return, "this kernel has no FUSE");
	silent_start(_metadata, &file);
	silent_read_to(_metadata, &file, at(&self->heap, self->run));
	IN_CHILD(child, EXPECT_TRUE(is_whole(self)));
	join_child(_metadata, child);
	EXPECT_EQ(-EBUSY, seal(self->heap.fd));
	silent_end(_metadata, &file);
	EXPECT_TRUE(EVENTUALLY(!seal(self->heap.fd)));
	EXPECT_TRUE(writes_fail(self) && is_whole(self));
}

static int cache(struct heap *heap, __u32 op, __u32 flags, __u32 count)
{
	struct pymalloc_cache arg = ARG(cache, .op = op, .flags = flags, .count = count);

	return call(heap->fd, PYMALLOC_IOC_CACHE, &arg);
}

/* Writes refs of live objects where a thread has those that it has freed. */
static void forge_cache(struct heap *heap, const __u64 *refs, __u32 count)
{
	struct __test_metadata *_metadata = heap->test;
	struct pymalloc_cache_header *header;
	__u64 *slots;

	ASSERT_EQ(0, cache(heap, PYMALLOC_CACHE_MAKE, 0, 1));
	header = mmap(NULL, POOL, PROT_READ | PROT_WRITE, MAP_SHARED, heap->fd,
		      PYMALLOC_CACHES_OFFSET);
	slots = mmap(NULL, POOL, PROT_READ | PROT_WRITE, MAP_SHARED, heap->fd,
		     PYMALLOC_SLOTS_OFFSET);
	ASSERT_NE(MAP_FAILED, header);
	ASSERT_NE(MAP_FAILED, slots);
	memcpy(slots, refs, count * sizeof(*refs));
	header->base = user_ptr(heap->window);
	header->slots = user_ptr(slots);
	header->nr_queued = count;
	munmap(slots, POOL);
	munmap(header, POOL);
}

/* Another thread than the one whose cache it is. */
static void *fork_in_thread(void *arg)
{
	struct heap *heap = arg;
	struct pymalloc_stats stats = ARG(stats);
	int status;
	pid_t child = fork();

	if (!child)
		_exit(call(heap->fd, PYMALLOC_IOC_STATS, &stats) || stats.blocks < BLOCKS);
	waitpid(child, &status, 0);
	return (void *)(uintptr_t)status;
}

TEST_F(seal, caches_that_are_forged)
{
	struct pymalloc_compact compact = ARG(compact);
	struct heap other = HEAP();
	__u64 refs[100];
	pthread_t thread;
	void *lost;

	/* So it is in a heap that is not sealed. */
	alloc(&other, SIZE, refs, ARRAY_SIZE(refs));
	forge_cache(&other, refs, ARRAY_SIZE(refs));
	ASSERT_EQ(0, cache(&other, PYMALLOC_CACHE_STEAL, PYMALLOC_STEAL_ALL, 0));
	EXPECT_EQ(0, heap_stats(&other).blocks);
	heap_close(&other);

	ASSERT_EQ(0, seal(self->heap.fd));
	forge_cache(&self->heap, self->refs, ARRAY_SIZE(refs));
	ASSERT_EQ(0, cache(&self->heap, PYMALLOC_CACHE_STEAL, PYMALLOC_STEAL_ALL, 0));
	ASSERT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_COMPACT, &compact));
	ASSERT_EQ(0, pthread_create(&thread, NULL, fork_in_thread, &self->heap));
	pthread_join(thread, &lost);
	EXPECT_EQ(NULL, lost);
	ASSERT_EQ(0, cache(&self->heap, PYMALLOC_CACHE_END, 0, 0));
	EXPECT_EQ(BLOCKS, heap_stats(&self->heap).blocks);
	EXPECT_TRUE(is_whole(self));
	heap_check(&self->heap);
}

struct call_under_way {
	int fd;
	unsigned long command;
	void *arg;
	int result;
};

static void *make_call(void *arg)
{
	struct call_under_way *under_way = arg;

	under_way->result = call(under_way->fd, under_way->command, under_way->arg);
	return NULL;
}

/* A page whose first access waits until answer() gives its bytes. */
static void *waiting_page(struct __test_metadata *_metadata, int *faults)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .range.len = POOL, .mode = UFFDIO_REGISTER_MODE_MISSING };
	void *page = mmap(NULL, POOL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, page);
	*faults = syscall(SYS_userfaultfd, O_CLOEXEC);
	ASSERT_LE(0, *faults) TH_LOG("userfaultfd: %m");
	ASSERT_EQ(0, ioctl(*faults, UFFDIO_API, &api));
	reg.range.start = user_ptr(page);
	ASSERT_EQ(0, ioctl(*faults, UFFDIO_REGISTER, &reg));
	return page;
}

static void answer(struct __test_metadata *_metadata, int faults, void *page, const void *bytes)
{
	struct uffdio_copy copy = { .dst = user_ptr(page), .src = user_ptr(bytes), .len = POOL };

	ASSERT_EQ(0, ioctl(faults, UFFDIO_COPY, &copy)) TH_LOG("%m");
}

/* It has been allowed before the heap is sealed, and waits for its refs. */
TEST_F(seal, a_free_under_way)
{
	struct pymalloc_free arg = ARG(free, .count = 3);
	struct call_under_way under_way = { self->heap.fd, PYMALLOC_IOC_FREE, &arg, 0 };
	__u64 refs[POOL / sizeof(__u64)] = { self->refs[0], self->refs[1], self->run };
	struct uffd_msg fault;
	pthread_t thread;
	void *page;
	int faults;

	page = waiting_page(_metadata, &faults);
	arg.refs = user_ptr(page);
	ASSERT_EQ(0, pthread_create(&thread, NULL, make_call, &under_way));
	ASSERT_EQ(sizeof(fault), read(faults, &fault, sizeof(fault)));
	ASSERT_EQ(0, seal(self->heap.fd));
	answer(_metadata, faults, page, refs);
	pthread_join(thread, NULL);
	EXPECT_EQ(-EBADSLT, under_way.result);
	EXPECT_EQ(3, arg.nr_bad);
	EXPECT_EQ(BLOCKS, heap_stats(&self->heap).blocks);
	EXPECT_EQ(1, heap_stats(&self->heap).runs);
	EXPECT_TRUE(is_whole(self));
	heap_check(&self->heap);
	close(faults);
}

/* Trimmed, compacted, meshed: no byte of an object changes. */
TEST_F(seal, gives_memory_back)
{
	struct pymalloc_compact compact = ARG(compact);

	for (int i = 0; i < BLOCKS; i++)
		if (i % 50)
			free_one(&self->heap, self->refs[i]);
	ASSERT_EQ(0, seal(self->heap.fd));
	heap_trim(&self->heap);
	ASSERT_EQ(0, call(self->heap.fd, PYMALLOC_IOC_COMPACT, &compact));
	for (int i = 0; i < BLOCKS; i += 50)
		EXPECT_TRUE(is_filled(at(&self->heap, self->refs[i]), i, SIZE));
	EXPECT_TRUE(writes_fail(self));
	heap_check(&self->heap);
}

struct writer {
	volatile char *object;
	volatile bool sealed;
	volatile char last;
};

/* Writes until that is a SIGSEGV; what it wrote last must be there then. */
static void *write_on(void *arg)
{
	struct writer *writer = arg;

	for (char c = 1;; c++) {
		*writer->object = c;
		writer->last = c;
	}
	return NULL;
}

static struct writer writer;

static void end_writer(int signal)
{
	(void)signal;
	/* The last write has been done, or the one before it was the last. */
	writer.sealed = *writer.object == writer.last;
	pthread_exit(NULL);
}

/* A thread that writes all the while. */
TEST_F(seal, while_a_thread_writes)
{
	pthread_t thread;

	writer.object = at(&self->heap, self->refs[1]);
	writer.last = 0;
	signal(SIGSEGV, end_writer);
	ASSERT_EQ(0, pthread_create(&thread, NULL, write_on, &writer));
	while (!writer.last)
		sched_yield();
	ASSERT_EQ(0, seal(self->heap.fd));
	pthread_join(thread, NULL);
	EXPECT_TRUE(writer.sealed);
	signal(SIGSEGV, SIG_DFL);
	EXPECT_TRUE(writes_fail(self));
}

TEST_HARNESS_MAIN
