// SPDX-License-Identifier: GPL-2.0
/*
 * Who the caller is to a heap: its process, a relative's process, or another one.
 */
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/sched/signal.h>

#include "access.h"
#include "client.h"
#include "family.h"
#include "registry.h"
#include "service_heap.h"
#include "user.h"

/**
 * pym_client_note_process_slow() - the caller may be the process of an inherited heap
 * @client: the client
 *
 * fork() makes the heap before the child's address space belongs to a process.
 *
 * Context: Any process; others than the client's are ignored.
 */
void pym_client_note_process_slow(struct pym_client *client)
{
	struct pid *pid;

	if (current->mm != client->mm)
		return;
	pid = get_pid(task_tgid(current));
	if (cmpxchg(&client->pid, NULL, pid))
		put_pid(pid);
}

/* How a process that is ending, the caller, ends. */
static void client_note_status(struct pym_client *client)
{
	const struct signal_struct *signal = current->signal;
	int status = signal->flags & SIGNAL_GROUP_EXIT ? signal->group_exit_code :
							 current->exit_code;

	client->death = status & 0x7f ? PYMALLOC_DIED_SIGNAL : PYMALLOC_DIED_EXIT;
	client->death_code = status & 0x7f ?: status >> 8 & 0xff;
}

/*
 * Is the caller exiting, and the client's process?  If that is not known, it is when the
 * caller still has its descriptors: until these go, it drops no address space but its own.
 */
static bool client_is_exiting(const struct pym_client *client)
{
	if (!(current->flags & PF_EXITING) || current->mm)
		return false;
	return client->pid ? client->pid == task_tgid(current) : !!current->files;
}

/**
 * pym_client_note_death() - a client's address space has no users any more
 * @client: the client
 *
 * Its process may be the caller, and may not be found later.
 *
 * Context: Any process.  Nobody else calls it for this client at the same time.
 */
void pym_client_note_death(struct pym_client *client)
{
	if (client->death || current->flags & PF_KTHREAD)
		return;
	if (client_is_exiting(client)) {
		if (!client->pid)
			client->pid = get_pid(task_tgid(current));
		client->cred = get_current_cred();
		client_note_status(client);
	} else if (!(current->flags & PF_EXITING) && current->mm != client->mm &&
		   (!client->pid || client->pid == task_tgid(current))) {
		client->death = PYM_DIED_EXEC;
	}
}

static void client_move_to_user_locked(struct pym_service_heap *sheap, struct pym_user *user)
{
	struct pym_user *old = sheap->user;

	lockdep_assert_held(&sheap->user_lock);
	pym_heap_change_user(&sheap->heap, &user->quota);
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
 * pym_client_change_user() - charge a heap to the user that its client has become
 * @sheap: the heap, of the caller
 *
 * Without memory nothing changes: then the next call does it.
 *
 * Context: Sleeps.  Not under the heap's gate.
 */
void pym_client_change_user(struct pym_service_heap *sheap)
{
	struct pym_user *user;

	mutex_lock(&sheap->user_lock);
	user = pym_user_get(current_euid());
	if (user && !uid_eq(current_uid(), sheap->ruid))
		client_move_to_user_locked(sheap, user);
	else if (user)
		pym_user_put(user);
	mutex_unlock(&sheap->user_lock);
}

/**
 * pym_client_leave() - drop the reference of a call that has used a heap
 * @sheap: the heap
 *
 * If this was the last reference and the caller is not the heap's process, a worker
 * ends the heap: that takes long, and should not be the work of a process that only
 * looked.
 *
 * Context: Sleeps.  Not with an mmap_lock held.
 */
void pym_client_leave(struct pym_service_heap *sheap)
{
	if (current->mm == sheap->client.mm)
		pym_service_put(sheap);
	else
		pym_service_put_later(sheap);
}

/* The heap of another process, if the caller may look at it. */
static struct pym_service_heap *client_find_other(const struct pym_handle *handle)
{
	struct pym_service_heap *sheap = pym_registry_find(handle->id);

	if (!sheap)
		return ERR_PTR(-ESTALE);
	if (!handle->keeper || pym_may_look(sheap))
		return sheap;
	pym_client_leave(sheap);
	return ERR_PTR(-EPERM);
}

/* A shared heap, which a descriptor keeps. */
static struct pym_service_heap *client_enter_shared(struct pym_service_heap *sheap)
{
	if (READ_ONCE(sheap->ended))
		return ERR_PTR(-ESTALE);
	kref_get(&sheap->ref);
	return sheap;
}

/**
 * pym_client_enter() - the heap that a descriptor is to the caller
 * @file: the descriptor
 *
 * A child of fork() that has inherited the heap has a heap of its own behind the
 * same descriptor; for all other callers it is the heap it was made for.
 *
 * A process may have a descriptor of another process's heap without the right to look
 * at it: a child that has become another user, and does not map the heap.  It would
 * see another user's memory, and could keep the heap's process waiting.  So it needs
 * the right to open the heap as well.  A descriptor of a shared heap is that right.
 *
 * Context: Sleeps.
 * Return: the heap, with a reference; or -ESTALE (it has ended) or -EPERM.
 */
struct pym_service_heap *pym_client_enter(struct file *file)
{
	struct pym_handle *handle = file->private_data;
	struct pym_service_heap *own = NULL;

	if (handle->shared)
		return client_enter_shared(handle->shared);
	if (handle->keeper)
		own = pym_family_enter(handle->family, current->mm);
	if (!own)
		return client_find_other(handle);
	if (READ_ONCE(own->ended)) {
		pym_service_put(own);
		return ERR_PTR(-ESTALE);
	}
	pym_client_note_process(&own->client);
	pym_client_update_user(own);
	return own;
}
