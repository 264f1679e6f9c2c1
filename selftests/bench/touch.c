// SPDX-License-Identifier: GPL-2.0
/* Small blocks in memory that has never been used: each page is a page fault. */
#include <sys/resource.h>

#include "bench.h"

#define BYTES	(100 * 1000 * 1000)
#define SIZE	64

static long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt + usage.ru_majflt;
}

void touch(const struct workload *workload)
{
	struct subject heap = subject_create();
	size_t count = scaled(BYTES / SIZE);
	long faults_before = faults();
	__u64 start = nanoseconds();
	size_t i;

	for (i = 0; i < count; i++)
		use(subject_alloc(heap, SIZE));
	report_time(workload, (double)(nanoseconds() - start) / count);
	report(workload, "faults", faults() - faults_before);
}
