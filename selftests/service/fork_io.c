// SPDX-License-Identifier: GPL-2.0
/*
 * A device writes to memory of a heap. This memory stays that of the process
 * that asked for it, whatever the process and its children do meanwhile.
 */
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>

#include "relatives.h"

#define DISK "/dev/vda"
#define CGROUPS "/sys/fs/cgroup"
#define GROUP CGROUPS "/pymalloc-io"

#define PAGES 4
#define SECTOR 512
/*
 * Where in the run the device writes. The first page has other data before it.
 */
#define TARGET SECTOR
#define BYTES (2 * SECTOR)

/*
 * Direct reads from the disk
 */

FIXTURE(fork_direct)
{
	struct heap heap;
	__u64 run;
	int disk;
	aio_context_t aio;
	struct iocb iocb;
	char data[BYTES];	/* what the disk has */
	struct gate done;
};

/* Which process writes to another part of the page during the read. */
FIXTURE_VARIANT(fork_direct)
{
	bool parent;
	bool child;
};

FIXTURE_VARIANT_ADD(fork_direct, nobody_writes) { };
FIXTURE_VARIANT_ADD(fork_direct, parent_writes) { .parent = true };
FIXTURE_VARIANT_ADD(fork_direct, child_writes) { .child = true };
FIXTURE_VARIANT_ADD(fork_direct, both_write) { .parent = true, .child = true };

static void read_disk(struct __test_metadata *_metadata, char *data)
{
	int fd = open(DISK, O_RDONLY);

	ASSERT_LE(0, fd) TH_LOG("%s: %m", DISK);
	ASSERT_EQ(BYTES, pread(fd, data, BYTES, 0));
	close(fd);
	ASSERT_FALSE(is_filled(data, data[0], BYTES));
}

FIXTURE_SETUP(fork_direct)
{
	self->heap = HEAP();
	self->run = alloc_one(&self->heap, PAGES * POOL);
	memset(at(&self->heap, self->run), 'o', PAGES * POOL);
	read_disk(_metadata, self->data);
	self->disk = open(DISK, O_RDONLY | O_DIRECT);
	ASSERT_LE(0, self->disk) TH_LOG("%m");
	ASSERT_EQ(0, syscall(SYS_io_setup, 1, &self->aio)) TH_LOG("%m");
	self->done = gate_new(_metadata);
}

static void start_read(struct __test_metadata *_metadata, FIXTURE_DATA(fork_direct) *self)
{
	struct iocb *iocb = &self->iocb;

	*iocb = (struct iocb) {
		.aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = self->disk,
		.aio_buf = user_ptr(at(&self->heap, self->run + TARGET)), .aio_nbytes = BYTES,
	};
	ASSERT_EQ(1, syscall(SYS_io_submit, self->aio, 1, &iocb)) TH_LOG("%m");
}

static void end_read(struct __test_metadata *_metadata, FIXTURE_DATA(fork_direct) *self)
{
	struct io_event event = {};

	ASSERT_EQ(1, syscall(SYS_io_getevents, self->aio, 1, 1, &event, NULL));
	ASSERT_EQ(BYTES, event.res);
}

static bool read_has_ended(FIXTURE_DATA(fork_direct) *self)
{
	struct io_event event;
	struct timespec none = {};

	return syscall(SYS_io_getevents, self->aio, 0, 1, &event, &none);
}

static void write_to(struct __test_metadata *_metadata, const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	ASSERT_LE(0, fd) TH_LOG("%s: %m", path);
	ASSERT_EQ(strlen(text), write(fd, text, strlen(text))) TH_LOG("%s: %s: %m", path, text);
	close(fd);
}

static void set_speed(struct __test_metadata *_metadata, int disk, const char *speed)
{
	char limit[64];
	struct stat info;

	ASSERT_EQ(0, fstat(disk, &info));
	snprintf(limit, sizeof(limit), "%u:%u rbps=%s", major(info.st_rdev), minor(info.st_rdev),
		 speed);
	write_to(_metadata, GROUP "/io.max", limit);
}

static bool disk_can_be_slow(void)
{
	FILE *file = fopen(CGROUPS "/cgroup.controllers", "r");
	bool found = false;
	char word[64];

	while (file && !found && fscanf(file, "%63s", word) == 1)
		found = !strcmp(word, "io");
	if (file)
		fclose(file);
	return found;
}

/*
 * Start a read in a cgroup that may read two bytes a second. It is under way
 * until this limit changes.
 */
