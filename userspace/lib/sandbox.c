// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Sandboxes: from a moment on the process, or one of its threads, has hardly any
 * system calls but read() and write(), and is killed for any other.
 *
 * All threads change over together: those that are not in the sandbox can do
 * without the others as well, and one that is may come to a heap at any time.
 */
#include <sched.h>
#include <unistd.h>

#include "sandbox.h"
#include "types.h"

/* Times to ask for a lock. */
#define PATIENCE	10000

/* Sandboxes that have been entered, or are about to be: never back to 0 then. */
static unsigned int sandboxes;
/* Threads that are in a call that a sandbox forbids. */
static unsigned int callers;
/* The process whose threads those are. */
static pid_t process;
/* What the calling thread has added to them: a signal may have come in one. */
static __thread unsigned int calling;

bool pyml_in_sandbox(void)
{
	return __atomic_load_n(&sandboxes, __ATOMIC_SEQ_CST);
}

/*
 * Returns whether other system calls may be made until pyml_end_calls().
 * Pairs with wait_for_callers(): either this sees the sandbox, or that the call.
 */
bool pyml_begin_calls(void)
{
	calling++;
	__atomic_add_fetch(&callers, 1, __ATOMIC_SEQ_CST);
	if (likely(!pyml_in_sandbox()))
		return true;
	pyml_end_calls();
	return false;
}

void pyml_end_calls(void)
{
	calling--;
	__atomic_sub_fetch(&callers, 1, __ATOMIC_RELEASE);
}

/*
 * A child by clone() may find a lock taken by a thread that it has not: it waits for
 * long, and not for ever.
 */
bool pyml_lock_patiently(pthread_mutex_t *lock)
{
	int i;

	for (i = 0; i < PATIENCE; i++) {
		if (!pthread_mutex_trylock(lock))
			return true;
		sched_yield();
	}
	return false;
}

/* At the start, and in a child of fork(): other threads' calls are not its own. */
void pyml_sandbox_start(void)
{
	__atomic_store_n(&callers, calling, __ATOMIC_SEQ_CST);
	process = getpid();
}

/* A child of vfork() may have forgotten some: then there are fewer than none. */
static void wait_for_callers(void)
{
	while ((int)(__atomic_load_n(&callers, __ATOMIC_SEQ_CST) - calling) > 0)
		sched_yield();
}

/* Has another process, a child of clone(), come here without a word? */
bool pyml_sandbox_is_inherited(void)
{
	return process != getpid();
}

/* From here on the process is in a sandbox, or about to be. */
void pyml_sandbox_begin(void)
{
	__atomic_add_fetch(&sandboxes, 1, __ATOMIC_SEQ_CST);
	wait_for_callers();
}

/* It has not come about. */
void pyml_sandbox_cancel(void)
{
	__atomic_sub_fetch(&sandboxes, 1, __ATOMIC_SEQ_CST);
}
