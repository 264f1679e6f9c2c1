// SPDX-License-Identifier: GPL-2.0
/*
 * The clients of a shared heap: address spaces that map it.
 *
 * A client comes with its first mapping, or by fork(), and goes with its last mapping, however
 * its process ends: exit, a signal, exec, munmap().  All that only it needed is freed then,
 * before its process can be waited for.
 */
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/pid.h>
#include <linux/poll.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/user_namespace.h>

#include "family.h"
#include "service_heap.h"
#include "sharer.h"
#include "trace.h"
#include "upkeep.h"

/**
 * pym_shared_new() - make what a shared heap has beside a private one
 * @sheap: the heap; its maker counts PYM_SHARED_BYTES for it
 *
 * Context: Sleeps.
 * Return: it, or NULL without memory.
 */
struct pym_shared *pym_shared_new(struct pym_service_heap *sheap)
{
	struct pym_shared *shared = kzalloc(sizeof(*shared), PYM_GFP);

	BUILD_BUG_ON(sizeof(*shared) > PYM_SHARED_BYTES && !IS_ENABLED(CONFIG_LOCKDEP));
	if (!shared)
		return NULL;
	pym_refs_init(&shared->refs, &sheap->heap);
	shared->roots.tree = RB_ROOT;
	xa_init_flags(&shared->clients, XA_FLAGS_ACCOUNT);
	xa_init_flags(&shared->numbers, XA_FLAGS_ALLOC1 | XA_FLAGS_ACCOUNT);
	return shared;
}

/**
 * pym_shared_destroy() - the reverse of pym_shared_new()
 * @shared: of a heap that is ending; may be NULL
 *
 * Context: Sleeps.
 */
void pym_shared_destroy(struct pym_shared *shared)
{
	if (!shared)
		return;
	pym_roots_destroy(&shared->refs, &shared->roots);
	pym_refs_destroy(&shared->refs);
	xa_destroy(&shared->clients);
	xa_destroy(&shared->numbers);
	kfree(shared);
}

/**
 * pym_shared_of() - what a shared heap has beside a private one
 * @sheap: the heap
 *
 * Return: it, or NULL for a private one.
 */
struct pym_shared *pym_shared_of(const struct pym_service_heap *sheap)
{
	return sheap->flags & PYMALLOC_CREATE_SHARED ? sheap->family->shared : NULL;
}

static struct pym_sharer *sharer_find_locked(struct pym_shared *shared,
					     const struct mm_struct *mm)
{
	lockdep_assert_held(&shared->refs.lock);
	return xa_load(&shared->clients, (unsigned long)mm);
}

static struct pym_sharer *sharer_alloc(struct pym_service_heap *sheap, struct mm_struct *mm,
				       u64 held_max)
{
	struct pym_sharer *sharer = kzalloc(sizeof(*sharer), PYM_GFP);

	if (!sharer)
		return NULL;
	refcount_set(&sharer->users, 1);
	kref_get(&sheap->ref);
	sharer->sheap = sheap;
	mmgrab(mm);
	sharer->mm = mm;
	pym_holder_init(&sharer->holder, held_max);
	sharer->uid = current_euid();
	get_task_comm(sharer->comm, current);
	return sharer;
}

static void sharer_free(struct pym_sharer *sharer)
{
	pym_heap_remove_meta(&sharer->sheap->heap, PYM_SHARER_BYTES);
	pym_holder_destroy(&sharer->holder);
	mmdrop(sharer->mm);
	put_pid(sharer->pid);
	pym_service_put_later(sharer->sheap);
	kfree(sharer);
}

/* Make a client known that is charged for already. */
static int sharer_add_locked(struct pym_shared *shared, struct pym_sharer *sharer)
{
	int err = xa_err(xa_store(&shared->clients, (unsigned long)sharer->mm, sharer, PYM_GFP));

	if (err)
		return err;
	err = xa_alloc_cyclic(&shared->numbers, &sharer->number, sharer, xa_limit_32b,
			      &shared->next, PYM_GFP);
	if (err >= 0)
		return 0;
	xa_erase(&shared->clients, (unsigned long)sharer->mm);
	return err;
}

static struct pym_sharer *sharer_new_locked(struct pym_service_heap *sheap,
					    struct mm_struct *mm, u64 held_max)
{
	struct pym_shared *shared = sheap->family->shared;
	struct pym_sharer *sharer = sharer_alloc(sheap, mm, held_max);
	int err;

