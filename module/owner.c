// SPDX-License-Identifier: GPL-2.0
/*
 * Heaps with an owner: how they are made, and how they end.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cred.h>
#include <linux/ctype.h>
#include <linux/err.h>
#include <linux/memcontrol.h>
#include <linux/pid.h>
#include <linux/poll.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/user_namespace.h>

#include "access.h"
#include "cache.h"
#include "client.h"
#include "dead.h"
#include "debugfs.h"
#include "family.h"
#include "idle.h"
#include "owner.h"
#include "params.h"
#include "reclaim.h"
#include "registry.h"
#include "service_heap.h"
#include "settle.h"
#include "shared_window.h"
#include "sharer.h"
#include "sites.h"
#include "steal.h"
#include "trace.h"
#include "upkeep.h"
#include "user.h"
#include "window.h"

/*
 * The mm of heaps that belong to modules, and of shared ones: no process has it, it has no
 * mappings, and it never ends.  Who looks at a module's heap needs the capability, as its process
 * is not readable.
 */
static struct mm_struct kernel_mm = {
	.mm_mt = MTREE_INIT_EXT(mm_mt, MM_MT_FLAGS, kernel_mm.mmap_lock),
	.mm_users = ATOMIC_INIT(1),
	.mm_count = ATOMIC_INIT(1),
	MMAP_LOCK_INITIALIZER(kernel_mm)
	.page_table_lock = __SPIN_LOCK_UNLOCKED(kernel_mm.page_table_lock),
	.mmlist = LIST_HEAD_INIT(kernel_mm.mmlist),
	.user_ns = &init_user_ns,
};

/* Makes and removes folders in order, so that no heap's is removed before it is made. */
static struct workqueue_struct *folder_queue;

/*
 * Called between two pieces of a look at a heap, which keeps the heap.  It stops if the
 * heap is about to end, or, if it is dead, to be forgotten: until then its memory counts
 * against its user.
 */
static int owner_pause(struct pym_heap *heap)
{
	struct pym_service_heap *sheap = pym_service_of(heap);

	if (sheap->dead ? READ_ONCE(sheap->dead->forgotten) :
	    READ_ONCE(sheap->forgotten) && !READ_ONCE(sheap->client.mappings))
		return -ESTALE;
	return fatal_signal_pending(current) ? -EINTR : 0;
}

static const struct pym_heap_ops owner_ops = {
	.hold	= pym_window_hold,
	.release = pym_window_release,
	.zap	= pym_window_zap,
	.wanted	= pym_window_is_wanted,
	.mesh_begin = pym_settle_mesh_begin,
	.map_grown = pym_window_map_grown,
	.threshold_passed = pym_family_threshold_passed,
	.reclaim = pym_reclaim_at_limit,
	.pause	= owner_pause,
};

/* What is asked of the owner of a heap that belongs to a module: nobody maps it. */
static void kernel_zap(struct pym_heap *heap, const struct pym_mappings *held, u64 offset,
		       struct page **pages, unsigned int nr)
{
}

static void kernel_map_grown(struct pym_heap *heap, const struct pym_mappings *mappings,
			     unsigned long number)
{
}

static const struct pym_heap_ops kernel_ops = {
	.hold	= pym_window_hold_nothing,
	.release = pym_window_release_nothing,
	.zap	= kernel_zap,
	.map_grown = kernel_map_grown,
	.threshold_passed = pym_family_threshold_passed,
	.pause	= owner_pause,
};

/**
 * pym_name_is_valid() - may something have this name?
 * @name: PYMALLOC_NAME_LEN bytes
 *
 * Return: true if it ends with a NUL, and is of printable ASCII.
 */
bool pym_name_is_valid(const char *name)
{
	size_t i, length = strnlen(name, PYMALLOC_NAME_LEN);

	if (length == PYMALLOC_NAME_LEN)
		return false;
	for (i = 0; i < length; i++)
		if (!isascii(name[i]) || !isprint(name[i]))
			return false;
	return true;
}

