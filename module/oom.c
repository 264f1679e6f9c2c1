// SPDX-License-Identifier: GPL-2.0
/*
 * Out of memory: before the machine kills a process, heaps give back what they can.
 *
 * The shrinker (shrinker.c) urges the thread of upkeep, but does not wait for it, and a
 * machine that runs out of memory fast is ready to kill before the thread is done.  It asks
 * the notifier first.  This one waits for the thread, and says how many pages have come
 * back.  If there are enough, nobody is killed, and the task tries again.
 *
 * The task that waits may hold any lock, also one that the thread needs; and while it waits,
 * it holds oom_lock, without which nobody can be killed.  So:
 *
 * - it waits for a limited time only, and not if it is being killed itself;
 * - once it has waited in vain, later calls do not wait before the thread has gained
 *   anything, or has done with what it was asked for;
 * - only pages count that the thread has seen go to the machine.  Few of them do not count:
 *   a program whose heap gives a page and takes it again, all the time, must not keep the
 *   machine from killing.
 */
#include <linux/jiffies.h>
#include <linux/notifier.h>
#include <linux/oom.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "oom.h"
#include "reclaim.h"
#include "shrinker.h"
#include "upkeep.h"

/* How long to wait for the thread. */
#define OOM_WAIT	(5 * HZ)
/* So many pages are worth another try: 1 MiB. */
#define OOM_ENOUGH	256

/*
 * How far the thread had come when the time was up, the last time.  Protected by oom_lock, with
 * which all calls come.
 */
static u64 stuck_at = U64_MAX;

/* Changes whenever the thread has gained anything, or has done what it was asked for. */
static u64 progress(void)
{
	return pym_reclaim_urgent_pages() + pym_upkeep_urgent_rounds();
}

/* Returns how many pages the thread has gained meanwhile. */
static u64 wait_for_thread(void)
{
	u64 before = pym_reclaim_urgent_pages();
	unsigned long end = jiffies + OOM_WAIT;

	while (pym_upkeep_is_urgent() && time_before(jiffies, end) &&
	       pym_reclaim_urgent_pages() - before < OOM_ENOUGH &&
	       !fatal_signal_pending(current))
		schedule_timeout_killable(1);
	if (!time_before(jiffies, end))
		stuck_at = progress();
	return pym_reclaim_urgent_pages() - before;
}

static int oom_notify(struct notifier_block *unused, unsigned long unused_value, void *arg)
{
	unsigned long *freed = arg;
	u64 gain;

	if (pym_upkeep_is_current() || (pym_upkeep_is_urgent() && progress() == stuck_at))
		return NOTIFY_OK;
	pym_shrinker_urge();
	gain = wait_for_thread();
	if (gain >= OOM_ENOUGH)
		*freed += gain;
	return NOTIFY_OK;
}

static struct notifier_block oom_notifier = {
	.notifier_call = oom_notify,
};

/**
 * pym_oom_init() - begin to be asked before the machine kills a process
 *
 * Context: Process context, while the module is being loaded.
 * Return: 0 or an error.
 */
int pym_oom_init(void)
{
	return register_oom_notifier(&oom_notifier);
}

/**
 * pym_oom_exit() - end that
 *
 * Context: Sleeps until calls that have begun have ended.
 */
void pym_oom_exit(void)
{
	unregister_oom_notifier(&oom_notifier);
}