static void start_slow_read(struct __test_metadata *_metadata, FIXTURE_DATA(fork_direct) *self)
{
	write_to(_metadata, CGROUPS "/cgroup.subtree_control", "+io");
	ASSERT_EQ(0, mkdir(GROUP, 0755)) TH_LOG("%m");
	set_speed(_metadata, self->disk, "2");
	write_to(_metadata, GROUP "/cgroup.procs", "0");
	start_read(_metadata, self);
	/* The programs are on the same disk. */
	write_to(_metadata, CGROUPS "/cgroup.procs", "0");
}

static void end_slow_read(struct __test_metadata *_metadata, FIXTURE_DATA(fork_direct) *self)
{
	EXPECT_FALSE(read_has_ended(self));
	set_speed(_metadata, self->disk, "max");
	end_read(_metadata, self);
}

static void remove_group(struct __test_metadata *_metadata, int disk)
{
	if (access(GROUP, F_OK))
		return;
	set_speed(_metadata, disk, "max");
	ASSERT_EQ(0, rmdir(GROUP)) TH_LOG("%m");
}

FIXTURE_TEARDOWN(fork_direct)
{
	remove_group(_metadata, self->disk);
	syscall(SYS_io_destroy, self->aio);
	heap_check(&self->heap);
	heap_close(&self->heap);
	close(self->disk);
	gate_close(&self->done);
}

/*
 * Write to the first sector of the page that is read to, and to another page.
 */
static void write_beside(struct heap *heap, __u64 run, int byte)
{
	memset(at(heap, run), byte, TARGET);
	memset(at(heap, run + 2 * POOL), byte, POOL);
}

static bool written_beside(struct heap *heap, __u64 run, int byte)
{
	return is_filled(at(heap, run), byte, TARGET) &&
	       is_filled(at(heap, run + 2 * POOL), byte, POOL);
}

static void expect_data(struct __test_metadata *_metadata, FIXTURE_DATA(fork_direct) *self)
{
	EXPECT_EQ(0, memcmp(at(&self->heap, self->run + TARGET), self->data, BYTES))
		TH_LOG("it is %s", is_filled(at(&self->heap, self->run + TARGET), 'o', BYTES) ?
		       "what was there before" : "something else");
	EXPECT_TRUE(is_filled(at(&self->heap, self->run + TARGET + BYTES), 'o',
			      POOL - TARGET - BYTES));
}

/*
 * If direct I/O only refers to pages, nothing tells it from a pipe. Then a
 * process that writes to a page that others may read gets a copy: see open(2)
 * on O_DIRECT and fork().
 */
static bool direct_io_pins(void)
{
	struct utsname name;
	int major, minor;

	if (uname(&name) || sscanf(name.release, "%d.%d", &major, &minor) != 2)
		return true;
	return major > 6 || (major == 6 && minor >= 5);
}

#define NEEDS_PINS "before Linux 6.5 the parent must not write to the page that is read to"

TEST_F(fork_direct, read_under_way)
{
	struct gate forked;
	pid_t child;

	if (variant->parent && !direct_io_pins())
		SKIP(return, NEEDS_PINS);
	if (!disk_can_be_slow())
		SKIP(return, "this kernel cannot keep a read from ending: no io.max");
	forked = gate_new(_metadata);
	start_slow_read(_metadata, self);
	IN_CHILD(child, {
		if (variant->child)
			write_beside(&self->heap, self->run, 'c');
		gate_open(_metadata, &forked);
		gate_wait(_metadata, &self->done);
		EXPECT_TRUE(is_filled(at(&self->heap, self->run + TARGET), 'o', BYTES));
		EXPECT_TRUE(written_beside(&self->heap, self->run, variant->child ? 'c' : 'o'));
	});
	gate_wait(_metadata, &forked);
	if (variant->parent)
		write_beside(&self->heap, self->run, 'p');
	end_slow_read(_metadata, self);
	expect_data(_metadata, self);
	EXPECT_TRUE(written_beside(&self->heap, self->run, variant->parent ? 'p' : 'o'));
	gate_open(_metadata, &self->done);
	join_child(_metadata, child);
	expect_data(_metadata, self);
	gate_close(&forked);
}

/* A read may end before, in or after fork(). */
TEST_F(fork_direct, reads_all_the_while)
{
	pid_t child;

	if (variant->parent && !direct_io_pins())
		SKIP(return, NEEDS_PINS);
	for (int round = 0; round < 50; round++) {
		memset(at(&self->heap, self->run), 'o', PAGES * POOL);
		start_read(_metadata, self);
		IN_CHILD(child, {
			if (variant->child)
				write_beside(&self->heap, self->run, 'c');
			EXPECT_TRUE(written_beside(&self->heap, self->run,
						   variant->child ? 'c' : 'o'));
		});
		if (variant->parent)
			write_beside(&self->heap, self->run, 'p');
		end_read(_metadata, self);
		expect_data(_metadata, self);
		join_child(_metadata, child);
		expect_data(_metadata, self);
	}
}

