/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A heap with its owner and its client.
 */
#ifndef PYM_SERVICE_HEAP_H
#define PYM_SERVICE_HEAP_H

#include <linux/kref.h>
#include <linux/log2.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/uidgid.h>
#include <linux/workqueue.h>

#include "core/core.h"

struct dentry;
struct mem_cgroup;
struct pym_family;
struct pym_user;

/**
 * struct pym_service_heap - a heap with its owner
 * @rcu: its memory outlives those who look it up
 * @heap: the heap
 * @ref: one for each mapping, one of its family if it has not been inherited, and
 *	those of who uses it in passing
 * @family: what it shares with the heaps that fork() has made of it
 * @ended: its process has ended it: no descriptor finds it any more
 * @forgotten: its family has let go of it, too: only mappings keep it
 * @inherited: fork() has made it: it is its process's only as long as that
 *	maps it
 * @inherited_allocs: of the objects allocated, those that its parent allocated
 * @inherited_frees: the same for those freed
 * @nr_calls: calls made on it: ioctls, read() and write()
 * @mappings: of the heap; protected, as all up to @heapless, by its mm's mmap_lock
 * @windows: those of them that show pages of the heap
 * @origin: where the first of these has, or would have, the window's start
 * @scattered: others have it elsewhere, so that a page may be shown twice
 * @lowest: address where a mapping of it is or has been
 * @highest: end of the last one
 * @watched: the first write to a joint page of its windows asks
 * @patience: allocations to come before pages are looked at; see window.c
 * @heapless: the last child for whose heap there was no memory: it gets none for its
 *	further mappings either.  Kept from being used for another process
 * @mm: the client: the only address space that may allocate, free and map
 * @memcg: pays for pages and metadata
 * @user_lock: held to change what follows up to @ruid
 * @user: whose quota it counts against
 * @purse_user: whose quota the pages count against that its family has together
 * @uid: @user's
 * @ruid: the real user of its process when that was decided
 * @pid: its process; NULL until a child has used what it inherited
 * @comm: the command of the process that made it, at that time
 * @name: the heap's name
 * @debugfs: its folder
 * @appear: makes that
 * @release: ends a heap whose last reference went where nothing may sleep on
 *	a folder
 * @vanish: removes its folder, and it
 */
struct pym_service_heap {
	struct rcu_head rcu;
	/* These fill the gap before what begins on a cache line. */
	struct kref ref;
	bool ended;
	bool forgotten;
	bool inherited;
	struct pym_family *family;
	u64 inherited_allocs;
	u64 inherited_frees;
	struct pym_heap heap;
	atomic64_t nr_calls;
	unsigned int mappings;
	unsigned int windows;
	unsigned long origin;
	bool scattered;
	unsigned long lowest;
	unsigned long highest;
	bool watched;
	atomic64_t patience;
	struct mm_struct *heapless;
	struct mm_struct *mm;
	struct mem_cgroup *memcg;
	/* Protects what follows up to @ruid against changes. */
	struct mutex user_lock;
	struct pym_user *user;
	struct pym_user *purse_user;
	kuid_t uid;
	kuid_t ruid;
	struct pid *pid;
	char comm[TASK_COMM_LEN];
	char name[PYMALLOC_NAME_LEN];
	struct dentry *debugfs;
	struct work_struct appear;
	struct work_struct release;
	struct work_struct vanish;
};

/*
 * What a heap takes that has no arena yet: its struct, and what the kernel keeps
 * for its family, its inode, its first descriptor and its seven entries in debugfs.
 * The test of this measures 500 heaps.
 */
#define PYM_SERVICE_BYTES	(roundup_pow_of_two(sizeof(struct pym_service_heap)) + \
				 SZ_8K + SZ_2K)

int pym_service_init(void (*end)(struct pym_service_heap *sheap));
void pym_service_exit(void);
void pym_service_ref_init(struct pym_service_heap *sheap);
void pym_service_put(struct pym_service_heap *sheap);
void pym_service_put_later(struct pym_service_heap *sheap);
void pym_service_put_dead(struct pym_service_heap *sheap);
bool pym_service_is_dead(const struct pym_service_heap *sheap);

#endif /* PYM_SERVICE_HEAP_H */
