// SPDX-License-Identifier: GPL-2.0
/*
 * stall COMMAND...: how long does a thread wait while COMMAND looks at its heap?
 *
 * Keeps a million blocks, and runs COMMAND with its own process's number behind it.
 * Meanwhile it wakes up each 0.1 ms, with a priority before COMMAND's, and
 * allocates and frees some blocks. Prints the longest time from the moment when it
 * should have woken up to the moment when it is done, in nanoseconds.
 */
#include <err.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BLOCKS	1000000
#define SOME	300
#define PERIOD	100000

static void *kept[BLOCKS];

static long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000L + time.tv_nsec;
}

static void wait_until(long when)
{
	struct timespec time = { when / 1000000000L, when % 1000000000L };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

static void allocate_some(void)
{
	static void *some[SOME];
	int i;

	for (i = 0; i < SOME; i++)
		some[i] = malloc(48);
	for (i = 0; i < SOME; i++)
		free(some[i]);
}

static void choose_priority(int policy, int priority)
{
	struct sched_param param = { .sched_priority = priority };

	if (sched_setscheduler(0, policy, &param))
		err(1, "sched_setscheduler");
}

static pid_t start(char **command)
{
	pid_t child = fork();

	if (child < 0)
		err(1, "fork");
	if (child)
		return child;
	choose_priority(SCHED_OTHER, 0);
	unsetenv("LD_PRELOAD");
	unsetenv("PYMALLOC_TRACE");
	execvp(command[0], command);
	err(1, "%s", command[0]);
}

int main(int argc, char **argv)
{
	char *command[argc + 1], number[16];
	long worst = 0, due, late;
	int i, status;
	pid_t child;

	for (i = 1; i < argc; i++)
		command[i - 1] = argv[i];
	snprintf(number, sizeof(number), "%d", getpid());
	command[argc - 1] = number;
	command[argc] = NULL;
	for (i = 0; i < BLOCKS; i++)
		kept[i] = malloc(16 + i % 4 * 16);
	choose_priority(SCHED_FIFO, 50);
	child = start(command);
	while (!waitpid(child, &status, WNOHANG)) {
		due = now() + PERIOD;
		wait_until(due);
		allocate_some();
		late = now() - due;
		if (late > worst)
			worst = late;
	}
	if (status)
		errx(1, "%s has failed", command[0]);
	printf("%ld\n", worst);
	return 0;
}