/* A heap that has no process has no death either. */
static bool create_flags_agree(u32 flags)
{
	return !(flags & PYMALLOC_CREATE_SHARED) || !(flags & PYMALLOC_CREATE_KEEP_DEAD);
}

/* Fill in the defaults, then check the whole. */
static bool create_is_valid(struct pymalloc_create *create)
{
	if (!create->alignment)
		create->alignment = 8;
	if (!create->window)
		create->window = READ_ONCE(pym_default_window);
	if (!create->limit)
		create->limit = READ_ONCE(pym_default_limit);
	if (!create->extent)
		create->extent = create->window;

	return (create->alignment == 8 || create->alignment == 16) &&
	       pym_window_is_valid(create->window) &&
	       pym_window_is_valid(create->extent) &&
	       create->extent <= create->window && create->limit <= ULONG_MAX &&
	       create_flags_agree(create->flags) &&
	       pym_name_is_valid(create->name);
}

static void owner_set_mm(struct pym_service_heap *sheap, struct mm_struct *mm)
{
	sheap->client.mm = mm;
	mmgrab(mm);
}

/* The heap is for @mm.  The caller pays: in fork(), that is the parent. */
static void owner_set_client(struct pym_service_heap *sheap, struct mm_struct *mm)
{
	owner_set_mm(sheap, mm);
	sheap->memcg = get_mem_cgroup_from_mm(current->mm);
	get_task_comm(sheap->client.comm, current);
}

/* A dead heap keeps the number and the rights of its process. */
static void owner_forget_client(struct pym_service_heap *sheap)
{
	if (sheap->client.heapless)
		mmdrop(sheap->client.heapless);
	mem_cgroup_put(sheap->memcg);
	mmdrop(sheap->client.mm);
	sheap->client.mm = NULL;
}

static void owner_forget_process(struct pym_service_heap *sheap)
{
	put_pid(sheap->client.pid);
	put_cred(sheap->client.cred);
	if (sheap->user_ns)
		put_user_ns(sheap->user_ns);
}

/* Charge the heap to a user; takes over the reference to it. */
static void owner_set_user(struct pym_service_heap *sheap, struct pym_user *user)
{
	sheap->user = user;
	sheap->purse_user = pym_user_ref(user);
	sheap->heap.user = &user->quota;
	sheap->uid = user->uid;
	sheap->ruid = current_uid();
}

static int owner_charge_user(struct pym_service_heap *sheap, kuid_t uid)
{
	struct pym_user *user = pym_user_get(uid);
	int err;

	if (!user)
		return -ENOMEM;
	err = pym_user_charge_heap(user);
	if (err)
		pym_user_put(user);
	else
		owner_set_user(sheap, user);
	return err;
}

/* A child's heap is charged to its parent's user, until the child becomes another. */
static void owner_inherit_user(struct pym_service_heap *child, struct pym_service_heap *sheap)
{
	mutex_lock(&sheap->user_lock);
	owner_set_user(child, pym_user_ref(sheap->user));
	/* Not the parent's user now: it may have changed since the parent's last call. */
	child->ruid = sheap->ruid;
	pym_user_put(child->purse_user);
	child->purse_user = pym_user_ref(sheap->purse_user);
	pym_user_force_heap(child->user);
	mutex_unlock(&sheap->user_lock);
}

static void owner_forget_user(struct pym_service_heap *sheap)
{
	pym_user_put(sheap->user);
	pym_user_put(sheap->purse_user);
}

/* Undo what makes a heap a living one, inherited or not. */
static void owner_end_life(struct pym_service_heap *sheap)
{
	pym_shared_destroy(sheap->family->shared);
	pym_caches_destroy(sheap);
	pym_idle_destroy(sheap);
	owner_forget_client(sheap);
	pym_family_put(sheap->family);
	pym_user_uncharge_heap(sheap->user);
}

