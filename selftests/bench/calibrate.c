// SPDX-License-Identifier: GPL-2.0
/*
 * Does the clock count instructions? Under -icount each takes 1 ns, so that the
 * loop must be measured as its length, plus what the kernel does meanwhile.
 */
#include "bench.h"

#define INSTRUCTIONS	10000000

void calibrate(const struct workload *workload)
{
	__u64 left = scaled(INSTRUCTIONS) / 2;
	__u64 count = left * 2;
	__u64 start = nanoseconds();

	__asm__ volatile ("1: dec %0\n\t"
			  "jnz 1b" : "+r" (left) : : "cc");
	report_time(workload, (double)(nanoseconds() - start) / count);
}
