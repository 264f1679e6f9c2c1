// SPDX-License-Identifier: GPL-2.0
/*
 * A look at a heap does not stop those who use the heap. The test looks from a
 * process that gets next to no CPU time. So it is nearly always interrupted in
 * the middle of a look. It must have nothing then that the owner needs.
 */
#include "relatives.h"
#include "slowed.h"

#define NR_CALLS	500

FIXTURE(look)
{
	struct heap heap;
	struct looker *looker;
	pid_t pid;
};

FIXTURE_VARIANT(look)
{
	const char *file;	/* a file in debugfs; if NULL, an ioctl */
	bool walks;
};

FIXTURE_VARIANT_ADD(look, check) {};
FIXTURE_VARIANT_ADD(look, walk) { .walks = true };
FIXTURE_VARIANT_ADD(look, debugfs_check) { .file = "check" };
FIXTURE_VARIANT_ADD(look, debugfs_pools) { .file = "pools" };

static int look_once(const FIXTURE_VARIANT(look) *variant, const char *path, int fd)
{
	static struct pymalloc_pool_info pools[PYMALLOC_BATCH_MAX];
	struct pymalloc_walk walk = ARG(walk, .what = PYMALLOC_WALK_POOLS,
					.entries = user_ptr(pools), .count = ARRAY_SIZE(pools),
					.entry_size = sizeof(pools[0]));
	struct pymalloc_check check = ARG(check);
	int ret;

	if (variant->walks)
		return call(fd, PYMALLOC_IOC_WALK, &walk);
	if (!variant->file)
		return call(fd, PYMALLOC_IOC_CHECK, &check) ?: (int)check.errors;
	ret = open(path, O_RDONLY);
	if (ret < 0)
		return -errno;
	close(ret);
	return 0;
}

static void look_on(struct __test_metadata *_metadata, FIXTURE_DATA(look) *self,
		    const FIXTURE_VARIANT(look) *variant)
{
	int fd = heap_open(_metadata, self->heap.id, PYMALLOC_OPEN_RDONLY);
	struct looker *looker = self->looker;
	unsigned int number = 0;
	char path[128];

	ASSERT_LE(0, fd);
	snprintf(path, sizeof(path), "/sys/kernel/debug/pymalloc/heap%llu/%s", self->heap.id,
		 variant->file ?: "");
	for (;;) {
		looker->inside = ++number;
		looker->result = look_once(variant, path, fd);
		if (looker->result)
			return;
		looker->inside = 0;
	}
}

FIXTURE_SETUP(look)
{
	struct gate start = gate_new(_metadata);

	if (!slow_group_make(_metadata))
		SKIP(return, "this kernel cannot limit CPU time");
	self->heap = HEAP();
	fill(&self->heap);
	self->looker = common_memory(_metadata, sizeof(*self->looker));
	IN_CHILD(self->pid,
		 heap_close(&self->heap);
		 gate_wait(_metadata, &start);
		 look_on(_metadata, self, variant));
	write_group(_metadata, "cgroup.procs", self->pid);
	gate_open(_metadata, &start);
	gate_close(&start);
}

FIXTURE_TEARDOWN(look)
{
	if (!self->pid)
		return;
	/* To end takes some time, too. */
	write_text(_metadata, GROUP "/cpu.max", FAST);
	kill(self->pid, SIGKILL);
	waitpid(self->pid, NULL, 0);
}

/* Everything that a process does with its heap, and with another one. */
static void use(struct __test_metadata *_metadata, struct heap *heap)
{
	struct heap other = HEAP(.window = PYMALLOC_WINDOW_MIN);
	pid_t child;

	heap_close(&other);
	IN_CHILD(child, free_one(heap, alloc_one(heap, 100)));
	join_child(_metadata, child);
	for (int i = 0; i < NR_CALLS; i++)
		free_one(heap, alloc_one(heap, i + 1));
	heap_trim(heap);
}

TEST_F(look, owner_goes_on)
{
	bool went_on = false;

	for (int i = 0; i < TRIES && !went_on; i++) {
		unsigned int number = wait_inside(_metadata, self->looker);

		use(_metadata, &self->heap);
		/* The look was not at its very end. */
		went_on = goes_on(_metadata, self->looker, number);
	}
	EXPECT_TRUE(went_on) TH_LOG("every look was over before the owner went on");
	EXPECT_EQ(0, self->looker->result);
	heap_check(&self->heap);
	heap_close(&self->heap);
}

/*
 * The look does not keep the heap's memory after the owner has ended, either.
 */
TEST_F(look, heap_ends)
{
	unsigned int number = wait_inside(_metadata, self->looker);

	heap_close(&self->heap);
	/* It has found out nothing yet; from now on it needs its CPU time. */
	write_text(_metadata, GROUP "/cpu.max", FAST);
	EXPECT_TRUE(EVENTUALLY(self->looker->result));
	EXPECT_EQ(number, self->looker->inside);
	EXPECT_EQ(variant->file ? -ENOENT : -ESTALE, self->looker->result);
}

TEST_HARNESS_MAIN