/*
 * Memory that is registered with io_uring. It looks pages up once, and uses
 * them for good.
 */

FIXTURE(fork_uring)
{
	struct heap heap;
	__u64 run;
	int source;	/* a file full of 'd' */
	int ring;
	struct io_uring_params params;
	char *queues;
	struct io_uring_sqe *entries;
	struct gate done;
};

static void map_ring(struct __test_metadata *_metadata, FIXTURE_DATA(fork_uring) *self)
{
	self->ring = syscall(SYS_io_uring_setup, 4, &self->params);
	ASSERT_LE(0, self->ring) TH_LOG("%m");
	ASSERT_TRUE(self->params.features & IORING_FEAT_SINGLE_MMAP);
	self->queues = mmap(NULL, 2 * POOL, PROT_READ | PROT_WRITE, MAP_SHARED, self->ring,
			    IORING_OFF_SQ_RING);
	ASSERT_NE(MAP_FAILED, self->queues);
	self->entries = mmap(NULL, POOL, PROT_READ | PROT_WRITE, MAP_SHARED, self->ring,
			     IORING_OFF_SQES);
	ASSERT_NE(MAP_FAILED, self->entries);
}

static __u32 *sq_word(FIXTURE_DATA(fork_uring) *self, __u32 offset)
{
	return (__u32 *)(self->queues + offset);
}

/*
 * Read the whole run from the file, from its second sector on. Returns 0 or
 * -errno.
 */
static int read_fixed(struct __test_metadata *_metadata, FIXTURE_DATA(fork_uring) *self)
{
	__u32 *tail = sq_word(self, self->params.sq_off.tail);
	__u32 *head = sq_word(self, self->params.cq_off.head);
	__u32 index = *tail & *sq_word(self, self->params.sq_off.ring_mask);
	__u32 done = *head & *sq_word(self, self->params.cq_off.ring_mask);
	struct io_uring_cqe *results = (void *)(self->queues + self->params.cq_off.cqes);

	self->entries[index] = (struct io_uring_sqe) {
		.opcode = IORING_OP_READ_FIXED, .fd = self->source,
		.addr = user_ptr(at(&self->heap, self->run + TARGET)),
		.len = PAGES * POOL - TARGET,
	};
	sq_word(self, self->params.sq_off.array)[index] = index;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	EXPECT_EQ(1, syscall(SYS_io_uring_enter, self->ring, 1, 1, IORING_ENTER_GETEVENTS, NULL,
			     0));
	EXPECT_EQ(*head + 1, __atomic_load_n(sq_word(self, self->params.cq_off.tail),
					     __ATOMIC_ACQUIRE));
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return results[done].res == PAGES * POOL - TARGET ? 0 : results[done].res;
}

/* Returns 0 or -errno. */
static int register_run(FIXTURE_DATA(fork_uring) *self)
{
	struct iovec iov = { at(&self->heap, self->run), PAGES * POOL };

	return syscall(SYS_io_uring_register, self->ring, IORING_REGISTER_BUFFERS, &iov, 1) ?
	       -errno : 0;
}

static void forget_run(struct __test_metadata *_metadata, FIXTURE_DATA(fork_uring) *self)
{
	ASSERT_EQ(0, syscall(SYS_io_uring_register, self->ring, IORING_UNREGISTER_BUFFERS, NULL,
			     0));
}

FIXTURE_SETUP(fork_uring)
{
	char data[PAGES * POOL];
	int err;

	self->heap = HEAP();
	self->run = alloc_one(&self->heap, PAGES * POOL);
	memset(at(&self->heap, self->run), 'o', PAGES * POOL);
	self->source = memfd_create("source", 0);
	ASSERT_LE(0, self->source);
	memset(data, 'd', sizeof(data));
	ASSERT_EQ(sizeof(data), write(self->source, data, sizeof(data)));
	map_ring(_metadata, self);
	self->done = gate_new(_metadata);
	/* Older kernels refuse all memory of files, except that of tmpfs. */
	err = register_run(self);
	if (err == -EOPNOTSUPP)
		SKIP(return, "this kernel registers no mapping of a file");
	ASSERT_EQ(0, err) TH_LOG("%s", strerror(-err));
	forget_run(_metadata, self);
}

