// SPDX-License-Identifier: GPL-2.0
/*
 * Upkeep: a heap gives memory back by itself, as its policy says. The program
 * makes no call meanwhile but to ask how far the heap has come.
 */
#include "relatives.h"
#include "slowed.h"

#define MANY 50
#define KEPT 5
#define QUICK 10	/* milliseconds */

static const char *const switches[] = { "decay", "steal", "mesh" };
static const char *const numbers[] = { "decay_ms", "keep_bytes", "mesh_bytes" };

/* A test may set the parameters. They are put back. */
FIXTURE(reclaim)
{
	struct heap heap;
	__u64 before[ARRAY_SIZE(numbers)];
};

FIXTURE_SETUP(reclaim)
{
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		self->before[i] = read_parameter(_metadata, numbers[i]);
	self->heap = HEAP();
}

FIXTURE_TEARDOWN(reclaim)
{
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		write_parameter(_metadata, numbers[i], self->before[i]);
	for (size_t i = 0; i < ARRAY_SIZE(switches); i++)
		write_parameter(_metadata, switches[i], 1);
	heap_check(&self->heap);
	heap_close(&self->heap);
}

static __u64 refs[8 * MANY];

/* Returns how many there are: some more, as pages are taken ahead. */
static __u64 make_empty_pools(struct heap *heap)
{
	alloc(heap, 512, refs, ARRAY_SIZE(refs));
	free_all(heap, refs, ARRAY_SIZE(refs));
	return heap_stats(heap).pools_empty;
}

static struct pymalloc_policy set_policy(struct heap *heap, __u32 off)
{
	return POLICY(heap, .flags = PYMALLOC_POLICY_SET, .decay_ms = QUICK, .off = off,
		      .keep_bytes = KEPT * POOL);
}

TEST_F(reclaim, down_to_what_is_kept)
{
	set_policy(&self->heap, 0);
	make_empty_pools(&self->heap);
	/* A pool that is about to leave is not empty any more, and its page has not left yet. */
	ASSERT_TRUE(EVENTUALLY(heap_stats(&self->heap).nr_decayed >= MANY - KEPT));
	EXPECT_GE(KEPT, heap_stats(&self->heap).pools_empty);
	/* No call has trimmed the heap. */
	EXPECT_EQ(heap_stats(&self->heap).nr_decayed, heap_stats(&self->heap).nr_pages_out);
	EXPECT_EQ(0, heap_stats(&self->heap).nr_shrunk);
}

/* A round that was a day away comes as soon as the new policy says. */
TEST_F(reclaim, sooner)
{
	struct heap heap;

	write_parameter(_metadata, "decay_ms", PYMALLOC_DECAY_MS_MAX);
	heap = HEAP();
	make_empty_pools(&heap);
	set_policy(&heap, 0);
	EXPECT_TRUE(EVENTUALLY(heap_stats(&heap).pools_empty <= KEPT));
	heap_close(&heap);
}

/* The memory of a block is not touched, and the heap goes on. */
TEST_F(reclaim, blocks_stay)
{
	__u64 ref = alloc_one(&self->heap, 100);

	memset(at(&self->heap, ref), 7, 100);
	set_policy(&self->heap, 0);
	for (int round = 0; round < 5; round++) {
		make_empty_pools(&self->heap);
		ASSERT_TRUE(EVENTUALLY(heap_stats(&self->heap).pools_empty <= KEPT));
		heap_check(&self->heap);
	}
	EXPECT_TRUE(is_filled(at(&self->heap, ref), 7, 100));
}

/* The other heap is the clock: when it has decayed, this one had the time, too. */
TEST_F(reclaim, off)
{
	struct heap clock = HEAP();
	__u64 empty;

	set_policy(&self->heap, PYMALLOC_POLICY_NO_DECAY);
	set_policy(&clock, 0);
	empty = make_empty_pools(&self->heap);
	for (int round = 0; round < 5; round++) {
		make_empty_pools(&clock);
		ASSERT_TRUE(EVENTUALLY(heap_stats(&clock).pools_empty <= KEPT));
	}
	EXPECT_EQ(empty, heap_stats(&self->heap).pools_empty);
	EXPECT_EQ(0, heap_stats(&self->heap).nr_pages_out);
	EXPECT_EQ(0, heap_stats(&self->heap).nr_decayed);

	/* It begins when it is allowed, without any other call. */
	set_policy(&self->heap, 0);
	EXPECT_TRUE(EVENTUALLY(heap_stats(&self->heap).pools_empty <= KEPT));
	heap_close(&clock);
}

