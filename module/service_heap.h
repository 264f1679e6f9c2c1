/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A heap with its owner and its client.
 */
#ifndef PYM_SERVICE_HEAP_H
#define PYM_SERVICE_HEAP_H

#include <linux/kref.h>
#include <linux/kthread.h>
#include <linux/log2.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/uidgid.h>
#include <linux/workqueue.h>

#include "core/core.h"

struct cred;
struct dentry;
struct mem_cgroup;
struct pym_caches;
struct pym_dead;
struct pym_family;
struct pym_idle;
struct pym_sites;
struct pym_user;

/**
 * struct pym_client - an address space that uses a heap
 * @mm: the address space: only it may allocate, free and map.  NULL if the heap is dead
 * @pid: its process; NULL until a child of fork() has used what it inherited
 * @comm: the command of the process that made the heap, when it did
 * @mappings: its mappings of the heap
 * @windows: those of them that show pages, and not the pool map
 * @scattered: windows have the window's start at different addresses, so that a page
 *	may be shown twice
 * @meshed: pages may be shown at several places of a window
 * @protected: writes to its windows are protected: the first one to each page is a
 *	fault
 * @origin: where its first window has, or would have, the window's start
 * @lowest: address where a mapping is or has been
 * @highest: end of the last one that is or has been
 * @patience: allocating calls to come before it is found out whether writes still
 *	need protection; see fork.c
 * @death: PYMALLOC_DIED_*, or PYM_DIED_EXEC: how its process ended, once it has, and if
 *	that is known
 * @death_code: the exit status, or the signal
 * @cred: the rights of its process when that ended; NULL if they are not known
 * @heapless: the last child for whose heap there was no memory in fork(): its further
 *	mappings get none either.  A reference, so that no other process gets its address
 *
 * The mmap_lock of @mm protects @mappings and what follows it, but @patience.
 *
 * A heap has one client today, as a part of it: pym_client_heap() leads from the client
 * to its heap, and @client of struct pym_service_heap the other way.
 */
struct pym_client {
	struct mm_struct *mm;
	struct pid *pid;
	char comm[TASK_COMM_LEN];
	unsigned int mappings;
	unsigned int windows;
	bool scattered;
	bool meshed;
	bool protected;
	unsigned long origin;
	unsigned long lowest;
	unsigned long highest;
	atomic64_t patience;
	u32 death;
	u32 death_code;
	const struct cred *cred;
	struct mm_struct *heapless;
};

/* @death of a client whose process goes on, with another program. */
#define PYM_DIED_EXEC	U32_MAX

/**
 * struct pym_upkeep - what workers do for a heap
 * @rcu: its memory outlives the RCU readers that look at it
 * @appear: makes the heap's folder in debugfs
 * @release: ends the heap, if its last reference went where the caller may not wait
 * @vanish: removes the folder, and frees the heap's struct
 * @sheap: the heap
 * @round: looks whether the heap has memory to give back; see upkeep.c
 * @armed: @round is on its way
 * @urgent: the next round takes back all that it can
 * @due: the last round has found that meshing would be worth it
 * @has_policy: the heap has the policy of the three fields that follow, and not that of
 *	the module's parameters
 * @off: PYMALLOC_POLICY_NO_*
 * @decay_ms: milliseconds from a round to the next; 0 is that of the module's parameter
 * @keep_bytes: bytes of empty pools that decay leaves
 * @policy_lock: protects the policy
 * @busy: held by whoever takes memory back, so that never two do so in one heap
 * @rest: jiffies to be added to the interval of rounds, because the last one took long
 * @mesh_excess: after the last meshing, bytes of pages beyond those of blocks
 * @mesh_frees: objects freed until then
 * @limit_again: at its limit, the heap takes memory back again from this time on
 * @limit_wait: jiffies until then, the last time
 * @limit_frees: objects freed when it last did so and gained little
 * @nr_stolen: blocks taken from magazines so far
 * @nr_decayed: pages given back by rounds so far, without those of meshing
 * @nr_shrunk: pages given back because the machine was short of memory so far
 */
struct pym_upkeep {
	struct rcu_head rcu;
	struct work_struct appear;
	struct work_struct release;
	struct work_struct vanish;
	struct pym_service_heap *sheap;
	struct kthread_delayed_work round;
	bool armed;
	bool urgent;
	bool due;
	bool has_policy;
	u32 off;
	u32 decay_ms;
	u64 keep_bytes;
	/* Protects the policy, from @has_policy on. */
	spinlock_t policy_lock;
	/* Protects what follows up to @limit_frees. */
	struct mutex busy;
	unsigned long rest;
	u64 mesh_excess;
	u64 mesh_frees;
	unsigned long limit_again;
	unsigned long limit_wait;
	u64 limit_frees;
	atomic64_t nr_stolen;
	atomic64_t nr_decayed;
	atomic64_t nr_shrunk;
};

