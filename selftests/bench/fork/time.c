// SPDX-License-Identifier: GPL-2.0
/*
 * Whose time is counted. A clock counts whatever the machine does meanwhile, and
 * a child that was just made wants to run at once. So fork() is measured by a
 * parent who runs before all else until it returns. What the child does, and
 * others do after it (a worker ends its heap), is told by the time for which the
 * machine has run anything at all.
 */
#include <err.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "fork.h"

/* Microseconds after which all has been done that is to be done. */
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

/* Nanoseconds for which CPUs have run something, up to when they last slept. */
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