/*
 * Free what a dead heap still has.  This may be in memory reclaim, and under the gate of
 * another heap: nothing is waited for, and this heap's gate is not taken.
 */
static void owner_end_death(struct pym_service_heap *sheap)
{
	pym_sites_destroy(sheap);
	pym_heap_destroy(&sheap->heap);
	owner_forget_process(sheap);
	owner_forget_user(sheap);
}

static void owner_free_struct(struct pym_service_heap *sheap)
{
	pym_upkeep_free(sheap);
	kvfree_rcu(sheap, rcu);
}

static void owner_free_dead(struct pym_service_heap *sheap)
{
	owner_end_death(sheap);
	owner_free_struct(sheap);
}

/* Free a heap that has never been registered. */
static void owner_free(struct pym_service_heap *sheap)
{
	owner_end_life(sheap);
	owner_free_dead(sheap);
}

/*
 * Removing a folder waits until all calls in its files have returned, and a round of
 * upkeep may just have begun: no other work of the module should wait that long.
 */
static void owner_vanish_work(struct work_struct *work)
{
	struct pym_service_heap *sheap = container_of(work, struct pym_upkeep, vanish)->sheap;

	pym_debugfs_remove(sheap);
	pym_upkeep_cancel(sheap);
	if (sheap->dead)
		pym_dead_put(sheap->dead);
	else
		owner_free_struct(sheap);
}

/*
 * A folder is made with the one above locked.  A process that lists that one may hold
 * its lock for long, and fork() comes with address spaces locked: so a worker makes it.
 * The heap may have ended by now, but its struct is there until owner_vanish_work().
 */
static void owner_appear_work(struct work_struct *work)
{
	struct pym_service_heap *sheap = container_of(work, struct pym_upkeep, appear)->sheap;

	pym_debugfs_add(sheap);
}

/* No call changes the heap any more, so that no contradiction is missed. */
static void owner_check_at_end(struct pym_service_heap *sheap)
{
	struct pym_verdict verdict;
	int err;

	err = pym_check(&sheap->heap, &verdict);
	if (err) {
		pr_err("heap %llu: not checked: %pe\n", sheap->heap.id, ERR_PTR(err));
		return;
	}
	if (verdict.errors)
		pr_err("heap %llu: %s\n", sheap->heap.id, verdict.message);
	trace_heap_check(sheap->heap.id, verdict.errors);
}

static void owner_trace_destroy(struct pym_service_heap *sheap)
{
	char comm[PYM_SHOWN_COMM];
	struct pym_stats stats;

	if (!trace_heap_destroy_enabled())
		return;
	pym_heap_stats(&sheap->heap, &stats);
	pym_show_comm(comm, sheap->client.comm);
	trace_heap_destroy(sheap->heap.id, comm,
			   stats.nr_allocs - sheap->inherited_allocs,
			   stats.nr_frees - sheap->inherited_frees,
			   stats.page_bytes_peak, atomic64_read(&sheap->nr_calls));
}

/* The child's library finds another generation, and traces anew. */
static int owner_inherit_trace(struct pym_service_heap *sheap, struct pym_service_heap *child)
{
	int err = pym_sites_clone(sheap, child);

	if (!err && child->sites)
		pym_caches_tell(child, child->sites->generation);
	return err ?: pym_idle_clone(sheap, child);
}

/* Remember the inherited counts, to report only this heap's own. */
static void owner_note_inherited(struct pym_service_heap *sheap)
{
	struct pym_stats stats;

	pym_heap_stats(&sheap->heap, &stats);
	sheap->inherited_allocs = stats.nr_allocs;
	sheap->inherited_frees = stats.nr_frees;
}

/*
 * Is a heap to be kept that has ended?  Its process has ended, too, and has neither ended the
 * heap before, nor gone on with another program: that would leave a copy of the heap for each
 * fork() and exec().
 */