FIXTURE_TEARDOWN(fork_uring)
{
	munmap(self->queues, 2 * POOL);
	munmap(self->entries, POOL);
	close(self->ring);
	heap_check(&self->heap);
	heap_close(&self->heap);
	close(self->source);
	gate_close(&self->done);
}

static bool run_is(FIXTURE_DATA(fork_uring) *self, int first, int rest)
{
	return is_filled(at(&self->heap, self->run), first, TARGET) &&
	       is_filled(at(&self->heap, self->run + TARGET), rest, PAGES * POOL - TARGET);
}

TEST_F(fork_uring, registered_before_fork)
{
	pid_t child;

	ASSERT_EQ(0, register_run(self));
	IN_CHILD(child, {
		gate_wait(_metadata, &self->done);
		EXPECT_TRUE(run_is(self, 'o', 'o'));
		memset(at(&self->heap, self->run), 'c', PAGES * POOL);
	});
	memset(at(&self->heap, self->run), 'p', TARGET);
	EXPECT_EQ(0, read_fixed(_metadata, self));
	EXPECT_TRUE(run_is(self, 'p', 'd'));
	gate_open(_metadata, &self->done);
	join_child(_metadata, child);
	EXPECT_TRUE(run_is(self, 'p', 'd'));
	/* Again, after nothing is shared any more. */
	memset(at(&self->heap, self->run), 'q', PAGES * POOL);
	EXPECT_EQ(0, read_fixed(_metadata, self));
	EXPECT_TRUE(run_is(self, 'q', 'd'));
}

/* The child writes, and its parent's buffer stays where it is. */
TEST_F(fork_uring, child_writes_first)
{
	pid_t child;

	ASSERT_EQ(0, register_run(self));
	IN_CHILD(child, memset(at(&self->heap, self->run), 'c', PAGES * POOL));
	join_child(_metadata, child);
	EXPECT_TRUE(run_is(self, 'o', 'o'));
	EXPECT_EQ(0, read_fixed(_metadata, self));
	EXPECT_TRUE(run_is(self, 'o', 'd'));
	memset(at(&self->heap, self->run), 'p', TARGET);
	EXPECT_TRUE(run_is(self, 'p', 'd'));
}

TEST_F(fork_uring, many_forks)
{
	pid_t child;

	ASSERT_EQ(0, register_run(self));
	for (int i = 0; i < 20; i++) {
		memset(at(&self->heap, self->run), 'a' + i, PAGES * POOL);
		IN_CHILD(child, EXPECT_TRUE(run_is(self, 'a' + i, 'a' + i)));
		EXPECT_EQ(0, read_fixed(_metadata, self));
		EXPECT_TRUE(run_is(self, 'a' + i, 'd'));
		join_child(_metadata, child);
		EXPECT_TRUE(run_is(self, 'a' + i, 'd'));
	}
}

/*
 * While a child has the pages, too, the kernel may refuse the run. If it
 * accepts the run, the memory is the parent's.
 */
TEST_F(fork_uring, registered_after_fork)
{
	pid_t child;
	int err;

	IN_CHILD(child, {
		gate_wait(_metadata, &self->done);
		EXPECT_TRUE(run_is(self, 'o', 'o'));
	});
	err = register_run(self);
	if (err) {
		EXPECT_EQ(-EFAULT, err);
	} else {
		EXPECT_EQ(0, read_fixed(_metadata, self));
		EXPECT_TRUE(run_is(self, 'o', 'd'));
		memset(at(&self->heap, self->run), 'p', TARGET);
		EXPECT_EQ(0, read_fixed(_metadata, self));
		EXPECT_TRUE(run_is(self, 'p', 'd'));
	}
	gate_open(_metadata, &self->done);
	join_child(_metadata, child);
}

/*
 * When the child's heap has gone, the next allocation restores the state from
 * before fork().
 */
TEST_F(fork_uring, registered_when_children_have_gone)
{
	pid_t child;

	for (int i = 0; i < 3; i++) {
		IN_CHILD(child, EXPECT_TRUE(run_is(self, 'o', 'o')));
		join_child(_metadata, child);
	}
	do
		free_one(&self->heap, alloc_one(&self->heap, 64));
	while (register_run(self));
	memset(at(&self->heap, self->run), 'p', TARGET);
	EXPECT_EQ(0, read_fixed(_metadata, self));
	EXPECT_TRUE(run_is(self, 'p', 'd'));
}

TEST_HARNESS_MAIN