/**
 * struct pym_service_heap - a heap with its owner and its client
 * @rcu: its memory outlives the RCU readers that look it up
 * @ref: one for each mapping, one of its family if it has not been inherited, and one
 *	for each call that uses it
 * @ended: its process has ended it: no descriptor finds it any more
 * @forgotten: its family has let go of it, too: only mappings keep it
 * @inherited: fork() has made it: it is its process's only as long as that
 *	maps it
 * @readable: of a dead heap: as long as its process lived, others of the same user could
 *	read its memory
 * @family: what it shares with the heaps that fork() has made of it
 * @inherited_allocs: of the objects allocated, those that its parent allocated
 * @inherited_frees: the same for those freed
 * @heap: the heap
 * @map_gate: held for reading around the mapping of zeroes where the pool map has no
 *	page, and for writing when it has got one, to wait for those
 * @caches: the caches of its threads; NULL until there is the first one
 * @sites: where its blocks were allocated; NULL until somebody has asked for a trace
 * @idle: since when its pages have not been touched; NULL until somebody has asked for that,
 *	and if it is dead
 * @nr_calls: calls made on it: ioctls, read() and write()
 * @client: the address space that uses it
 * @memcg: the memory cgroup that pays for pages and metadata
 * @user_lock: held to change @user, @purse_user, @uid and @ruid
 * @user: the user that it is charged to
 * @purse_user: the user that pays, once, for the pages that the family has together
 * @uid: the number of @user
 * @ruid: the real user of its process when @user was set
 * @flags: PYMALLOC_CREATE_*
 * @name: the heap's name
 * @debugfs: its folder
 * @upkeep: what workers do for it
 * @dead: what is kept of it; NULL while it lives, and if nothing is
 * @died: when it died: seconds since 1970
 * @user_ns: the user namespace in which others need a capability for that
 *
 * The last three describe a dead heap, and so does @readable.
 */
struct pym_service_heap {
	struct rcu_head rcu;
	/* These fill the gap before @heap, which begins on a cache line. */
	struct kref ref;
	bool ended;
	bool forgotten;
	bool inherited;
	bool readable;
	struct pym_family *family;
	u64 inherited_allocs;
	u64 inherited_frees;
	struct pym_heap heap;
	struct rw_semaphore map_gate;
	struct pym_caches *caches;
	struct pym_sites *sites;
	struct pym_idle *idle;
	atomic64_t nr_calls;
	struct pym_client client;
	struct mem_cgroup *memcg;
	/* Protects what follows up to @ruid against changes. */
	struct mutex user_lock;
	struct pym_user *user;
	struct pym_user *purse_user;
	kuid_t uid;
	kuid_t ruid;
	u32 flags;
	char name[PYMALLOC_NAME_LEN];
	struct dentry *debugfs;
	struct pym_upkeep *upkeep;
	struct pym_dead *dead;
	u64 died;
	struct user_namespace *user_ns;
};

/*
 * kvzalloc() rounds up to this: one byte more would cost each heap another 16 KiB.
 * Kernels that check locks have larger ones, and are not for saving memory; so have
 * those for real time.
 */
static_assert(IS_ENABLED(CONFIG_LOCKDEP) || IS_ENABLED(CONFIG_PREEMPT_RT) ||
	      sizeof(struct pym_service_heap) <= SZ_16K);

/* The heap with an owner that a heap of the core is a part of. */
static inline struct pym_service_heap *pym_service_of(struct pym_heap *heap)
{
	return container_of(heap, struct pym_service_heap, heap);
}

/* The heap of a client. */
static inline struct pym_service_heap *pym_client_heap(struct pym_client *client)
{
	return container_of(client, struct pym_service_heap, client);
}

/*
 * May a page be shown at more than one address?  The caller holds the client's mmap_lock, or
 * the own lock of one of its mappings.
 */
static inline bool pym_client_shows_twice(const struct pym_client *client)
{
	return READ_ONCE(client->scattered) || READ_ONCE(client->meshed);
}

/* Has a heap at least as many bytes of pages as PYMALLOC_IOC_NOTIFY has named? */
static inline bool pym_service_is_large(const struct pym_service_heap *sheap)
{
	u64 threshold = READ_ONCE(sheap->heap.threshold);

	return threshold && READ_ONCE(sheap->heap.pages) << PYM_POOL_SHIFT >= threshold;
}

/*
 * Bytes of kernel memory of a heap that has no arena yet: its structs, and what the
 * kernel keeps for its family, its inode, its first descriptor and its seven entries in
 * debugfs.  These last were measured: 500 heaps take 10 KiB each beside their structs,
 * and selftests/service/metadata.c measures them again.  A dead heap has none of them, but
 * a struct pym_dead, and pins the number and the rights of its process.
 */
#define PYM_LIVING_BYTES	SZ_8K
#define PYM_SERVICE_BYTES	(roundup_pow_of_two(sizeof(struct pym_service_heap)) + \
				 roundup_pow_of_two(sizeof(struct pym_upkeep)) + \
				 PYM_LIVING_BYTES + SZ_2K)

int pym_service_init(void (*end)(struct pym_service_heap *sheap));
void pym_service_exit(void);
void pym_service_ref_init(struct pym_service_heap *sheap);
void pym_service_put(struct pym_service_heap *sheap);
void pym_service_put_later(struct pym_service_heap *sheap);
void pym_service_put_dead(struct pym_service_heap *sheap);
bool pym_service_is_dead(const struct pym_service_heap *sheap);

#endif /* PYM_SERVICE_HEAP_H */
