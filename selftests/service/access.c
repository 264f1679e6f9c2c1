// SPDX-License-Identifier: GPL-2.0
/*
 * Who may look at a heap: exactly those processes that may read the memory map
 * of the heap's process. Each case is tried on both.
 */
#include <sys/prctl.h>

#include "relatives.h"

#define SOMEBODY_ELSE 12346

/* The heap's process, and what this process is when others look. */
FIXTURE(access)
{
	struct turns turns;
	struct heap *heap;
	pid_t owner;
};

FIXTURE_VARIANT(access)
{
	uid_t uid, euid, suid;
	gid_t gid;
	bool hidden;		/* not dumpable */
	bool same_user_may;
};

FIXTURE_VARIANT_ADD(access, open) {
	.uid = SOMEBODY, .euid = SOMEBODY, .suid = SOMEBODY, .gid = SOMEBODY,
	.same_user_may = true,
};

FIXTURE_VARIANT_ADD(access, hidden) {
	.uid = SOMEBODY, .euid = SOMEBODY, .suid = SOMEBODY, .gid = SOMEBODY,
	.hidden = true,
};

FIXTURE_VARIANT_ADD(access, other_group) {
	.uid = SOMEBODY, .euid = SOMEBODY, .suid = SOMEBODY, .gid = SOMEBODY_ELSE,
};

FIXTURE_VARIANT_ADD(access, can_become_root) {
	.uid = SOMEBODY, .euid = SOMEBODY, .suid = 0, .gid = SOMEBODY,
};

FIXTURE_VARIANT_ADD(access, set_user_id) {
	.uid = SOMEBODY, .euid = 0, .suid = 0, .gid = SOMEBODY,
};

FIXTURE_VARIANT_ADD(access, root) {};

FIXTURE_SETUP(access)
{
	self->heap = common_memory(_metadata, sizeof(*self->heap));
	self->turns = turns_make(_metadata);
	IN_CHILD(self->owner,
		 turns_take(&self->turns, 1);
		 ASSERT_EQ(0, setresgid(variant->gid, variant->gid, variant->gid));
		 ASSERT_EQ(0, setresuid(variant->uid, variant->euid, variant->suid));
		 *self->heap = HEAP();
		 ASSERT_EQ(0, prctl(PR_SET_DUMPABLE, !variant->hidden));
		 turns_around(&self->turns));
	turns_take(&self->turns, 0);
	ASSERT_TRUE(turns_wait(&self->turns));
}

FIXTURE_TEARDOWN(access)
{
	turns_pass(&self->turns);
	join_child(_metadata, self->owner);
}

static void end_child(struct __test_metadata *_metadata)
{
	_exit(!__test_passed(_metadata));
}

static int open_heap(struct __test_metadata *_metadata, FIXTURE_DATA(access) *self)
{
	return heap_open(_metadata, self->heap->id, PYMALLOC_OPEN_RDONLY);
}

/*
 * A process that may not look cannot open the heap. /proc may refuse it only at
 * the first read.
 */
static int open_map(FIXTURE_DATA(access) *self)
{
	char path[64], byte;
	int fd, ret;

	snprintf(path, sizeof(path), "/proc/%d/maps", self->owner);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return -errno;
	ret = read(fd, &byte, 1) == 1 ? 0 : -errno;
	close(fd);
	return ret;
}

static void expect_both(struct __test_metadata *_metadata, FIXTURE_DATA(access) *self, bool may)
{
	int fd = open_heap(_metadata, self);

	EXPECT_EQ(may, fd >= 0) TH_LOG("heap: %s", fd < 0 ? strerror(-fd) : "open");
	EXPECT_EQ(may ? fd : -EPERM, fd);
	EXPECT_EQ(may, open_map(self) == 0) TH_LOG("map");
	close(fd);
}

TEST_F(access, by_the_same_user)
{
	pid_t child;

	IN_CHILD(child,
		 become_somebody(_metadata);
		 expect_both(_metadata, self, variant->same_user_may);
		 end_child(_metadata));
	join_child(_metadata, child);
}

TEST_F(access, by_somebody_else)
{
	pid_t child;

	IN_CHILD(child,
		 ASSERT_EQ(0, setgid(SOMEBODY));
		 ASSERT_EQ(0, setuid(SOMEBODY_ELSE));
		 expect_both(_metadata, self, false);
		 end_child(_metadata));
	join_child(_metadata, child);
}

TEST_F(access, by_root)
{
	expect_both(_metadata, self, true);
}

/*
 * Root may do what its capabilities allow. Without this one, root may do less
 * than others.
 */
TEST_F(access, by_root_without_ptrace)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2];
	pid_t child;

	IN_CHILD(child,
		 ASSERT_EQ(0, syscall(SYS_capget, &header, caps));
		 caps[0].effective &= ~(1U << CAP_SYS_PTRACE);
		 ASSERT_EQ(0, syscall(SYS_capset, &header, caps));
		 expect_both(_metadata, self, false);
		 end_child(_metadata));
	join_child(_metadata, child);
}

static void look_as_somebody(struct __test_metadata *_metadata, const struct heap *heap)
{
	struct pymalloc_stats stats = ARG(stats);

	EXPECT_EQ(0, call(heap->fd, PYMALLOC_IOC_STATS, &stats));
	become_somebody(_metadata);
	EXPECT_EQ(-EPERM, call(heap->fd, PYMALLOC_IOC_STATS, &stats));
	end_child(_metadata);
}

/*
 * With a descriptor of the heap's own process, a process may look only if it
 * could open the heap itself.
 */
TEST_F(access, by_an_inherited_descriptor)
{
	struct heap heap = HEAP();
	pid_t child;

	heap_unmap(&heap);
	prctl(PR_SET_DUMPABLE, 0);
	IN_CHILD(child, look_as_somebody(_metadata, &heap));
	join_child(_metadata, child);
	prctl(PR_SET_DUMPABLE, 1);
	close(heap.fd);
}

TEST_HARNESS_MAIN
