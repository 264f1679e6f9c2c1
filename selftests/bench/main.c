// SPDX-License-Identifier: GPL-2.0
/*
 * Runs one workload on the subject that is compiled in. Prints each figure as a
 * line "workload,subject,metric,value"; ./report explains them.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "bench.h"

/* --quick divides the number of operations by this: a test needs no exact figures. */
#define QUICK	100

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
	const struct workload *workload;

	for (workload = workloads; workload->name; workload++)
		if (!strcmp(workload->name, name))
			return workload;
	errx(2, "no workload %s", name);
}

/* CPython's allocator supports one thread only; only ours has several heaps. */
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
	wait_for_ends();
	workload->run(workload);
	report(workload, "heaps", check_heaps());
	return 0;
}
