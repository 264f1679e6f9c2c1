/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tests with output as TAP (Test Anything Protocol).  Each runs in a process of its own,
 * so that a test that panics does not end the others.
 */
#ifndef TAP_H
#define TAP_H

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned int tap_nr, tap_failed;

/* Run a test; it passes if it returns and leaves nothing behind. */
static inline void tap_run(const char *name, void (*test)(const void *), const void *what)
{
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		/* Ends a test that hangs.  Half an hour is much more than any needs. */
		alarm(1800);
		test(what);
		kernel_empty();
		exit(0);
	}
	if (pid > 0)
		waitpid(pid, &status, 0);
	tap_failed += status != 0;
	printf("%sok %u %s\n", status ? "not " : "", ++tap_nr, name);
}

static inline void tap_begin(void)
{
	printf("TAP version 13\n");
}

/* Returns what the program is to return. */
static inline int tap_end(void)
{
	printf("1..%u\n", tap_nr);
	return tap_failed != 0;
}

#endif /* TAP_H */
