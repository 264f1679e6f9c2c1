/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Users: how many heaps and pages each of them holds.
 */
#ifndef PYM_USER_H
#define PYM_USER_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/rcupdate.h>
#include <linux/uidgid.h>

#include "core/core.h"

/**
 * struct pym_user - what one user holds in all heaps
 * @uid: the user's number
 * @refs: heaps, and calls that use this struct
 * @heaps: the user's heaps
 * @quota: their pages and metadata
 * @dead: the user's dead heaps, the oldest first; see dead.c, whose lock protects it and
 *	the two that follow.  They count in @quota, but not in @heaps
 * @nr_dead: how many they are
 * @dead_bytes: their bytes
 * @node: in the table of users
 * @rcu: its memory outlives RCU readers that look at a heap's user
 */
struct pym_user {
	kuid_t uid;
	atomic_t refs;
	atomic_t heaps;
	struct pym_quota quota;
	struct list_head dead;
	u32 nr_dead;
	unsigned long dead_bytes;
	struct hlist_node node;
	struct rcu_head rcu;
};

struct pym_user *pym_user_get(kuid_t uid);
struct pym_user *pym_user_ref(struct pym_user *user);
void pym_user_put(struct pym_user *user);
void pym_user_init(bool (*relieve)(struct pym_quota *quota, unsigned long missing));
void pym_user_exit(void);
int pym_user_charge_heap(struct pym_user *user);
void pym_user_force_heap(struct pym_user *user);
void pym_user_uncharge_heap(struct pym_user *user);

#endif /* PYM_USER_H */