/* A heap without a policy follows the parameters, and they count from then on. */
TEST_F(reclaim, parameters)
{
	struct heap clock = HEAP();
	struct pymalloc_policy policy;
	__u64 empty;

	set_policy(&clock, 0);
	write_parameter(_metadata, "decay", 0);
	write_parameter(_metadata, "decay_ms", QUICK);
	write_parameter(_metadata, "keep_bytes", KEPT * POOL);
	policy = POLICY(&self->heap, .flags = PYMALLOC_POLICY_RESET);
	EXPECT_EQ(QUICK, policy.decay_ms);
	EXPECT_EQ(KEPT * POOL, policy.keep_bytes);
	EXPECT_EQ(PYMALLOC_POLICY_NO_DECAY, policy.off);
	empty = make_empty_pools(&self->heap);
	make_empty_pools(&clock);
	ASSERT_TRUE(EVENTUALLY(heap_stats(&clock).pools_empty <= KEPT));
	EXPECT_EQ(empty, heap_stats(&self->heap).pools_empty);

	write_parameter(_metadata, "decay", 1);
	EXPECT_EQ(0, POLICY(&self->heap).off);
	free_one(&self->heap, alloc_one(&self->heap, 512));
	EXPECT_TRUE(EVENTUALLY(heap_stats(&self->heap).pools_empty <= KEPT));
	heap_close(&clock);
}

static bool parameter_takes(const char *name, const char *value)
{
	char path[128];
	ssize_t done;
	int fd;

	snprintf(path, sizeof(path), PARAMETERS "%s", name);
	fd = open(path, O_WRONLY);
	done = write(fd, value, strlen(value));
	close(fd);
	return done == (ssize_t)strlen(value);
}

