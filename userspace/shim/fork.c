// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A child of fork() has a heap of its own, with all objects of its parent's.  If there was
 * no memory to make it, the child cannot go on: all its objects are missing.
 */
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "fork.h"
#include "report.h"
#include "shim.h"
#include "window.h"

/* The exit status of timeout(1) and env(1) for a failure of their own. */
#define EXIT_NO_HEAP	125

static void check_child(void)
{
	int saved = errno;

	if (!pyml_window_is_there(shim_heap)) {
		pyml_say("pymalloc: no memory for the heap of a forked child: %d ends here\n",
			 getpid());
		_exit(EXIT_NO_HEAP);
	}
	errno = saved;
}

/**
 * shim_watch_fork() - check in each child of fork() that it has a heap
 */
void shim_watch_fork(void)
{
	pthread_atfork(NULL, NULL, check_child);
}
