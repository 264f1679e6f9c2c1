// SPDX-License-Identifier: GPL-2.0
/*
 * Users: how many heaps and pages each of them holds.
 */
#include <linux/hashtable.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "params.h"
#include "user.h"

/* 64 buckets of 8 bytes: few machines have more users with heaps at once. */
static DEFINE_HASHTABLE(users, 6);
static DEFINE_SPINLOCK(users_lock);

/* Set once, when the module is loaded: see struct pym_quota. */
static bool (*user_relieve)(struct pym_quota *quota, unsigned long missing);

static struct pym_user *user_find_locked(kuid_t uid)
{
	struct pym_user *user;

	lockdep_assert_held(&users_lock);
	hash_for_each_possible(users, user, node, __kuid_val(uid))
		if (uid_eq(user->uid, uid))
			return user;
	return NULL;
}

static struct pym_user *user_new(kuid_t uid)
{
	struct pym_user *user = kzalloc(sizeof(*user), PYM_GFP);

	if (!user)
		return NULL;
	user->uid = uid;
	user->quota.max = &pym_user_bytes;
	user->quota.relieve = user_relieve;
	INIT_LIST_HEAD(&user->dead);
	atomic_set(&user->refs, 1);
	return user;
}

/* The user with a reference, if it is in the table; else NULL. */
static struct pym_user *user_get_known(kuid_t uid)
{
	struct pym_user *user;

	spin_lock(&users_lock);
	user = user_find_locked(uid);
	if (user)
		atomic_inc(&user->refs);
	spin_unlock(&users_lock);
	return user;
}

/*
 * Put a new user into the table, unless another call has just done so.  Returns the
 * one that is there, with a reference.
 */
static struct pym_user *user_add(struct pym_user *fresh)
{
	struct pym_user *user;

	spin_lock(&users_lock);
	user = user_find_locked(fresh->uid);
	if (user)
		atomic_inc(&user->refs);
	else
		hash_add(users, &fresh->node, __kuid_val(fresh->uid));
	spin_unlock(&users_lock);
	if (!user)
		return fresh;
	kfree(fresh);
	return user;
}

/**
 * pym_user_get() - what a user holds
 * @uid: the user
 *
 * Memory is allocated without the lock, because every call that makes a heap takes it.
 *
 * Context: Sleeps.
 * Return: it, with a reference; NULL without memory.
 */
struct pym_user *pym_user_get(kuid_t uid)
{
	struct pym_user *user = user_get_known(uid);

	if (user)
		return user;
	user = user_new(uid);
	return user ? user_add(user) : NULL;
}

/**
 * pym_user_ref() - one more reference
 * @user: the user
 *
 * Return: @user.
 */
struct pym_user *pym_user_ref(struct pym_user *user)
{
	atomic_inc(&user->refs);
	return user;
}

static void user_free_locked(struct pym_user *user)
{
	lockdep_assert_held(&users_lock);
	hash_del(&user->node);
	kfree_rcu(user, rcu);
}

/**
 * pym_user_put() - drop a reference
 * @user: the user
 *
 * A user without references stays in the table as long as bytes are charged to it: a
 * write fault gives back the page that it has replaced, maybe after the heap has moved
 * to another user, and then uncharges this one.  The next pym_user_get() finds it
 * again; else it stays until the module is unloaded.
 *
 * Context: Any but interrupts.
 */
void pym_user_put(struct pym_user *user)
{
	if (!atomic_dec_and_lock(&user->refs, &users_lock))
		return;
	if (!atomic_long_read(&user->quota.used))
		user_free_locked(user);
	spin_unlock(&users_lock);
}

/**
 * pym_user_init() - prepare for users
 * @relieve: gives back what a user who is at the limit can do without; see struct pym_quota
 *
 * Context: Process context, while the module is being loaded.
 */
void pym_user_init(bool (*relieve)(struct pym_quota *quota, unsigned long missing))
{
	user_relieve = relieve;
}

/**
 * pym_user_exit() - forget all users
 *
 * Context: Sleeps.  There are no heaps any more.
 */
void pym_user_exit(void)
{
	struct hlist_node *next;
	struct pym_user *user;
	int bucket;

	spin_lock(&users_lock);
	hash_for_each_safe(users, bucket, next, user, node)
		user_free_locked(user);
	spin_unlock(&users_lock);
}

/**
 * pym_user_charge_heap() - count one more heap
 * @user: the heap's user
 *
 * Return: 0, or -EDQUOT and nothing is counted.
 */
int pym_user_charge_heap(struct pym_user *user)
{
	unsigned int max = READ_ONCE(pym_user_heaps);

	if (atomic_inc_return(&user->heaps) > max && max) {
		atomic_dec(&user->heaps);
		return -EDQUOT;
	}
	return 0;
}

/**
 * pym_user_force_heap() - count one more heap, even beyond the limit
 * @user: the heap's user
 *
 * For the heap of a child: the limit does not make fork() fail, but refuses the next
 * heap that is asked for.
 */
void pym_user_force_heap(struct pym_user *user)
{
	atomic_inc(&user->heaps);
}

/**
 * pym_user_uncharge_heap() - count one heap less
 * @user: the heap's user
 */
void pym_user_uncharge_heap(struct pym_user *user)
{
	atomic_dec(&user->heaps);
}
