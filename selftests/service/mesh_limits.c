// SPDX-License-Identifier: GPL-2.0
/*
 * A heap whose pools are nearly empty meets a limit: that of its memory cgroup, its own,
 * or its user's. It lets pools share pages then, and goes on. Nobody has to ask for it.
 */
#define GROUP "/sys/fs/cgroup/pymalloc-mesh-test"
#include "cgroup.h"
#include "mesh.h"

/* One block of eight is left in each pool: seven pages of eight can be had back. */
#define SIZE 512
#define POOLS 4096
#define BYTES (POOLS * POOL)
/* What the limit still allows, and what is needed. */
#define ROOM (2 * MIB)
#define NEEDED (8 * MIB)
#define OTHER_SIZE 256
#define BATCH 1024

FIXTURE(mesh_limits)
{
	struct heap heap;
	struct marked *blocks;
	struct marked *more;
	__u32 nr_more;
	__u64 user_bytes;	/* the parameter, before the test */
};

FIXTURE_VARIANT(mesh_limits)
{
	bool group;
	bool user;
};

FIXTURE_VARIANT_ADD(mesh_limits, of_the_group) { .group = true };
FIXTURE_VARIANT_ADD(mesh_limits, of_the_heap) { };
FIXTURE_VARIANT_ADD(mesh_limits, of_the_user) { .user = true };

/* Nothing goes back by itself before the limit is met. */
static void set_policy(struct __test_metadata *_metadata, struct heap *heap, __u32 off)
{
	struct pymalloc_policy arg = ARG(policy, .flags = PYMALLOC_POLICY_SET, .off = off,
					 .decay_ms = PYMALLOC_DECAY_MS_MAX);

	ASSERT_EQ(0, call(heap->fd, PYMALLOC_IOC_POLICY, &arg));
}

FIXTURE_SETUP(mesh_limits)
{
	self->blocks = calloc(POOLS, sizeof(*self->blocks));
	self->more = calloc(NEEDED / OTHER_SIZE, sizeof(*self->more));
	/* So that it is there, whatever the limit. */
	memset(self->more, 1, NEEDED / OTHER_SIZE * sizeof(*self->more));
	if (variant->group)
		group_make(_metadata);
	/* Room for the metadata of all pools, too. */
	self->heap = variant->group || variant->user ? HEAP() :
		     HEAP(.limit = BYTES + BYTES / 16 + ROOM);
	self->user_bytes = read_parameter(_metadata, "user_bytes");
	set_policy(_metadata, &self->heap, 0);
	ASSERT_EQ(POOLS, leave_few(&self->heap, self->blocks, SIZE, POOLS, 1));
	heap_trim(&self->heap);
	ASSERT_LE(BYTES, heap_stats(&self->heap).page_bytes);
	if (variant->group)
		write_group(_metadata, "memory.max", charged(_metadata) + ROOM);
	if (variant->user)
		write_parameter(_metadata, "user_bytes",
				service_info(_metadata).user_bytes + ROOM);
}

FIXTURE_TEARDOWN(mesh_limits)
{
	write_parameter(_metadata, "user_bytes", self->user_bytes);
	EXPECT_EQ(0, marked_lost(&self->heap, self->blocks, POOLS));
	EXPECT_EQ(0, marked_lost(&self->heap, self->more, self->nr_more));
	heap_check(&self->heap);
	heap_close(&self->heap);
	free(self->blocks);
	free(self->more);
	if (variant->group) {
		EXPECT_EQ(0, read_group(_metadata, "memory.events", "oom_kill"));
		group_leave(_metadata);
		ASSERT_TRUE(EVENTUALLY(!rmdir(GROUP))) TH_LOG("%m");
	}
}

/* Allocate up to what is needed. Returns 0, or the error that ended it. */
static int allocate(FIXTURE_DATA(mesh_limits) *self)
{
	__u64 refs[BATCH];

	while (self->nr_more < NEEDED / OTHER_SIZE) {
		__u32 left = NEEDED / OTHER_SIZE - self->nr_more;
		struct pymalloc_alloc arg = ARG(alloc, .size = OTHER_SIZE,
						.count = left < BATCH ? left : BATCH,
						.refs = user_ptr(refs));
		int ret = call(self->heap.fd, PYMALLOC_IOC_ALLOC, &arg);

		for (__u32 i = 0; i < arg.done; i++) {
			struct marked *block = &self->more[self->nr_more++];

			*block = (struct marked){ .ref = refs[i], .size = OTHER_SIZE };
			marked_write(&self->heap, block);
		}
		if (ret)
			return ret;
	}
	return 0;
}

TEST_F(mesh_limits, lives)
{
	ASSERT_EQ(0, allocate(self));
	EXPECT_LT(0, heap_stats(&self->heap).pools_meshed);
}

static __u64 refs[POOLS * POOL / SIZE];

/* Allocate until the heap is at its limit, and has found so often that there is no more. */
static __u32 fill(struct heap *heap)
{
	struct pymalloc_alloc arg;
	__u32 done = 0;
	int tries = 0;

	for (;;) {
		arg = (struct pymalloc_alloc)ARG(alloc, .size = SIZE, .count = BATCH,
						 .refs = user_ptr(refs + done));
		if (call(heap->fd, PYMALLOC_IOC_ALLOC, &arg) && ++tries == 8)
			return done + arg.done;
		done += arg.done;
		usleep(20000 << tries);
	}
}

/*
 * A heap that has found nothing at its limit waits before it tries again, two seconds in
 * the end; but not if its process frees much meanwhile.
 */
TEST(freed_at_the_limit)
{
	struct pymalloc_info info = service_info(_metadata);
	struct heap heap = HEAP(.limit = info.heap_bytes_min + 4 * MIB);
	__u32 nr, kept = 0;
	__u64 other[64];

	set_policy(_metadata, &heap, 0);
	nr = fill(&heap);
	ASSERT_LT(4096, nr);
	ASSERT_GT(ARRAY_SIZE(refs), nr);
	/* One block of eight stays, and with it all pages. */
	for (__u32 i = 0; i < nr; i++)
		if (i % 8)
			free_one(&heap, refs[i]);
		else
			refs[kept++] = refs[i];
	alloc(&heap, OTHER_SIZE, other, ARRAY_SIZE(other));
	free_all(&heap, other, ARRAY_SIZE(other));
	for (__u32 i = 0; i < kept; i++)
		free_one(&heap, refs[i]);
	heap_check(&heap);
	heap_close(&heap);
}

/* The same heap dies of it, if it may not let pools share pages: that is what is gained. */
TEST_F(mesh_limits, would_die)
{
	int expected = variant->user ? -EDQUOT : -ENOMEM;

	if (variant->group)
		SKIP(return, "in a full group a page table may cost the process its life");
	set_policy(_metadata, &self->heap, PYMALLOC_POLICY_NO_MESH);
	ASSERT_EQ(expected, allocate(self));
	EXPECT_EQ(0, heap_stats(&self->heap).pools_meshed);
	/* Nothing has been lost: as soon as it may, it goes on. */
	set_policy(_metadata, &self->heap, 0);
	EXPECT_EQ(0, allocate(self));
}

TEST_HARNESS_MAIN
