// SPDX-License-Identifier: GPL-2.0
/*
 * Upkeep: when a heap is looked after.
 *
 * One thread of the lowest priority looks after all heaps, in rounds.  What a round does
 * is known above (reclaim.c), which hands it down.  A heap's round begins some time after
 * something has changed that may let it give memory back (pym_upkeep_arm()).  It arms the
 * next one if there is more to come.  So a heap that nobody uses, and that has nothing to
 * give, costs nothing.
 *
 * A thread, and not a workqueue: modules cannot lower the priority of a workqueue.
 */
#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "upkeep.h"

static struct kthread_worker *upkeep_worker;
static void (*upkeep_round)(struct pym_service_heap *sheap, bool urgent);

/* Urgent rounds that were asked for, and those of them that have ended. */
static atomic64_t urgent_asked = ATOMIC64_INIT(0);
static atomic64_t urgent_ended = ATOMIC64_INIT(0);

/*
 * In a round, the thread holds what tasks of the heap's process may want.  Then it has the
 * priority of most of these, so that it is not kept from running for long.
 */
static void upkeep_run_round(struct pym_service_heap *sheap, bool urgent)
{
	set_user_nice(current, 0);
	upkeep_round(sheap, urgent);
	if (urgent)
		atomic64_inc(&urgent_ended);
	if (!pym_upkeep_is_urgent())
		set_user_nice(current, MAX_NICE);
}

/*
 * If the last reference has gone, the heap is ending.  Its struct stays until
 * pym_upkeep_cancel() has waited for this.
 */
static void upkeep_work(struct kthread_work *work)
{
	struct pym_upkeep *upkeep = container_of(work, struct pym_upkeep, round.work);
	struct pym_service_heap *sheap = upkeep->sheap;

	if (!kref_get_unless_zero(&sheap->ref))
		return;
	/*
	 * Before the round looks at anything: what changes from now on arms the next one.
	 * The barrier pairs with that in pym_upkeep_arm().
	 */
	smp_store_mb(upkeep->armed, false);
	upkeep_run_round(sheap, xchg(&upkeep->urgent, false));
	pym_service_put_later(sheap);
}

/**
 * pym_upkeep_create() - prepare the upkeep of a new heap
 * @sheap: the heap
 *
 * Context: Sleeps.
 * Return: 0 or -ENOMEM.
 */
int pym_upkeep_create(struct pym_service_heap *sheap)
{
	struct pym_upkeep *upkeep = kzalloc(sizeof(*upkeep), PYM_GFP);

	if (!upkeep)
		return -ENOMEM;
	upkeep->sheap = sheap;
	mutex_init(&upkeep->busy);
	spin_lock_init(&upkeep->policy_lock);
	kthread_init_delayed_work(&upkeep->round, upkeep_work);
	sheap->upkeep = upkeep;
	return 0;
}

/**
 * pym_upkeep_inherit() - give a child's heap the policy and the counts of its parent's
 * @child: the child's heap, which nobody else knows yet
 * @sheap: the parent's heap
 *
 * Context: Any but interrupts.
 */
void pym_upkeep_inherit(struct pym_service_heap *child, struct pym_service_heap *sheap)
{
	struct pym_upkeep *from = sheap->upkeep, *to = child->upkeep;

	spin_lock(&from->policy_lock);
	to->has_policy = from->has_policy;
	to->decay_ms = from->decay_ms;
	to->off = from->off;
	to->keep_bytes = from->keep_bytes;
	spin_unlock(&from->policy_lock);
	atomic64_set(&to->nr_stolen, atomic64_read(&from->nr_stolen));
	atomic64_set(&to->nr_decayed, atomic64_read(&from->nr_decayed));
	atomic64_set(&to->nr_shrunk, atomic64_read(&from->nr_shrunk));
}

/**
 * pym_upkeep_cancel() - end the upkeep of a heap
 * @sheap: the heap, whose last reference has gone
 *
 * Context: Sleeps until a round that has begun has ended.
 */
void pym_upkeep_cancel(struct pym_service_heap *sheap)
{
	kthread_cancel_delayed_work_sync(&sheap->upkeep->round);
	if (xchg(&sheap->upkeep->urgent, false))
		atomic64_inc(&urgent_ended);
}

/**
 * pym_upkeep_free() - free what pym_upkeep_create() has made, after a grace period
 * @sheap: the heap
 *
 * Context: Any but interrupts.
 */
void pym_upkeep_free(struct pym_service_heap *sheap)
{
	kfree_rcu(sheap->upkeep, rcu);
}

static unsigned long upkeep_delay(struct pym_service_heap *sheap)
{
	return msecs_to_jiffies(pym_upkeep_policy(sheap).decay_ms) +
	       READ_ONCE(sheap->upkeep->rest);
}

/**
 * pym_upkeep_arm_slow() - pym_upkeep_arm() of a heap that is not armed
 * @sheap: the heap; the caller has a reference
 *
 * Context: Any but interrupts.
 */
