// SPDX-License-Identifier: GPL-2.0
/* What fork() costs a process with small objects: the call, and writes after it. */
#include <unistd.h>

#include "fork.h"

#define MEMORY		(20UL << 20)
#define MEMORY_SERVER	(50UL << 20)
/* Each child writes to one page in 20; a worker of a server to one in 5. */
#define PART		20
#define PART_SERVER	5
/* The size of a large object (a run). */
#define RUN_PAGES	64

static size_t part_of(const struct memory *memory, size_t divisor)
{
	return (memory->nr_pages + divisor - 1) / divisor;
}

static double write_timed(const struct memory *memory, size_t first, size_t count)
{
	__u64 start = nanoseconds();

	memory_write(memory, first, count);
	return (double)(nanoseconds() - start) / count;
}

/* Each child writes to another part, so that 20 children write to all of it. */
static double write_part(const struct memory *memory, unsigned int number)
{
	size_t count = part_of(memory, PART);

	return write_timed(memory, number * count, count);
}

static void start_family(struct family *family, const struct memory *memory, size_t count)
{
	family_begin(family);
	while (count--)
		family_add(family, memory, write_part);
	settle();
}

/*
 * fork() of the last of several children. Real-time priority begins just before it:
 * for a longer time, the scheduler would still give others a share of each second.
 */
static void fork_last(const struct workload *workload)
{
	struct memory memory;
	struct family family;

	memory_fill(&memory, scaled(MEMORY));
	start_family(&family, &memory, workload->live - 1);
	schedule_first();
	report_time(workload, family_add(&family, &memory, write_part));
	family_end(&family);
}

/* As above, but the last child ends at once, and its end is measured, too. */
static void fork_end(const struct workload *workload)
{
	struct memory memory;
	struct family family;
	double ran;

	memory_fill(&memory, scaled(MEMORY));
	start_family(&family, &memory, workload->live - 1);
	ran = busy();
	if (!checked_fork())
		_exit(0);
	wait_for_child();
	report_time(workload, busy() - ran);
	family_end(&family);
}

static void children_write(const struct workload *workload, struct memory *memory)
{
	struct family family;
	double total = 0;
	unsigned int i;

	start_family(&family, memory, workload->live);
	for (i = 0; i < family.count; i++)
		total += family_work(&family);
	report_time(workload, total / family.count);
	family_end(&family);
}

static void parent_writes(const struct workload *workload, struct memory *memory)
{
	struct family family;

	start_family(&family, memory, workload->live);
	report_time(workload, write_timed(memory, 0, memory->nr_pages));
	family_end(&family);
}

static void child_order(const struct workload *workload)
{
	struct memory memory;

	memory_fill(&memory, scaled(MEMORY));
	children_write(workload, &memory);
}

static void child_random(const struct workload *workload)
{
	struct memory memory;

	memory_fill(&memory, scaled(MEMORY));
	memory_shuffle(&memory);
	children_write(workload, &memory);
}

static void parent_order(const struct workload *workload)
{
	struct memory memory;

	memory_fill(&memory, scaled(MEMORY));
	parent_writes(workload, &memory);
}

static void parent_random(const struct workload *workload)
{
	struct memory memory;

	memory_fill(&memory, scaled(MEMORY));
	memory_shuffle(&memory);
	parent_writes(workload, &memory);
}

/* A server's workers, which all run at the same time and write to random pages. */
static void prefork(const struct workload *workload)
{
	struct memory memory;
	size_t count;
	double ran;
	size_t i;

	memory_fill(&memory, scaled(MEMORY_SERVER));
	memory_shuffle(&memory);
	count = part_of(&memory, PART_SERVER);
	ran = busy();
	for (i = 0; i < workload->live; i++)
		if (!checked_fork()) {
			memory_write(&memory, i * count, count);
			_exit(0);
		}
	for (i = 0; i < workload->live; i++)
		wait_for_child();
	report_time(workload, busy() - ran);
}

static void free_all(const struct workload *workload, const struct memory *memory,
		     size_t pages)
{
	struct family family;
	__u64 start;
	size_t i;

	start_family(&family, memory, workload->live);
	start = nanoseconds();
	for (i = 0; i < memory->count; i++)
		subject_free(memory->heap, memory->objects[i]);
	report_time(workload, (double)(nanoseconds() - start) / pages);
	family_end(&family);
}

static void free_objects(const struct workload *workload)
{
	struct memory memory;

	memory_fill(&memory, scaled(MEMORY));
	free_all(workload, &memory, memory.nr_pages);
}

static void free_runs(const struct workload *workload)
{
	size_t count = scaled(MEMORY / PAGE / RUN_PAGES);
	struct memory memory = { .heap = subject_create(), .count = count };
	size_t i, page;

	memory.objects = table(count, sizeof(*memory.objects));
	for (i = 0; i < count; i++) {
		memory.objects[i] = subject_alloc(memory.heap, RUN_PAGES * PAGE);
		for (page = 0; page < RUN_PAGES; page++)
			use(memory.objects[i] + page * PAGE);
	}
	free_all(workload, &memory, count * RUN_PAGES);
}

/* The workloads with runs are only for our own library: they need two heaps. */
const struct workload workloads[] = {
	{ "fork-1", fork_last, 1, 1, 1 },
	{ "fork-2", fork_last, 2, 1, 1 },
	{ "fork-64", fork_last, 64, 1, 1 },
	{ "fork-end-1", fork_end, 1, 1, 1 },
	{ "fork-end-2", fork_end, 2, 1, 1 },
	{ "fork-end-64", fork_end, 64, 1, 1 },
	{ "child-order-1", child_order, 1, 1, 1 },
	{ "child-order-4", child_order, 4, 1, 1 },
	{ "child-order-16", child_order, 16, 1, 1 },
	{ "child-order-64", child_order, 64, 1, 1 },
	{ "child-random-1", child_random, 1, 1, 1 },
	{ "child-random-4", child_random, 4, 1, 1 },
	{ "child-random-16", child_random, 16, 1, 1 },
	{ "child-random-64", child_random, 64, 1, 1 },
	{ "parent-order-1", parent_order, 1, 1, 1 },
	{ "parent-order-4", parent_order, 4, 1, 1 },
	{ "parent-order-16", parent_order, 16, 1, 1 },
	{ "parent-order-64", parent_order, 64, 1, 1 },
	{ "parent-random-1", parent_random, 1, 1, 1 },
	{ "parent-random-4", parent_random, 4, 1, 1 },
	{ "parent-random-16", parent_random, 16, 1, 1 },
	{ "parent-random-64", parent_random, 64, 1, 1 },
	{ "prefork", prefork, 8, 1, 1 },
	{ "free-0", free_objects, 0, 1, 1 },
	{ "free-64", free_objects, 64, 1, 1 },
	{ "runs-0", free_runs, 0, 1, 2 },
	{ "runs-64", free_runs, 64, 1, 2 },
	{ "written", written, 1, 1, 1 },
	{ }
};
