// SPDX-License-Identifier: GPL-2.0
/* One block, allocated and freed again and again. */
#include "bench.h"

#define PAIRS	1000000
#define SIZE	64

static void run(struct subject heap, size_t pairs)
{
	size_t i;

	for (i = 0; i < pairs; i++) {
		void *block = subject_alloc(heap, SIZE);

		use(block);
		subject_free(heap, block);
	}
}

void pair(const struct workload *workload)
{
	struct subject heap = subject_create();
	size_t pairs = scaled(PAIRS);
	__u64 start;

	/*
	 * One block stays allocated. Otherwise each free would empty a pool (or what
	 * other allocators have in its place), and that would be measured, too.
	 */
	use(subject_alloc(heap, SIZE));
	run(heap, pairs / 10);
	start = nanoseconds();
	run(heap, pairs);
	report_time(workload, (double)(nanoseconds() - start) / pairs);
}