static bool owner_is_to_be_kept(struct pym_service_heap *sheap)
{
	if (READ_ONCE(sheap->ended) || !pym_service_is_dead(sheap) ||
	    !(READ_ONCE(pym_keep_dead) || sheap->flags & PYMALLOC_CREATE_KEEP_DEAD))
		return false;
	pym_client_note_death(&sheap->client);
	return sheap->client.death != PYM_DIED_EXEC;
}

/* Give back the pages of a heap.  Returns what describes the rest, if that is kept. */
static struct pym_dead *owner_give_pages_back(struct pym_service_heap *sheap)
{
	struct pym_dead *dead = NULL;

	if (owner_is_to_be_kept(sheap))
		dead = pym_dead_new(sheap);
	if (!dead) {
		pym_pages_destroy(&sheap->heap);
		return NULL;
	}
	pym_steal_at_end(sheap);
	pym_pages_bury(&sheap->heap);
	pym_access_bury(sheap);
	sheap->died = ktime_get_real_seconds();
	return dead;
}

/* Keep a dead heap.  It has nothing of a living one any more. */
static void owner_keep(struct pym_service_heap *sheap, struct pym_dead *dead)
{
	pym_heap_remove_meta(&sheap->heap, PYM_LIVING_BYTES);
	if (READ_ONCE(pym_check_at_end))
		owner_check_at_end(sheap);
	pym_dead_add(dead);
}

/* The last reference has gone: no call uses the heap, and none can get a reference. */
static void owner_destroy_heap(struct pym_service_heap *sheap)
{
	struct pym_dead *dead;

	pym_registry_remove(sheap);
	if (READ_ONCE(pym_check_at_end))
		owner_check_at_end(sheap);
	owner_trace_destroy(sheap);
	dead = owner_give_pages_back(sheap);
	pym_family_leave(sheap->family);
	wake_up_interruptible_poll(&sheap->family->wait, EPOLLHUP);
	owner_end_life(sheap);
	sheap->dead = dead;
	if (dead)
		owner_keep(sheap, dead);
	else
		owner_end_death(sheap);
	queue_work(folder_queue, &sheap->upkeep->vanish);
}

static struct pym_service_heap *owner_alloc(const char *name)
{
	struct pym_service_heap *sheap = kvzalloc(sizeof(*sheap), PYM_GFP);

	if (!sheap)
		return NULL;
	if (pym_upkeep_create(sheap)) {
		kvfree(sheap);
		return NULL;
	}
	pym_service_ref_init(sheap);
	mutex_init(&sheap->user_lock);
	init_rwsem(&sheap->map_gate);
	INIT_WORK(&sheap->upkeep->appear, owner_appear_work);
	INIT_WORK(&sheap->upkeep->vanish, owner_vanish_work);
	strscpy(sheap->name, name, sizeof(sheap->name));
	sheap->heap.base_bytes = PYM_SERVICE_BYTES;
	sheap->heap.ops = &owner_ops;
	return sheap;
}

/* What a heap is made from beside its client. */
static struct pym_service_heap *owner_begin(const struct pymalloc_create *create)
{
	struct pym_service_heap *sheap = owner_alloc(create->name);

	if (!sheap)
		return NULL;
	sheap->heap.limit = create->limit;
	sheap->heap.extent = create->extent;
	sheap->heap.no_mesh = create->flags & (PYMALLOC_CREATE_NO_MESH | PYMALLOC_CREATE_SHARED);
	sheap->flags = create->flags;
	if (sheap->flags & PYMALLOC_CREATE_SHARED) {
		sheap->heap.ops = &pym_shared_heap_ops;
		sheap->heap.base_bytes += PYM_SHARED_BYTES;
	}
	return sheap;
}

