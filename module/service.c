// SPDX-License-Identifier: GPL-2.0
/*
 * Heaps with an owner: how they are made, who may open them, how they end.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cred.h>
#include <linux/ctype.h>
#include <linux/err.h>
#include <linux/memcontrol.h>
#include <linux/pid_namespace.h>
#include <linux/poll.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/user_namespace.h>

#include "service.h"
#include "trace.h"

static struct workqueue_struct *service_queue;

/* Makes and removes folders one after the other: each heap's comes before it goes. */
static struct workqueue_struct *folder_queue;

static void service_grown(struct pym_heap *heap)
{
	struct pym_service_heap *sheap = container_of(heap, struct pym_service_heap, heap);

	wake_up_interruptible_poll(&sheap->family->wait, EPOLLPRI);
}

/*
 * Who looks at a heap does not go on when it is about to end: its pages count
 * against its user until he has done.
 */
static int service_pause(struct pym_heap *heap)
{
	struct pym_service_heap *sheap = container_of(heap, struct pym_service_heap, heap);

	if (READ_ONCE(sheap->forgotten) && !READ_ONCE(sheap->mappings))
		return -ESTALE;
	return fatal_signal_pending(current) ? -EINTR : 0;
}

static const struct pym_heap_ops service_ops = {
	.hold	= pym_window_hold,
	.release = pym_window_release,
	.zap	= pym_window_zap,
	.map_grown = pym_window_map_grown,
	.grown	= service_grown,
	.pause	= service_pause,
};

static bool name_is_valid(const char *name)
{
	size_t i, length = strnlen(name, PYMALLOC_NAME_LEN);

	if (length == PYMALLOC_NAME_LEN)
		return false;
	for (i = 0; i < length; i++)
		if (!isascii(name[i]) || !isprint(name[i]))
			return false;
	return true;
}

/**
 * pym_window_is_valid() - can a heap have such a window?
 * @window: its bytes
 *
 * Return: true if so.
 */
bool pym_window_is_valid(u64 window)
{
	return window >= PYMALLOC_WINDOW_MIN && window <= PYMALLOC_WINDOW_MAX &&
	       !(window % PYMALLOC_ARENA_SIZE);
}

/* Fill in the defaults, and see that all makes sense. */
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

	return !create->flags && !create->reserved &&
	       (create->alignment == 8 || create->alignment == 16) &&
	       pym_window_is_valid(create->window) &&
	       pym_window_is_valid(create->extent) &&
	       create->extent <= create->window && create->limit <= ULONG_MAX &&
	       name_is_valid(create->name);
}

/* Who the heap is for, and who pays for it: the caller. */
static void set_client(struct pym_service_heap *sheap, struct mm_struct *mm)
{
	sheap->mm = mm;
	mmgrab(mm);
	sheap->memcg = get_mem_cgroup_from_mm(current->mm);
	get_task_comm(sheap->comm, current);
}

static void forget_client(struct pym_service_heap *sheap)
{
	if (sheap->heapless)
		mmdrop(sheap->heapless);
	mem_cgroup_put(sheap->memcg);
	mmdrop(sheap->mm);
	put_pid(sheap->pid);
}

/* The heap counts against a user; takes over the reference. */
static void set_user(struct pym_service_heap *sheap, struct pym_user *user)
{
	sheap->user = user;
	sheap->purse_user = pym_user_ref(user);
	sheap->heap.user = &user->quota;
	sheap->uid = user->uid;
	sheap->ruid = current_uid();
}

static int charge_user(struct pym_service_heap *sheap)
{
	struct pym_user *user = pym_user_get(current_euid());
	int err;

	if (!user)
		return -ENOMEM;
	err = pym_user_charge_heap(user);
	if (err)
		pym_user_put(user);
	else
		set_user(sheap, user);
	return err;
}

/* A child's heap counts against its parent's user, until the child becomes another. */
static void inherit_user(struct pym_service_heap *child, struct pym_service_heap *sheap)
{
	mutex_lock(&sheap->user_lock);
	set_user(child, pym_user_ref(sheap->user));
	/* The parent may have become another user without a call since. */
	child->ruid = sheap->ruid;
	pym_user_put(child->purse_user);
	child->purse_user = pym_user_ref(sheap->purse_user);
	pym_user_force_heap(child->user);
	mutex_unlock(&sheap->user_lock);
}