void pym_upkeep_arm_slow(struct pym_service_heap *sheap)
{
	struct pym_upkeep *upkeep = sheap->upkeep;

	if (!xchg(&upkeep->armed, true))
		kthread_queue_delayed_work(upkeep_worker, &upkeep->round, upkeep_delay(sheap));
}

/* The next round begins a whole period from now, but an urgent one at once. */
static void upkeep_arm_anew(struct pym_service_heap *sheap)
{
	struct pym_upkeep *upkeep = sheap->upkeep;

	WRITE_ONCE(upkeep->armed, true);
	kthread_mod_delayed_work(upkeep_worker, &upkeep->round, upkeep_delay(sheap));
	/*
	 * pym_upkeep_urge() sets @urgent before it takes the worker's lock: if it has got that
	 * first, this sees @urgent; if not, it puts the delay right itself.
	 */
	if (READ_ONCE(upkeep->urgent))
		kthread_mod_delayed_work(upkeep_worker, &upkeep->round, 0);
}

/**
 * pym_upkeep_urge() - have a round begin now that takes back all that it can
 * @sheap: the heap; the caller has a reference
 *
 * The thread does not wait for a CPU that nobody else wants.
 *
 * Context: Any but interrupts.
 */
void pym_upkeep_urge(struct pym_service_heap *sheap)
{
	struct pym_upkeep *upkeep = sheap->upkeep;

	if (!xchg(&upkeep->urgent, true))
		atomic64_inc(&urgent_asked);
	WRITE_ONCE(upkeep->armed, true);
	set_user_nice(upkeep_worker->task, 0);
	kthread_mod_delayed_work(upkeep_worker, &upkeep->round, 0);
}

/**
 * pym_upkeep_is_urgent() - has a heap been urged whose round has not ended?
 *
 * Context: Any.
 * Return: true if so.
 */
bool pym_upkeep_is_urgent(void)
{
	return atomic64_read(&urgent_asked) != atomic64_read(&urgent_ended);
}

/**
 * pym_upkeep_is_current() - is the caller the thread of upkeep?
 *
 * Context: Any.
 * Return: true if so.
 */
bool pym_upkeep_is_current(void)
{
	return current == upkeep_worker->task;
}

/**
 * pym_upkeep_policy() - how a heap gives memory back by itself
 * @sheap: the heap
 *
 * Context: Any but interrupts.
 * Return: its own policy; or that of the module's parameters, if it has none, and for
 *	what its own leaves open.
 */
struct pym_policy pym_upkeep_policy(struct pym_service_heap *sheap)
{
	struct pym_upkeep *upkeep = sheap->upkeep;
	struct pym_policy policy = pym_default_policy();

	spin_lock(&upkeep->policy_lock);
	if (upkeep->has_policy) {
		policy.decay_ms = upkeep->decay_ms ?: policy.decay_ms;
		policy.off = upkeep->off;
		policy.keep_bytes = upkeep->keep_bytes;
	}
	spin_unlock(&upkeep->policy_lock);
	/* What is kept are pools: so this is what is in force. */
	policy.keep_bytes = round_down(policy.keep_bytes, PYMALLOC_POOL_SIZE);
	return policy;
}

/**
 * pym_upkeep_set_policy() - give a heap a policy of its own
 * @sheap: the heap; the caller has a reference
 * @policy: the policy; its @decay_ms is 0 for that of the module.  NULL: the heap follows
 *	the module's parameters again
 *
 * Context: Any but interrupts.
 */
void pym_upkeep_set_policy(struct pym_service_heap *sheap, const struct pym_policy *policy)
{
	struct pym_upkeep *upkeep = sheap->upkeep;

	spin_lock(&upkeep->policy_lock);
	upkeep->has_policy = policy;
	if (policy) {
		upkeep->decay_ms = policy->decay_ms;
		upkeep->off = policy->off;
		upkeep->keep_bytes = policy->keep_bytes;
	}
	spin_unlock(&upkeep->policy_lock);
	/* What the heap may do now may gain more at its limit than it did before. */
	WRITE_ONCE(upkeep->limit_wait, 0);
	/* The round that is due may be a day away. */
	upkeep_arm_anew(sheap);
}

/**
 * pym_upkeep_init() - start the thread
 * @round: what a round does with a heap, and whether it takes back all that it can.  Sleeps
 *
 * Context: Process context, while the module is being loaded.
 * Return: 0 or an error.
 */
int pym_upkeep_init(void (*round)(struct pym_service_heap *sheap, bool urgent))
{
	upkeep_round = round;
	upkeep_worker = kthread_create_worker(KTW_FREEZABLE, "pymalloc_upkeep");
	if (IS_ERR(upkeep_worker))
		return PTR_ERR(upkeep_worker);
	set_user_nice(upkeep_worker->task, MAX_NICE);
	return 0;
}

/**
 * pym_upkeep_exit() - end the thread
 *
 * Context: Sleeps.  There are no heaps any more.
 */
void pym_upkeep_exit(void)
{
	kthread_destroy_worker(upkeep_worker);
}
