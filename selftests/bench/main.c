// SPDX-License-Identifier: GPL-2.0
/*
 * One workload on the subject that is compiled in. Prints its figures, a line
 * "workload,subject,metric,value" each; ./report knows what they mean.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "bench.h"

/* How much less is done to try whether all works. */
#define QUICK	100

static const struct workload workloads[] = {
	{ "calibrate", calibrate, 0, 0, 0 },
	{ "pair", pair, 1, 1, 1 },
	{ "lifo", lifo, 1000, 1, 1 },
	{ "replace", replace, 100000, 1, 1 },
	{ "queue", queue, 4096, 2, 1 },
	{ "touch", touch, 1, 1, 1 },
	{ "touch-thp", touch, 1, 1, 1 },
	{ "arenas-1", replace, 1 * ARENA_BLOCKS, 1, 1 },
	{ "arenas-100", replace, 100 * ARENA_BLOCKS, 1, 1 },
	{ "arenas-10000", replace, 10000 * ARENA_BLOCKS, 1, 1 },
	{ "threads-1", threads, 10000, 1, 1 },
	{ "threads-2-heaps", threads, 10000, 2, 2 },
	{ "threads-2-shared", threads, 10000, 2, 1 },
};

static const char *subject;
static const char *unit;
static size_t divisor = 1;

size_t scaled(size_t count)
{
	return (count + divisor - 1) / divisor;
}

void report(const struct workload *workload, const char *metric, double value)
{
	printf("%s,%s,%s,%.4f\n", workload->name, subject, metric, value);
}

void report_time(const struct workload *workload, double value)
{
	report(workload, unit, value);
}

void *table(size_t count, size_t size)
{
	void *memory = mmap(NULL, count * size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (memory == MAP_FAILED)
		err(1, "mmap");
	return memory;
}

__u64 nanoseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static const struct workload *find(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(workloads) / sizeof(*workloads); i++)
		if (!strcmp(workloads[i].name, name))
			return &workloads[i];
	errx(2, "no workload %s", name);
}

/* Two threads are not for CPython's, two heaps only for our own. */
static int applies(const struct workload *workload)
{
	return workload->threads <= SUBJECT_THREADS &&
	       workload->heaps <= SUBJECT_HEAPS;
}

int main(int argc, char **argv)
{
	const struct workload *workload;

	if (argc < 4)
		errx(2, "usage: %s SUBJECT UNIT WORKLOAD [--quick]", argv[0]);
	subject = argv[1];
	unit = argv[2];
	workload = find(argv[3]);
	if (argc > 4)
		divisor = QUICK;
	if (!applies(workload))
		return 0;
	workload->run(workload);
	report(workload, "heaps", check_heaps());
	return 0;
}