static void uncharge_user(struct pym_service_heap *sheap)
{
	pym_user_uncharge_heap(sheap->user);
	pym_user_put(sheap->user);
	pym_user_put(sheap->purse_user);
}

/* Undo what is done for every heap, inherited or not. */
static void service_undo(struct pym_service_heap *sheap)
{
	pym_heap_destroy(&sheap->heap);
	forget_client(sheap);
	pym_family_put(sheap->family);
	uncharge_user(sheap);
}

/* The same for one that nobody has ever seen. */
static void service_free(struct pym_service_heap *sheap)
{
	service_undo(sheap);
	kvfree_rcu(sheap, rcu);
}

/* Removing a folder waits for those who are in it, for as long as they like. */
static void vanish_work(struct work_struct *work)
{
	struct pym_service_heap *sheap = container_of(work, struct pym_service_heap, vanish);

	pym_debugfs_remove(sheap);
	kvfree_rcu(sheap, rcu);
}

/*
 * Where a folder is made may be locked by who is looking at the one above, and in
 * fork() address spaces are locked.  The heap may have ended by now, but is there.
 */
static void appear_work(struct work_struct *work)
{
	struct pym_service_heap *sheap = container_of(work, struct pym_service_heap, appear);

	pym_debugfs_add(sheap);
}

/* Nobody uses it any more, so that whatever is wrong has stayed so. */
static void check_at_end(struct pym_service_heap *sheap)
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

static void trace_destroy(struct pym_service_heap *sheap)
{
	char comm[PYM_SHOWN_COMM];
	struct pym_stats stats;

	if (!trace_heap_destroy_enabled())
		return;
	pym_heap_stats(&sheap->heap, &stats);
	pym_show_comm(comm, sheap->comm);
	trace_heap_destroy(sheap->heap.id, comm,
			   stats.nr_allocs - sheap->inherited_allocs,
			   stats.nr_frees - sheap->inherited_frees,
			   stats.page_bytes_peak, atomic64_read(&sheap->nr_calls));
}

/* What it begins with is not of its own doing. */
static void note_inherited(struct pym_service_heap *sheap)
{
	struct pym_stats stats;

	pym_heap_stats(&sheap->heap, &stats);
	sheap->inherited_allocs = stats.nr_allocs;
	sheap->inherited_frees = stats.nr_frees;
}

static void service_release(struct pym_service_heap *sheap)
{
	pym_registry_remove(sheap);
	if (READ_ONCE(pym_check_at_end))
		check_at_end(sheap);
	trace_destroy(sheap);
	pym_pages_destroy(&sheap->heap);
	pym_family_leave(sheap->family);
	wake_up_interruptible_poll(&sheap->family->wait, EPOLLHUP);
	service_undo(sheap);
	queue_work(folder_queue, &sheap->vanish);
}

static void release_work(struct work_struct *work)
{
	service_release(container_of(work, struct pym_service_heap, release));
}

static struct pym_service_heap *service_alloc(const char *name)
{
	struct pym_service_heap *sheap = kvzalloc(sizeof(*sheap), PYM_GFP);

	if (!sheap)
		return NULL;
	kref_init(&sheap->ref);
	mutex_init(&sheap->user_lock);
	init_rwsem(&sheap->map_gate);
	INIT_WORK(&sheap->appear, appear_work);
	INIT_WORK(&sheap->release, release_work);
	INIT_WORK(&sheap->vanish, vanish_work);
	strscpy(sheap->name, name, sizeof(sheap->name));
	sheap->heap.base_bytes = PYM_SERVICE_BYTES;
	sheap->heap.ops = &service_ops;
	return sheap;
}

/**
 * pym_service_create() - make a heap for the calling process
 * @create: in: what is asked for; out: what it has got
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
	sheap = service_alloc(create->name);
	if (!sheap)
		return ERR_PTR(-ENOMEM);
	sheap->heap.limit = create->limit;
	sheap->heap.extent = create->extent;

	err = charge_user(sheap);
	if (err)
		goto free;
	set_client(sheap, current->mm);
	sheap->pid = get_pid(task_tgid(current));
	sheap->family = pym_family_new(sheap);
	err = PTR_ERR_OR_ZERO(sheap->family);
	if (err)
		goto uncharge;
	err = pym_heap_init(&sheap->heap, create->alignment, create->window);
	if (err)
		goto put_family;
	err = pym_registry_reserve(sheap);
	if (err) {
		service_free(sheap);
		return ERR_PTR(err);
	}
	pym_registry_add(sheap);
	queue_work(folder_queue, &sheap->appear);
	trace_heap_create(sheap->heap.id, sheap->heap.window, sheap->heap.limit);
	return sheap;

put_family:
	pym_family_put(sheap->family);
uncharge:
	forget_client(sheap);
	uncharge_user(sheap);
free:
	kvfree(sheap);
	return ERR_PTR(err);
}

/**
 * pym_service_clone() - the heap of a child that fork() is making
 * @sheap: its parent's heap
 * @mm: the child
 *
 * Context: Sleeps.  Both address spaces are locked for writing.
 * Return: the heap with one reference; or -ENOMEM.
 */