TEST_F(reclaim, bad_parameters)
{
	static const char *const bad[][2] = {
		{ "decay_ms", "9" }, { "decay_ms", "0" }, { "decay_ms", "86400001" },
		{ "decay_ms", "-1" }, { "decay_ms", "soon" }, { "keep_bytes", "-1" },
		{ "keep_bytes", "some" }, { "mesh_bytes", "1 MiB" }, { "decay", "2" },
		{ "steal", "maybe" }, { "mesh", "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_FALSE(parameter_takes(bad[i][0], bad[i][1]) && *bad[i][1])
			TH_LOG("%s=%s", bad[i][0], bad[i][1]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		EXPECT_EQ(self->before[i], read_parameter(_metadata, numbers[i]));
	}
	EXPECT_TRUE(parameter_takes("decay_ms", "10"));
	EXPECT_TRUE(parameter_takes("decay_ms", "86400000"));
	EXPECT_TRUE(parameter_takes("keep_bytes", "0"));
}

TEST_F(reclaim, policy_is_kept)
{
	struct pymalloc_policy policy = POLICY(&self->heap, .flags = PYMALLOC_POLICY_SET,
					       .decay_ms = 1234, .keep_bytes = 3 * POOL - 1,
					       .off = PYMALLOC_POLICY_NO_MESH);

	EXPECT_EQ(1234, policy.decay_ms);
	EXPECT_EQ(2 * POOL, policy.keep_bytes);
	policy = POLICY(&self->heap);
	EXPECT_EQ(1234, policy.decay_ms);
	EXPECT_EQ(2 * POOL, policy.keep_bytes);
	EXPECT_EQ(PYMALLOC_POLICY_NO_MESH, policy.off);
	/* 0 leaves the interval to the module. */
	policy = POLICY(&self->heap, .flags = PYMALLOC_POLICY_SET);
	EXPECT_EQ(self->before[0], policy.decay_ms);
	EXPECT_EQ(0, policy.keep_bytes);
	EXPECT_EQ(0, policy.off);
	policy = POLICY(&self->heap, .flags = PYMALLOC_POLICY_RESET, .keep_bytes = 5);
	EXPECT_EQ(self->before[1], policy.keep_bytes);
	write_parameter(_metadata, "keep_bytes", POOL - 1);
	EXPECT_EQ(0, POLICY(&self->heap).keep_bytes);
}

TEST_F(reclaim, bad_policies)
{
	static const struct pymalloc_policy bad[] = {
		ARG(policy, .flags = PYMALLOC_POLICY_SET | PYMALLOC_POLICY_RESET),
		ARG(policy, .flags = PYMALLOC_POLICY_SET, .decay_ms = PYMALLOC_DECAY_MS_MIN - 1),
		ARG(policy, .flags = PYMALLOC_POLICY_SET, .decay_ms = PYMALLOC_DECAY_MS_MAX + 1),
		ARG(policy, .flags = PYMALLOC_POLICY_SET, .off = POLICY_NOTHING + 1),
		ARG(policy, .flags = PYMALLOC_POLICY_SET, .off = 1U << 31),
	};
	struct pymalloc_policy before = POLICY(&self->heap), after;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct pymalloc_policy arg = bad[i];

		EXPECT_EQ(-EINVAL, call(self->heap.fd, PYMALLOC_IOC_POLICY, &arg));
	}
	after = POLICY(&self->heap);
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
}

/* Whoever may only look may ask, but not change anything. */
TEST_F(reclaim, read_only)
{
	int fd = heap_open(_metadata, self->heap.id, PYMALLOC_OPEN_RDONLY);
	struct pymalloc_policy arg = ARG(policy, .flags = PYMALLOC_POLICY_SET, .decay_ms = 50);

	ASSERT_LE(0, fd);
	EXPECT_EQ(-EBADF, call(fd, PYMALLOC_IOC_POLICY, &arg));
	arg.flags = PYMALLOC_POLICY_RESET;
	EXPECT_EQ(-EBADF, call(fd, PYMALLOC_IOC_POLICY, &arg));
	arg.flags = 0;
	EXPECT_EQ(0, call(fd, PYMALLOC_IOC_POLICY, &arg));
	EXPECT_EQ(POLICY_NOTHING, arg.off);
	close(fd);
}

/* A child begins with its parent's policy, and changes its own only. */
TEST_F(reclaim, child)
{
	pid_t child;

	set_policy(&self->heap, 0);
	IN_CHILD(child, {
		EXPECT_EQ(KEPT * POOL, POLICY(&self->heap).keep_bytes);
		make_empty_pools(&self->heap);
		EXPECT_TRUE(EVENTUALLY(heap_stats(&self->heap).pools_empty <= KEPT));
		heap_check(&self->heap);
		POLICY(&self->heap, .flags = PYMALLOC_POLICY_RESET);
	});
	join_child(_metadata, child);
	EXPECT_EQ(KEPT * POOL, POLICY(&self->heap).keep_bytes);
}

/* Heaps end at any moment of a round, and before it. */
TEST_F(reclaim, ends)
{
	for (int round = 0; round < 300; round++) {
		struct heap heap = HEAP();

		set_policy(&heap, 0);
		make_empty_pools(&heap);
		if (round % 3 == 0)
			usleep(round % 50 * 1000);
		heap_close(&heap);
	}
}

/* A process that sleeps does not hold what it no longer needs. */
TEST_F(reclaim, sleeper)
{
	struct turns turns = turns_make(_metadata);
	struct pymalloc_stats stats = ARG(stats);
	pid_t child;
	int fd;

	set_policy(&self->heap, 0);
	IN_CHILD(child, {
		struct heap heap = HEAP();

		turns_take(&turns, 1);
		set_policy(&heap, 0);
		make_empty_pools(&heap);
		ASSERT_EQ(sizeof(heap.id), send(turns_end(&turns), &heap.id, sizeof(heap.id), 0));
		turns_wait(&turns);
	});
	turns_take(&turns, 0);
	ASSERT_EQ(sizeof(__u64), recv(turns_end(&turns), refs, sizeof(__u64), MSG_WAITALL));
	fd = heap_open(_metadata, refs[0], PYMALLOC_OPEN_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_TRUE(EVENTUALLY(!call(fd, PYMALLOC_IOC_STATS, &stats) &&
			       stats.pools_empty <= KEPT));
	turns_pass(&turns);
	join_child(_metadata, child);
	close(fd);
}

static void check_on(struct __test_metadata *_metadata, __u64 id, struct looker *looker)
{
	int fd = heap_open(_metadata, id, 0);
	unsigned int number = 0;

	ASSERT_LE(0, fd);
	for (;;) {
		struct pymalloc_check arg = ARG(check);

		looker->inside = ++number;
		ASSERT_EQ(0, call(fd, PYMALLOC_IOC_CHECK, &arg));
		ASSERT_EQ(0, arg.errors);
		looker->inside = 0;
	}
}

/* Have the thread look after both heaps, while one of them has its gate closed. */
static void keep_up(struct __test_metadata *_metadata, struct heap *closed, struct heap *other)
{
	for (int round = 0; round < 5; round++) {
		set_policy(closed, 0);
		make_empty_pools(other);
		ASSERT_TRUE(EVENTUALLY(heap_stats(other).pools_empty <= KEPT));
	}
}

/*
 * CHECK has a heap to itself, for as long as its process can draw it out. All other heaps
 * give memory back meanwhile, and this one does so afterwards.
 */
TEST_F(reclaim, beside_a_check)
{
	struct looker *looker = common_memory(_metadata, sizeof(*looker));
	struct heap closed = HEAP();
	struct gate start = gate_new(_metadata);
	bool went_on = false;
	unsigned int number;
	pid_t child;

	if (!slow_group_make(_metadata))
		SKIP(return, "this kernel cannot limit CPU time");
	set_policy(&self->heap, 0);
	fill(&closed);
	POLICY(&closed, .flags = PYMALLOC_POLICY_SET, .off = POLICY_NOTHING);
	make_empty_pools(&closed);
	IN_CHILD(child,
		 heap_close(&closed);
		 gate_wait(_metadata, &start);
		 check_on(_metadata, closed.id, looker));
	write_group(_metadata, "cgroup.procs", child);
	gate_open(_metadata, &start);
	gate_close(&start);
	for (int i = 0; i < TRIES && !went_on; i++) {
		number = wait_inside(_metadata, looker);
		keep_up(_metadata, &closed, &self->heap);
		went_on = goes_on(_metadata, looker, number);
	}
	EXPECT_TRUE(went_on) TH_LOG("every CHECK was over before the other heap had decayed");
	write_text(_metadata, GROUP "/cpu.max", FAST);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	EXPECT_TRUE(EVENTUALLY(heap_stats(&closed).pools_empty <= KEPT));
	heap_close(&closed);
}

TEST_HARNESS_MAIN
