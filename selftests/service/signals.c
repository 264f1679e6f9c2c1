// SPDX-License-Identifier: GPL-2.0
/*
 * Signals in the middle of a batch: EINTR, the part that was done, and nothing
 * lost. A batch goes on from where it was interrupted.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "service.h"

#define COUNT PYMALLOC_BATCH_MAX
#define ENOUGH 20	/* how many interruptions a test waits for */

FIXTURE(signals)
{
	struct heap heap;
	pthread_t target;
	pthread_t bomber;
	atomic_bool stop;
	__u32 interrupted;
	__u64 *refs;
};

FIXTURE_VARIANT(signals)
{
	int flags;
};

FIXTURE_VARIANT_ADD(signals, no_restart) { 0 };
FIXTURE_VARIANT_ADD(signals, restart) { SA_RESTART };

static void nothing(int signal)
{
	(void)signal;
}

static void *bombard(void *arg)
{
	FIXTURE_DATA(signals) *self = arg;

	while (!self->stop) {
		pthread_kill(self->target, SIGUSR1);
		sched_yield();
	}
	return NULL;
}

FIXTURE_SETUP(signals)
{
	struct sigaction action = { .sa_handler = nothing, .sa_flags = variant->flags };

	self->heap = HEAP();
	self->refs = calloc(COUNT, sizeof(*self->refs));
	self->target = pthread_self();
	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	ASSERT_EQ(0, pthread_create(&self->bomber, NULL, bombard, self));
}

FIXTURE_TEARDOWN(signals)
{
	struct pymalloc_check arg = ARG(check);
	int ret;

	self->stop = true;
	pthread_join(self->bomber, NULL);
	ret = call(self->heap.fd, PYMALLOC_IOC_CHECK, &arg);
	EXPECT_EQ(0, ret);
	EXPECT_EQ(0, arg.errors) TH_LOG("%.80s", arg.message);
	heap_close(&self->heap);
	free(self->refs);
}

/* Read the figures while signals come. They may interrupt this, too. */
static struct pymalloc_stats stats_now(FIXTURE_DATA(signals) *self)
{
	struct pymalloc_stats arg;
	int ret;

	do {
		arg = (struct pymalloc_stats)ARG(stats);
		ret = call(self->heap.fd, PYMALLOC_IOC_STATS, &arg);
	} while (ret == -EINTR);
	return arg;
}

/* Allocate all of @count, however often it is interrupted. */
static void alloc_through(struct __test_metadata *_metadata, FIXTURE_DATA(signals) *self,
			  __u64 size, __u32 count)
{
	__u32 total = 0;

	while (total < count) {
		struct pymalloc_alloc arg = ARG(alloc, .size = size, .count = count - total,
						.refs = user_ptr(self->refs + total));
		int ret = call(self->heap.fd, PYMALLOC_IOC_ALLOC, &arg);

		ASSERT_TRUE(ret == 0 || ret == -EINTR) TH_LOG("%s", strerror(-ret));
		ASSERT_EQ(ret == 0, arg.done == arg.count);
		ASSERT_LT(0, arg.done);
		self->interrupted += ret == -EINTR;
		total += arg.done;
	}
}

static void free_through(struct __test_metadata *_metadata, FIXTURE_DATA(signals) *self,
			 __u32 count)
{
	__u32 total = 0;

	while (total < count) {
		struct pymalloc_free arg = ARG(free, .count = count - total,
					       .refs = user_ptr(self->refs + total));
		int ret = call(self->heap.fd, PYMALLOC_IOC_FREE, &arg);

		ASSERT_TRUE(ret == 0 || ret == -EINTR) TH_LOG("%s", strerror(-ret));
		ASSERT_EQ(ret == 0, arg.done == arg.count);
		ASSERT_EQ(0, arg.nr_bad);
		self->interrupted += ret == -EINTR;
		total += arg.done;
	}
}

static void until_interrupted(struct __test_metadata *_metadata, FIXTURE_DATA(signals) *self,
			      __u64 size, __u32 count)
{
	while (self->interrupted < ENOUGH) {
		struct pymalloc_stats stats;

		alloc_through(_metadata, self, size, count);
		stats = stats_now(self);
		ASSERT_EQ(count, stats.blocks + stats.runs);
		free_through(_metadata, self, count);
		stats = stats_now(self);
		ASSERT_EQ(0, stats.blocks + stats.runs);
	}
}

TEST_F(signals, blocks)
{
	until_interrupted(_metadata, self, 64, COUNT);
}

TEST_F(signals, runs)
{
	until_interrupted(_metadata, self, 600, 2000);
}

TEST_F(signals, usable)
{
	static __u64 sizes[COUNT];

	alloc_through(_metadata, self, 64, COUNT);
	self->interrupted = 0;
	while (self->interrupted < ENOUGH) {
		struct pymalloc_usable arg = ARG(usable, .count = COUNT,
						 .refs = user_ptr(self->refs),
						 .sizes = user_ptr(sizes));
		int ret;

		memset(sizes, 0, sizeof(sizes));
		ret = call(self->heap.fd, PYMALLOC_IOC_USABLE, &arg);
		ASSERT_TRUE(ret == 0 || ret == -EINTR);
		ASSERT_EQ(ret == 0, arg.done == arg.count);
		for (__u32 i = 0; i < arg.done; i++) {
			ASSERT_EQ(64, sizes[i]);
		}
		self->interrupted += ret == -EINTR;
	}
}

/* A walk that was interrupted goes on where it stopped. */
TEST_F(signals, walk)
{
	static struct pymalloc_block_info blocks[PYMALLOC_BATCH_MAX];
	__u32 before;

	alloc_through(_metadata, self, 512, 20000);
	self->interrupted = 0;
	do {
		struct pymalloc_walk arg = ARG(walk, .what = PYMALLOC_WALK_BLOCKS,
					       .count = PYMALLOC_BATCH_MAX,
					       .entries = user_ptr(blocks),
					       .entry_size = sizeof(blocks[0]));
		__u32 seen = 0;
		int ret;

		before = self->interrupted;
		do {
			ret = call(self->heap.fd, PYMALLOC_IOC_WALK, &arg);
			ASSERT_TRUE(ret == 0 || ret == -EINTR);
			self->interrupted += ret == -EINTR;
			seen += arg.done;
			arg.start = arg.next;
		} while (arg.next);
		ASSERT_EQ(20000, seen);
	} while (self->interrupted < ENOUGH || before == self->interrupted);
}

TEST_HARNESS_MAIN