struct pym_service_heap *pym_service_clone(struct pym_service_heap *sheap,
					   struct mm_struct *mm)
{
	struct pym_service_heap *child = service_alloc(sheap->name);
	int err;

	if (!child)
		return ERR_PTR(-ENOMEM);
	child->inherited = true;
	child->watched = true;
	child->heap.limit = sheap->heap.limit;
	err = pym_heap_init(&child->heap, sheap->heap.alignment, sheap->heap.window);
	if (err) {
		kvfree(child);
		return ERR_PTR(err);
	}
	inherit_user(child, sheap);
	child->family = pym_family_get(sheap->family);
	set_client(child, mm);
	err = pym_heap_clone(&sheap->heap, &child->heap);
	if (err)
		goto free;
	note_inherited(child);
	err = pym_registry_reserve(child);
	if (err)
		goto free;
	err = pym_family_add(child->family, child);
	if (err)
		goto cancel;
	/* Last: from now on others find it. */
	pym_registry_add(child);
	queue_work(folder_queue, &child->appear);
	trace_heap_create(child->heap.id, child->heap.window, child->heap.limit);
	return child;

cancel:
	pym_registry_cancel(child);
free:
	service_free(child);
	return ERR_PTR(err);
}

/**
 * pym_service_meet() - learn which process a heap has been inherited by
 * @sheap: the heap
 */
void pym_service_meet(struct pym_service_heap *sheap)
{
	struct pid *pid;

	if (READ_ONCE(sheap->pid) || current->mm != sheap->mm)
		return;
	pid = get_pid(task_tgid(current));
	if (cmpxchg(&sheap->pid, NULL, pid))
		put_pid(pid);
}

static void move_to_user_locked(struct pym_service_heap *sheap, struct pym_user *user)
{
	struct pym_user *old = sheap->user;

	lockdep_assert_held(&sheap->user_lock);
	pym_heap_move(&sheap->heap, &user->quota);
	pym_user_force_heap(user);
	pym_user_uncharge_heap(old);
	WRITE_ONCE(sheap->user, user);
	if (sheap->heap.purse == &user->quota) {
		pym_user_put(sheap->purse_user);
		sheap->purse_user = pym_user_ref(user);
	}
	WRITE_ONCE(sheap->uid, user->uid);
	WRITE_ONCE(sheap->ruid, current_uid());
	pym_user_put(old);
}

/**
 * pym_service_follow() - have a heap count against the user that its process is
 * @sheap: the heap
 *
 * To be called before the caller gets pages for it.  Nothing changes if he is not
 * the heap's process, or without memory: then the next call does it.
 *
 * Context: Sleeps.  Not under the gate.
 */
void pym_service_follow(struct pym_service_heap *sheap)
{
	struct pym_user *user;

	if (current->mm != sheap->mm || uid_eq(current_uid(), READ_ONCE(sheap->ruid)))
		return;
	mutex_lock(&sheap->user_lock);
	user = pym_user_get(current_euid());
	if (user && !uid_eq(current_uid(), sheap->ruid))
		move_to_user_locked(sheap, user);
	else if (user)
		pym_user_put(user);
	mutex_unlock(&sheap->user_lock);
}

static void end_now(struct kref *ref)
{
	service_release(container_of(ref, struct pym_service_heap, ref));
}

static void end_later(struct kref *ref)
{
	struct pym_service_heap *sheap = container_of(ref, struct pym_service_heap, ref);

	queue_work(service_queue, &sheap->release);
}

/**
 * pym_service_put() - drop a reference; the last one ends the heap
 * @sheap: the heap
 *
 * Context: Sleeps.  Not with an mmap_lock held.
 */
