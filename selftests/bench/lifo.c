// SPDX-License-Identifier: GPL-2.0
/* Blocks allocated one after the other, then freed in reverse order. */
#include "bench.h"

#define ROUNDS	1000
#define SIZE	64

static void run(struct subject heap, void **blocks, size_t count, size_t rounds)
{
	size_t i;

	while (rounds--) {
		for (i = 0; i < count; i++) {
			blocks[i] = subject_alloc(heap, SIZE);
			use(blocks[i]);
		}
		while (i--)
			subject_free(heap, blocks[i]);
	}
}

void lifo(const struct workload *workload)
{
	struct subject heap = subject_create();
	void **blocks = table(workload->live, sizeof(*blocks));
	size_t rounds = scaled(ROUNDS);
	__u64 start;

	run(heap, blocks, workload->live, rounds / 10);
	start = nanoseconds();
	run(heap, blocks, workload->live, rounds);
	report_time(workload, (double)(nanoseconds() - start) /
			      (rounds * workload->live));
}
