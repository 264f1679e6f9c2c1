/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A process that gets next to no CPU time, and looks at a heap. So it is nearly always
 * interrupted in the middle of a look, with all that it holds then.
 */
#ifndef SELFTESTS_SLOWED_H
#define SELFTESTS_SLOWED_H

#define GROUP "/sys/fs/cgroup/pymalloc-look"

#include "cgroup.h"

/* So many that a look goes on for long, also if the owner is slow. */
#define NR_ARENAS	4096
#define TOP		"/sys/fs/cgroup/cgroup.subtree_control"

/* How long a group may run, in which time: next to nothing, and a whole CPU. */
#define SLOW		"1000 1000000"
#define FAST		"1000000 1000000"

/* What the process that looks reports. */
struct looker {
	volatile unsigned int inside;	/* the number of its look; 0 between two */
	volatile int result;		/* of the look that failed, which is the last one */
};

/* A heap of many arenas, with one page each. */
static inline void fill(struct heap *heap)
{
	struct __test_metadata *_metadata = heap->test;

	for (int i = 0; i < NR_ARENAS; i++) {
		struct pymalloc_resize arg = ARG(resize, .ref = alloc_one(heap, ARENA),
						 .size = POOL);

		ASSERT_EQ(0, call(heap->fd, PYMALLOC_IOC_RESIZE, &arg));
	}
}

/*
 * Make a group that runs for a thousandth of the time. Returns false if the
 * kernel cannot do that. The group stays, and always has a limit: with the
 * first and the last limit, the kernel patches its own code, and this test is
 * not about that.
 */
static inline bool slow_group_make(struct __test_metadata *_metadata)
{
	int top = open(TOP, O_WRONLY);
	bool can;

	ASSERT_LE(0, top) TH_LOG("%m; is cgroup2 mounted?");
	can = write(top, "+cpu", 4) == 4;
	close(top);
	if (!can)
		return false;
	ASSERT_TRUE(!mkdir(GROUP, 0755) || errno == EEXIST) TH_LOG("%m");
	if (access(GROUP "/cpu.max", W_OK))
		return false;
	write_text(_metadata, GROUP "/cpu.max", SLOW);
	return true;
}

/*
 * Microseconds of CPU time. A look takes many times as much, but its last steps
 * take less.
 */
#define PIECE 2000

/* A test that comes too late is tried again so often. */
#define TRIES 10

static inline __u64 cpu_time(struct __test_metadata *_metadata)
{
	return read_group(_metadata, "cpu.stat", "usage_usec");
}

/*
 * Does the process that looks still have much to do before this look is over?
 */
static inline bool goes_on(struct __test_metadata *_metadata, struct looker *looker,
			   unsigned int number)
{
	__u64 since = cpu_time(_metadata);

	while (looker->inside == number && cpu_time(_metadata) < since + PIECE)
		usleep(1000);
	return looker->inside == number;
}

/* Wait until the process is well inside a look. Returns the look's number. */
static inline unsigned int wait_inside(struct __test_metadata *_metadata, struct looker *looker)
{
	unsigned int number;

	do {
		while (!(number = looker->inside))
			sched_yield();
	} while (!goes_on(_metadata, looker, number));
	return number;
}

#endif /* SELFTESTS_SLOWED_H */