void pym_service_put(struct pym_service_heap *sheap)
{
	kref_put(&sheap->ref, end_now);
}

/**
 * pym_service_put_later() - as pym_service_put(), with an mmap_lock held
 * @sheap: the heap
 *
 * A heap's end waits for those who are looking at its folder in debugfs.
 */
void pym_service_put_later(struct pym_service_heap *sheap)
{
	kref_put(&sheap->ref, end_later);
}

/**
 * pym_service_leave() - drop the reference of who has used a heap in passing
 * @sheap: the heap
 *
 * If it was the last one, and he is not the heap's process, the heap ends without
 * him: that takes long, and who only looks may be kept from running.
 *
 * Context: Sleeps.  Not with an mmap_lock held.
 */
void pym_service_leave(struct pym_service_heap *sheap)
{
	if (current->mm == sheap->mm)
		pym_service_put(sheap);
	else
		pym_service_put_later(sheap);
}

/**
 * pym_service_put_dead() - drop a reference for the sake of what it keeps
 * @sheap: the heap, whose process may have died
 *
 * If it was the last one, the heap ends before this returns for its own user, who
 * may want what it gives back, and for a process that is ending itself.
 *
 * Context: Sleeps.  Not with an mmap_lock held.
 */
void pym_service_put_dead(struct pym_service_heap *sheap)
{
	if (!current->mm || uid_eq(READ_ONCE(sheap->uid), current_euid()))
		pym_service_put(sheap);
	else
		pym_service_leave(sheap);
}

/**
 * pym_service_end() - end a heap as soon as nobody has mapped it
 * @sheap: the heap; the caller has a reference
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
 * pym_service_is_dead() - has a heap's process died?
 * @sheap: the heap
 *
 * Return: true if so: the heap is ending, or will with the last descriptor.
 */
bool pym_service_is_dead(const struct pym_service_heap *sheap)
{
	return !atomic_read(&sheap->mm->mm_users);
}

/**
 * pym_service_init() - prepare for what is done later than asked for
 *
 * Return: 0 or -ENOMEM.
 */
int pym_service_init(void)
{
	service_queue = alloc_workqueue("pymalloc", WQ_UNBOUND, 0);
	if (!service_queue)
		return -ENOMEM;
	folder_queue = alloc_ordered_workqueue("pymalloc_folders", 0);
	if (!folder_queue)
		destroy_workqueue(service_queue);
	return folder_queue ? 0 : -ENOMEM;
}

/**
 * pym_service_exit() - wait until the last heaps have gone
 */
void pym_service_exit(void)
{
	destroy_workqueue(service_queue);
	destroy_workqueue(folder_queue);
}

/* A child that has not used its heap yet is known by its address space alone. */
static pid_t process_of(struct pym_service_heap *sheap)
{
	struct pid *pid = READ_ONCE(sheap->pid);
	struct task_struct *owner = NULL;
	pid_t number = pid_vnr(pid);

	if (pid)
		return number;
#ifdef CONFIG_MEMCG
	rcu_read_lock();
	owner = rcu_dereference(sheap->mm->owner);
	number = owner ? task_tgid_vnr(owner) : 0;
	rcu_read_unlock();
#endif
	return number;
}

/**
 * pym_service_info() - who a heap is, as the caller sees it
 * @sheap: the heap
 * @info: out: the description
 *
 * Context: Sleeps.
 * Return: 0, -EINTR (the caller is being killed) or -ESTALE (the heap is ending).
 */
int pym_service_info(struct pym_service_heap *sheap, struct pymalloc_heap_info *info)
{
	struct pym_stats stats;

	pym_heap_stats(&sheap->heap, &stats);
	*info = (struct pymalloc_heap_info) {
		.id = sheap->heap.id,
		.window = sheap->heap.window,
		.limit = sheap->heap.limit,
		.page_bytes = stats.page_bytes,
		.used_bytes = stats.block_bytes + (stats.run_pages << PYM_POOL_SHIFT),
		.alignment = sheap->heap.alignment,
		.uid = from_kuid_munged(current_user_ns(), READ_ONCE(sheap->uid)),
		.pid = process_of(sheap),
	};
	memcpy(info->comm, sheap->comm, sizeof(info->comm));
	memcpy(info->name, sheap->name, sizeof(info->name));
	return pym_pages_shared(&sheap->heap, &info->shared_bytes, &info->pss_bytes);
}
