// SPDX-License-Identifier: GPL-2.0
/*
 * Users: how many heaps and pages each of them holds.
 */
#include <linux/hashtable.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "params.h"
#include "user.h"

static DEFINE_HASHTABLE(users, 6);
static DEFINE_SPINLOCK(users_lock);

static struct pym_user *find_user_locked(kuid_t uid)
{
	struct pym_user *user;

	lockdep_assert_held(&users_lock);
	hash_for_each_possible(users, user, node, __kuid_val(uid))
		if (uid_eq(user->uid, uid))
			return user;
	return NULL;
}

static struct pym_user *new_user(kuid_t uid)
{
	struct pym_user *user = kzalloc(sizeof(*user), PYM_GFP);

	if (!user)
		return NULL;
	user->uid = uid;
	user->quota.max = &pym_user_bytes;
	atomic_set(&user->refs, 1);
	return user;
}

/* A user who is known, with a reference, or NULL. */
static struct pym_user *get_known(kuid_t uid)
{
	struct pym_user *user;

	spin_lock(&users_lock);
	user = find_user_locked(uid);
	if (user)
		atomic_inc(&user->refs);
	spin_unlock(&users_lock);
	return user;
}

/* Make a new user known, unless somebody else has.  Returns whoever is. */
static struct pym_user *add_user(struct pym_user *fresh)
{
	struct pym_user *user;

	spin_lock(&users_lock);
	user = find_user_locked(fresh->uid);
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
 * Nothing is allocated under the lock, which everybody needs.
 *
 * Context: Sleeps.
 * Return: it, with a reference; NULL without memory.
 */
struct pym_user *pym_user_get(kuid_t uid)
{
	struct pym_user *user = get_known(uid);

	if (user)
		return user;
	user = new_user(uid);
	return user ? add_user(user) : NULL;
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

static void free_user_locked(struct pym_user *user)
{
	lockdep_assert_held(&users_lock);
	hash_del(&user->node);
	kfree_rcu(user, rcu);
}

/**
 * pym_user_put() - the reverse of pym_user_get()
 * @user: the user
 *
 * A user whom pages still count against stays, without references, until somebody
 * asks for him again, or for good: a write fault gives back what it has replaced
 * after the heap may have gone to another user.
 *
 * Context: Any but interrupts.
 */
void pym_user_put(struct pym_user *user)
{
	if (!atomic_dec_and_lock(&user->refs, &users_lock))
		return;
	if (!atomic_long_read(&user->quota.used))
		free_user_locked(user);
	spin_unlock(&users_lock);
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
		free_user_locked(user);
	spin_unlock(&users_lock);
}

/**
 * pym_user_charge_heap() - count one more heap
 * @user: whose
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
 * pym_user_force_heap() - count one more heap, beyond the limit, too
 * @user: whose
 *
 * For the heap of a child: fork() is not refused, but the next heap is.
 */
void pym_user_force_heap(struct pym_user *user)
{
	atomic_inc(&user->heaps);
}

/**
 * pym_user_uncharge_heap() - count one heap less
 * @user: whose
 */
void pym_user_uncharge_heap(struct pym_user *user)
{
	atomic_dec(&user->heaps);
}
