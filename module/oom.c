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
 * - all calls together have a budget of time.  How long the thread takes for a page is up to
 *   the programs whose heaps it looks after, and so is how often it gains something.  When
 *   the budget is used up, calls neither wait nor report anything, and the machine kills;
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

/*
 * The budget: calls may wait for OOM_WAIT in all.  A wait is made up for when OOM_REST times as
 * long has passed since it began: a minute for all of the budget.
 */
#define OOM_WAIT	(5 * HZ)
#define OOM_REST	12
/* So many pages are worth another try: 1 MiB. */
#define OOM_ENOUGH	256

/* When all waits are made up for.  Protected by oom_lock, with which all calls come. */
static u64 rested_at;

/* Returns for how long a call may wait now. */
static unsigned long budget_left(void)
{
	u64 now = get_jiffies_64();
	u64 rest = rested_at > now ? rested_at - now : 0;

	return rest < OOM_WAIT * OOM_REST ? OOM_WAIT - (unsigned long)rest / OOM_REST : 0;
}

static void budget_spend(u64 start)
{
	rested_at = max(rested_at, start) + (get_jiffies_64() - start) * OOM_REST;
}

/* Returns how many pages the thread has gained meanwhile. */
static u64 wait_for_thread(unsigned long time)
{
	u64 before = pym_reclaim_urgent_pages(), start = get_jiffies_64();

	while (pym_upkeep_is_urgent() && get_jiffies_64() - start < time &&
	       pym_reclaim_urgent_pages() - before < OOM_ENOUGH &&
	       !fatal_signal_pending(current))
		schedule_timeout_killable(1);
	budget_spend(start);
	return pym_reclaim_urgent_pages() - before;
}

static int oom_notify(struct notifier_block *unused, unsigned long unused_value, void *arg)
{
	unsigned long *freed = arg, time = budget_left();
	u64 gain;

	if (!time || pym_upkeep_is_current())
		return NOTIFY_OK;
	pym_shrinker_urge();
	gain = wait_for_thread(time);
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
