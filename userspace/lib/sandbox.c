// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Sandboxes: once the process, or one of its threads, is in one, hardly any system calls
 * are allowed but read() and write(), and any other kills the process.
 *
 * All threads change over together.  A thread outside the sandbox can do without the
 * other system calls as well, and a thread inside may use any heap at any time.
 */
#include <sched.h>
#include <unistd.h>

#include "sandbox.h"
#include "types.h"

/*
 * How often a lock is tried, with sched_yield() in between.  Holders keep these locks for a
 * few system calls, so that after so many turns the holder is a thread that does not
 * exist in this process.
 */
#define PATIENCE	10000

/* Sandboxes that have been entered or are about to be; never 0 again once in one. */
static unsigned int sandboxes;
/* Calls in progress that a sandbox forbids, of all threads. */
static unsigned int callers;
/* The process whose calls those are. */
static pid_t process;
/* How many of them are the calling thread's: a signal's handler may run inside one. */
static __thread unsigned int calling;

/**
 * pyml_in_sandbox() - whether the process has to do without most system calls
 *
 * Pairs with pyml_sandbox_begin().
 *
 * Return: true if it is in a sandbox or about to enter one.
 */
bool pyml_in_sandbox(void)
{
	return __atomic_load_n(&sandboxes, __ATOMIC_SEQ_CST);
}

/**
 * pyml_begin_calls() - begin system calls that a sandbox forbids
 *
 * Pairs with pyml_sandbox_begin(), which counts the sandbox first and then looks at the
 * callers: this counts the caller first and then looks at the sandboxes.  All four are
 * sequentially consistent, so that at least one of the two sees the other.
 *
 * Return: true if the calls may be made, which end with pyml_end_calls(); else false.
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

/**
 * pyml_end_calls() - end what pyml_begin_calls() began
 *
 * The release pairs with wait_for_callers(): the calls are over when it sees that.
 */
void pyml_end_calls(void)
{
	calling--;
	__atomic_sub_fetch(&callers, 1, __ATOMIC_RELEASE);
}

/**
 * pyml_lock_patiently() - take a lock that may never be released
 * @lock: the lock
 *
 * A child made by clone() has a copy of the lock in which a thread may hold it that does
 * not exist in the child, so this does not wait for ever.
 *
 * Return: whether the lock has been taken.
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

/**
 * pyml_sandbox_start() - begin to count the calls of this process
 *
 * For a new process, which may be a child with a copy of its parent's count: the calls of
 * the parent's other threads are not in progress here.
 */
void pyml_sandbox_start(void)
{
	__atomic_store_n(&callers, calling, __ATOMIC_SEQ_CST);
	process = getpid();
}

/*
 * The count may be too low: a child made by vfork() shares it, and resets it.  Hence the
 * comparison with sign.
 */
static void wait_for_callers(void)
{
	while ((int)(__atomic_load_n(&callers, __ATOMIC_SEQ_CST) - calling) > 0)
		sched_yield();
}

/**
 * pyml_sandbox_is_inherited() - whether the count of calls is another process's
 *
 * Handlers of pthread_atfork() do not run in children made by clone().
 *
 * Return: true if pyml_sandbox_start() is needed.
 */
bool pyml_sandbox_is_inherited(void)
{
	return process != getpid();
}

/**
 * pyml_sandbox_begin() - keep all threads from system calls that a sandbox forbids
 *
 * Returns when no thread is in such a call any more.  Pairs with pyml_begin_calls().
 */
void pyml_sandbox_begin(void)
{
	__atomic_add_fetch(&sandboxes, 1, __ATOMIC_SEQ_CST);
	wait_for_callers();
}

/**
 * pyml_sandbox_cancel() - undo pyml_sandbox_begin(): the sandbox could not be entered
 */
void pyml_sandbox_cancel(void)
{
	__atomic_sub_fetch(&sandboxes, 1, __ATOMIC_SEQ_CST);
}