	if (!sharer) {
		pym_heap_remove_meta(&sheap->heap, PYM_SHARER_BYTES);
		return ERR_PTR(-ENOMEM);
	}
	err = sharer_add_locked(shared, sharer);
	if (!err)
		return sharer;
	sharer_free(sharer);
	return ERR_PTR(err);
}

/* The client of an address space.  One that is new has no mappings yet. */
static struct pym_sharer *sharer_get_locked(struct pym_service_heap *sheap,
					    struct mm_struct *mm, u64 held_max)
{
	struct pym_sharer *sharer = sharer_find_locked(sheap->family->shared, mm);
	int err;

	if (sharer) {
		pym_sharer_get(sharer);
		return sharer;
	}
	err = pym_heap_add_meta(&sheap->heap, PYM_SHARER_BYTES);
	return err ? ERR_PTR(err) : sharer_new_locked(sheap, mm, held_max);
}

/* The caller is the client's process, which is not known if fork() has made it. */
static void sharer_note_process(struct pym_sharer *sharer)
{
	if (unlikely(!sharer->pid))
		sharer->pid = get_pid(task_tgid(current));
}

/* A child of fork() has no number in /proc yet: 0. */
static void trace_join(const struct pym_sharer *sharer)
{
	trace_client_join(sharer->sheap->heap.id, sharer->number, pid_nr(sharer->pid));
}

/**
 * pym_sharer_join() - the caller maps a shared heap, and is a client of it
 * @sheap: the heap
 *
 * Context: Sleeps.  Holds the caller's mmap_lock for writing.
 * Return: the client, with a reference for the mapping, which is counted; or an error.
 */
struct pym_sharer *pym_sharer_join(struct pym_service_heap *sheap)
{
	struct pym_shared *shared = sheap->family->shared;
	struct mem_cgroup *memcg = set_active_memcg(sheap->memcg);
	struct pym_sharer *sharer;
	bool is_new = false;

	mutex_lock(&shared->refs.lock);
	sharer = sharer_get_locked(sheap, current->mm, shared->held_max);
	if (!IS_ERR(sharer)) {
		sharer_note_process(sharer);
		is_new = !sharer->mappings++;
	}
	mutex_unlock(&shared->refs.lock);
	set_active_memcg(memcg);
	if (is_new)
		trace_join(sharer);
	return sharer;
}

/* A client is about to leave: it can do nothing, and is given nothing, any more. */
static void sharer_hide_locked(struct pym_shared *shared, struct pym_sharer *sharer)
{
	sharer->holder.gone = true;
	xa_erase(&shared->clients, (unsigned long)sharer->mm);
}

/* Give up all that a client needs who is hidden. */
static void sharer_leave(struct pym_sharer *sharer)
{
	struct pym_service_heap *sheap = sharer->sheap;
	struct pym_shared *shared = sheap->family->shared;
	struct pym_refs *refs = &shared->refs;
	struct pym_unneeded unneeded;
	bool more;

	do {
		unneeded.nr = 0;
		mutex_lock(&refs->lock);
		more = pym_holder_leave_some(refs, &sharer->holder, &unneeded);
		if (!more)
			xa_erase(&shared->numbers, sharer->number);
		mutex_unlock(&refs->lock);
		pym_unneeded_free(refs, &unneeded);
		cond_resched();
	} while (more);
	pym_upkeep_arm(sheap);
}

/* A child that could not come to hold all is hidden. */
static struct pym_sharer *sharer_fork_locked(struct pym_sharer *parent, struct mm_struct *mm)
{
	struct pym_shared *shared = parent->sheap->family->shared;
	struct pym_sharer *child = sharer_get_locked(parent->sheap, mm, parent->holder.max);

	if (IS_ERR(child) || child->mappings)
		return child;
	if (pym_holder_clone(&shared->refs, &parent->holder, &child->holder))
		sharer_hide_locked(shared, child);
	return child;
}

/**
 * pym_sharer_fork() - fork() copies a mapping of a client: the child is a client as well
 * @parent: the client
 * @mm: the child's address space
 *
 * It holds all that its parent holds now.  Whoever can map the heap can fork: so the heap's limits
 * hold here, too.
 *
 * Context: Sleeps.  Both address spaces are locked for writing.
 * Return: the child, with a reference for the mapping, which is counted; or NULL without memory,
 *	or at a limit.
 */