static int owner_share(struct pym_service_heap *sheap)
{
	if (!(sheap->flags & PYMALLOC_CREATE_SHARED))
		return 0;
	sheap->family->shared = pym_shared_new(sheap);
	return sheap->family->shared ? 0 : -ENOMEM;
}

/* Make a heap that has its user and its client known.  If that fails, it is freed. */
static struct pym_service_heap *owner_open(struct pym_service_heap *sheap,
					   const struct pymalloc_create *create)
{
	int err;

	sheap->family = pym_family_new(sheap);
	err = PTR_ERR_OR_ZERO(sheap->family);
	if (err)
		goto uncharge;
	err = owner_share(sheap);
	if (err)
		goto put_family;
	err = pym_registry_reserve(sheap);
	if (err)
		goto unshare;
	err = pym_heap_init(&sheap->heap, create->alignment, create->window);
	if (err)
		goto cancel;
	pym_registry_add(sheap);
	queue_work(folder_queue, &sheap->upkeep->appear);
	trace_heap_create(sheap->heap.id, sheap->heap.window, sheap->heap.limit);
	return sheap;

cancel:
	pym_registry_cancel(sheap);
unshare:
	pym_shared_destroy(sheap->family->shared);
put_family:
	pym_family_put(sheap->family);
uncharge:
	owner_forget_client(sheap);
	owner_forget_process(sheap);
	pym_user_uncharge_heap(sheap->user);
	owner_forget_user(sheap);
	owner_free_struct(sheap);
	return ERR_PTR(err);
}

/**
 * pym_service_create() - make a heap for the calling process
 * @create: in: the heap that is wanted; out: with the defaults filled in
 *
 * Context: Sleeps.
 * Return: the heap with one reference; or -EINVAL, -EDQUOT or -ENOMEM.
 */
struct pym_service_heap *pym_service_create(struct pymalloc_create *create)
{
	struct pym_service_heap *sheap;
	int err;

	if (!create_is_valid(create))
		return ERR_PTR(-EINVAL);
	sheap = owner_begin(create);
	if (!sheap)
		return ERR_PTR(-ENOMEM);
	err = owner_charge_user(sheap, current_euid());
	if (err) {
		owner_free_struct(sheap);
		return ERR_PTR(err);
	}
	owner_set_client(sheap, create->flags & PYMALLOC_CREATE_SHARED ? &kernel_mm :
									 current->mm);
	sheap->client.pid = get_pid(task_tgid(current));
	return owner_open(sheap, create);
}

/**
 * pym_service_create_for_module() - make a heap for another module of the kernel
 * @create: as for pym_service_create()
 * @tenant: how the module's blocks are looked after
 * @tenancy: what @tenant has for the heap
 * @bytes: bytes of metadata that the caller has allocated for it
 * @module: the module's name, shown as the command
 *
 * Its mm is one that no process has, and its user is root.
 *
 * Context: Sleeps.
 * Return: the heap with one reference; or -EINVAL, -EDQUOT or -ENOMEM, and @tenancy
 *	stays the caller's.
 */
struct pym_service_heap *
pym_service_create_for_module(struct pymalloc_create *create,
			      const struct pym_tenant_ops *tenant,
			      void *tenancy, unsigned long bytes,
			      const char *module)
{
	struct pym_service_heap *sheap;
	int err;

	if (!create_is_valid(create))
		return ERR_PTR(-EINVAL);
	sheap = owner_begin(create);
	if (!sheap)
		return ERR_PTR(-ENOMEM);
	err = owner_charge_user(sheap, GLOBAL_ROOT_UID);
	if (err) {
		owner_free_struct(sheap);
		return ERR_PTR(err);
	}
	sheap->heap.ops = &kernel_ops;
	sheap->heap.tenant = tenant;
	sheap->heap.base_bytes += bytes;
	sheap->flags |= PYMALLOC_KERNEL;
	sheap->heap.tenancy = tenancy;
	owner_set_mm(sheap, &kernel_mm);
	/* That of set_active_memcg(), if there is one; else the caller's. */
	sheap->memcg = get_mem_cgroup_from_mm(NULL);
	/* As ps(1) shows kernel threads. */
	snprintf(sheap->client.comm, sizeof(sheap->client.comm), "[%.*s]",
		 TASK_COMM_LEN - 3, module);
	return owner_open(sheap, create);
}

