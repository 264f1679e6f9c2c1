// SPDX-License-Identifier: GPL-2.0
/*
 * Two ways to measure. A clock also counts what other processes do, and a new child
 * would run at once: so a parent that measures fork() has real-time priority until
 * fork() returns. Where the child's work counts, too, and what the kernel does
 * afterwards (a kworker releases the heap), busy() tells for how long the CPUs
 * were not idle.
 */
#include <err.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "fork.h"

/*
 * Microseconds to sleep so that the kernel does what it has put off, for example
 * releases a heap. With -icount this costs nothing: the clock jumps when all sleep.
 */
#define SETTLE		50000

void schedule_first(void)
{
	struct sched_param param = { .sched_priority = 1 };

	if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &param) < 0)
		err(1, "sched_setscheduler");
}

void settle(void)
{
	usleep(SETTLE);
}

/* Nanoseconds for which CPUs were busy, up to when each became idle last. */
double busy(void)
{
	FILE *file;
	unsigned long long ran;
	double total = 0;
	char line[512];

	settle();
	file = fopen("/proc/schedstat", "r");
	if (!file)
		err(1, "/proc/schedstat");
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "cpu%*d %*d %*d %*d %*d %*d %*d %llu", &ran) == 1)
			total += ran;
	fclose(file);
	return total;
}