struct pym_sharer *pym_sharer_fork(struct pym_sharer *parent, struct mm_struct *mm)
{
	struct pym_service_heap *sheap = parent->sheap;
	struct pym_shared *shared = sheap->family->shared;
	struct mem_cgroup *memcg = set_active_memcg(sheap->memcg);
	struct pym_sharer *child;
	bool hidden, is_new;

	mutex_lock(&shared->refs.lock);
	child = sharer_fork_locked(parent, mm);
	hidden = !IS_ERR(child) && child->holder.gone;
	is_new = !IS_ERR(child) && !hidden && !child->mappings++;
	mutex_unlock(&shared->refs.lock);
	set_active_memcg(memcg);
	if (IS_ERR(child))
		return NULL;
	if (is_new)
		trace_join(child);
	if (!hidden)
		return child;
	sharer_leave(child);
	pym_sharer_put(child);
	return NULL;
}

/**
 * pym_sharer_map() - a client has one more mapping
 * @sharer: the client, who has one
 *
 * Context: Sleeps.  Holds the client's mmap_lock for writing.
 */
void pym_sharer_map(struct pym_sharer *sharer)
{
	struct pym_refs *refs = &sharer->sheap->family->shared->refs;

	pym_sharer_get(sharer);
	mutex_lock(&refs->lock);
	sharer->mappings++;
	mutex_unlock(&refs->lock);
}

/**
 * pym_sharer_unmap() - a client has one mapping less; with the last one it goes
 * @sharer: the client
 *
 * Context: Sleeps.  Holds the client's mmap_lock for writing, unless its process has gone.
 */
void pym_sharer_unmap(struct pym_sharer *sharer)
{
	struct pym_service_heap *sheap = sharer->sheap;
	struct pym_shared *shared = sheap->family->shared;
	bool last;
	u64 held;

	mutex_lock(&shared->refs.lock);
	held = sharer->holder.nr;
	last = !--sharer->mappings;
	if (last)
		sharer_hide_locked(shared, sharer);
	mutex_unlock(&shared->refs.lock);
	if (last) {
		sharer_leave(sharer);
		trace_client_leave(sheap->heap.id, sharer->number, pid_nr(sharer->pid), held);
		wake_up_interruptible_poll(&sheap->family->wait, EPOLLERR);
	}
	pym_sharer_put(sharer);
}

/**
 * pym_sharer_caller() - the client that the caller is
 * @shared: the heap's
 *
 * Context: Holds @shared->refs.lock.
 * Return: the client, who stays until the lock is released; or NULL.
 */
struct pym_sharer *pym_sharer_caller(struct pym_shared *shared)
{
	struct pym_sharer *sharer = sharer_find_locked(shared, current->mm);

	if (sharer)
		sharer_note_process(sharer);
	return sharer;
}

/**
 * pym_sharer_find() - the client of a number
 * @shared: the heap's
 * @number: the number
 *
 * Context: Holds @shared->refs.lock.
 * Return: the client, who stays until the lock is released; or NULL.
 */
struct pym_sharer *pym_sharer_find(struct pym_shared *shared, u32 number)
{
	struct pym_sharer *sharer = xa_load(&shared->numbers, number);

	return sharer && !sharer->holder.gone ? sharer : NULL;
}

/**
 * pym_sharer_get() - keep a client's struct
 * @sharer: the client, who cannot go meanwhile
 *
 * Context: Any.
 */
void pym_sharer_get(struct pym_sharer *sharer)
{
	refcount_inc(&sharer->users);
}

/**
 * pym_sharer_put() - the reverse of pym_sharer_get()
 * @sharer: the client
 *
 * Context: Sleeps.
 */
void pym_sharer_put(struct pym_sharer *sharer)
{
	if (refcount_dec_and_test(&sharer->users))
		sharer_free(sharer);
}

/**
 * pym_sharer_has_mail() - has somebody given the caller blocks?
 * @sheap: a heap
 *
 * Context: Sleeps.
 * Return: true if he is a client of this heap, and has not received all of them.
 */
bool pym_sharer_has_mail(struct pym_service_heap *sheap)
{
	struct pym_shared *shared = pym_shared_of(sheap);
	struct pym_sharer *caller;
	bool has;

	if (!shared)
		return false;
	mutex_lock(&shared->refs.lock);
	caller = pym_sharer_caller(shared);
	has = caller && caller->holder.nr_inbox;
	mutex_unlock(&shared->refs.lock);
	return has;
}