/**
 * pym_service_clone() - make the heap of a child that fork() is making
 * @sheap: the parent's heap
 * @mm: the child's address space
 *
 * Context: Sleeps.  Both address spaces are locked for writing.
 * Return: the heap with one reference; or -ENOMEM.
 */
struct pym_service_heap *pym_service_clone(struct pym_service_heap *sheap,
					   struct mm_struct *mm)
{
	struct pym_service_heap *child = owner_alloc(sheap->name);
	int err;

	if (!child)
		return ERR_PTR(-ENOMEM);
	child->inherited = true;
	child->client.protected = true;
	child->heap.sealed = sheap->heap.sealed;
	child->heap.limit = sheap->heap.limit;
	child->heap.no_mesh = sheap->heap.no_mesh;
	child->flags = sheap->flags;
	err = pym_heap_init(&child->heap, sheap->heap.alignment, sheap->heap.window);
	if (err) {
		owner_free_struct(child);
		return ERR_PTR(err);
	}
	owner_inherit_user(child, sheap);
	pym_upkeep_inherit(child, sheap);
	child->family = pym_family_get(sheap->family);
	owner_set_client(child, mm);
	err = pym_heap_clone(&sheap->heap, &child->heap);
	if (err)
		goto free;
	err = pym_steal_in_fork(sheap, child);
	if (err)
		goto free;
	err = owner_inherit_trace(sheap, child);
	if (err)
		goto free;
	owner_note_inherited(child);
	err = pym_registry_reserve(child);
	if (err)
		goto free;
	err = pym_family_add(child->family, child);
	if (err)
		goto cancel;
	/* Last: from now on other processes find it, and it must be whole. */
	pym_registry_add(child);
	queue_work(folder_queue, &child->upkeep->appear);
	trace_heap_create(child->heap.id, child->heap.window, child->heap.limit);
	if (pym_idle_is_on(child))
		pym_upkeep_arm(child);
	return child;

cancel:
	pym_registry_cancel(child);
free:
	owner_free(child);
	return ERR_PTR(err);
}

/**
 * pym_service_end() - end a heap as soon as it has no mappings any more
 * @sheap: the heap; the caller has a reference
 *
 * No descriptor finds the heap from now on.
 *
 * Context: Sleeps.
 */
void pym_service_end(struct pym_service_heap *sheap)
{
	WRITE_ONCE(sheap->ended, true);
	if (!sheap->inherited)
		pym_family_forget(sheap->family, sheap);
	wake_up_interruptible_poll(&sheap->family->wait, EPOLLHUP);
}

/**
 * pym_owner_init() - prepare for heaps
 *
 * Context: Process context, while the module is being loaded.
 * Return: 0 or a negative error.
 */
int pym_owner_init(void)
{
	int err;

	folder_queue = alloc_ordered_workqueue("pymalloc_folders", 0);
	if (!folder_queue)
		return -ENOMEM;
	err = pym_dead_init(owner_free_dead);
	if (err)
		goto queue;
	err = pym_service_init(owner_destroy_heap);
	if (err)
		goto dead;
	return 0;

dead:
	pym_dead_exit();
queue:
	destroy_workqueue(folder_queue);
	return err;
}

/**
 * pym_owner_exit() - wait until the last heaps have gone
 *
 * Context: Sleeps.  No call can make a heap any more.
 */
void pym_owner_exit(void)
{
	/* First: heaps that end there have their folders removed by the other queue. */
	pym_service_exit();
	destroy_workqueue(folder_queue);
	pym_dead_exit();
}