/**
 * pym_sharer_begin() - the caller holds what has been allocated for him
 * @sheap: a shared heap
 * @blocks: the objects, of which nobody knows
 * @nr: how many
 * @err: out: why he holds only some: -EPERM (he is no client), -ENOMEM or -EDQUOT
 *
 * Context: Sleeps.
 * Return: how many he holds.
 */
unsigned int pym_sharer_begin(struct pym_service_heap *sheap, const u64 *blocks,
			      unsigned int nr, int *err)
{
	struct pym_shared *shared = sheap->family->shared;
	struct pym_sharer *caller;
	unsigned int done = 0;
	int failed = -EPERM;

	mutex_lock(&shared->refs.lock);
	caller = pym_sharer_caller(shared);
	if (caller)
		failed = pym_holder_begin(&shared->refs, &caller->holder, blocks, nr, &done);
	mutex_unlock(&shared->refs.lock);
	if (failed)
		*err = failed;
	return done;
}

/* Drop as many blocks as may become unneeded at once. */
static void sharer_drop_part(struct pym_shared *shared, const u64 *blocks, unsigned int nr)
{
	struct pym_unneeded unneeded = {};
	struct pym_cursor cursor = {};
	struct pym_sharer *caller;
	unsigned int i;
	u8 status;

	mutex_lock(&shared->refs.lock);
	caller = pym_sharer_caller(shared);
	for (i = 0; caller && i < nr; i++)
		pym_drop(&shared->refs, &caller->holder, blocks[i], &cursor, &unneeded, &status);
	mutex_unlock(&shared->refs.lock);
	pym_unneeded_free(&shared->refs, &unneeded);
}

/**
 * pym_sharer_drop() - the caller does not hold what he will never know
 * @sheap: a shared heap
 * @blocks: objects that he holds
 * @nr: how many
 *
 * Context: Sleeps.
 */
void pym_sharer_drop(struct pym_service_heap *sheap, const u64 *blocks, unsigned int nr)
{
	unsigned int done, part;

	for (done = 0; done < nr; done += part) {
		part = min(nr - done, PYM_UNNEEDED_MAX);
		sharer_drop_part(sheap->family->shared, blocks + done, part);
	}
}

/**
 * pym_sharer_limit() - say how much a client may hold
 * @shared: the heap's
 * @number: the client's; 0 are those that come from now on
 * @max: the most blocks; 0 is no limit
 *
 * Context: Sleeps.
 * Return: 0; or -ESRCH (no such client).
 */
int pym_sharer_limit(struct pym_shared *shared, u32 number, u64 max)
{
	struct pym_sharer *sharer;
	int err = 0;

	mutex_lock(&shared->refs.lock);
	sharer = number ? pym_sharer_find(shared, number) : NULL;
	if (sharer)
		sharer->holder.max = max;
	else if (number)
		err = -ESRCH;
	else
		shared->held_max = max;
	mutex_unlock(&shared->refs.lock);
	return err;
}

static void sharer_describe(const struct pym_sharer *sharer, struct pymalloc_client_info *info)
{
	*info = (struct pymalloc_client_info) {
		.holds = sharer->holder.nr,
		.holds_max = sharer->holder.max,
		.number = sharer->number,
		.flags = sharer->mm == current->mm ? PYMALLOC_CLIENT_SELF : 0,
		.pid = pid_vnr(sharer->pid),
		.uid = from_kuid_munged(current_user_ns(), sharer->uid),
		.inbox = sharer->holder.nr_inbox,
		.mappings = sharer->mappings,
	};
	memcpy(info->comm, sharer->comm, sizeof(info->comm));
}

/**
 * pym_sharer_next() - describe the next client
 * @shared: the heap's
 * @after: a number
 * @info: out: the client with the next larger number
 *
 * Context: Sleeps.
 * Return: its number; 0 if there is none.
 */
u32 pym_sharer_next(struct pym_shared *shared, u32 after, struct pymalloc_client_info *info)
{
	struct pym_sharer *sharer;
	unsigned long number = after;

	mutex_lock(&shared->refs.lock);
	do {
		sharer = xa_find_after(&shared->numbers, &number, U32_MAX, XA_PRESENT);
	} while (sharer && sharer->holder.gone);
	if (sharer)
		sharer_describe(sharer, info);
	mutex_unlock(&shared->refs.lock);
	return sharer ? number : 0;
}
