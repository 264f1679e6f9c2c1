// SPDX-License-Identifier: GPL-2.0
/*
 * Who may look at another process's heap, and how a heap is shown.
 *
 * A heap is a part of its process's memory, and its shape tells of what the process
 * does.  So the rule is that of /proc/PID/maps: ptrace_may_access() with
 * PTRACE_MODE_READ_FSCREDS.  Modules can call neither that nor the security hook in
 * it.  So the same checks are made here, in the same order, with that of the
 * capabilities' hook; only those of further security modules (SELinux, AppArmor) are
 * missing.
 */
#include <linux/cred.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/sched/coredump.h>
#include <linux/string_helpers.h>
#include <linux/user_namespace.h>

#include "access.h"
#include "service_heap.h"

/*
 * Under RCU: the process of an address space, or NULL.  A child that has not used its
 * heap yet is known by that alone.
 */
static struct task_struct *access_mm_task(const struct mm_struct *mm)
{
#ifdef CONFIG_MEMCG
	return rcu_dereference(mm->owner);
#else
	return NULL;
#endif
}

/* Under RCU: the process that a heap belongs to, or NULL. */
static struct task_struct *access_client_task(const struct pym_service_heap *sheap)
{
	struct pid *pid = READ_ONCE(sheap->client.pid);

	return pid ? pid_task(pid, PIDTYPE_TGID) : access_mm_task(sheap->client.mm);
}

static bool access_is_same_user(const struct cred *cred, const struct cred *theirs)
{
	return uid_eq(cred->fsuid, theirs->euid) && uid_eq(cred->fsuid, theirs->suid) &&
	       uid_eq(cred->fsuid, theirs->uid) && gid_eq(cred->fsgid, theirs->egid) &&
	       gid_eq(cred->fsgid, theirs->sgid) && gid_eq(cred->fsgid, theirs->gid);
}

/* As cap_ptrace_access_check() has it. */
static bool access_has_no_more_caps(const struct cred *theirs, const struct cred *cred)
{
	return theirs->user_ns == cred->user_ns &&
	       cap_issubset(theirs->cap_permitted, cred->cap_effective);
}

static bool access_has_rights_of(const struct cred *theirs)
{
	const struct cred *cred = current_cred();

	return (access_is_same_user(cred, theirs) && access_has_no_more_caps(theirs, cred)) ||
	       ns_capable(theirs->user_ns, CAP_SYS_PTRACE);
}

static bool access_is_readable(const struct mm_struct *mm)
{
	return get_dumpable((struct mm_struct *)mm) == SUID_DUMP_USER;
}

/* Under RCU. */
static bool access_may_look_at(const struct task_struct *task, struct mm_struct *mm)
{
	if (!access_has_rights_of(__task_cred(task)))
		return false;
	/*
	 * A process that drops privileges becomes not dumpable before it gets its new
	 * credentials.  So credentials are read before dumpable.  Pairs with the
	 * smp_wmb() in commit_creds().
	 */
	smp_rmb();
	return access_is_readable(mm) || ns_capable(mm->user_ns, CAP_SYS_PTRACE);
}

/**
 * pym_may_look() - may the caller see a heap's memory, and its shape?
 * @sheap: the heap
 *
 * Return: true for its own process; for one of the same user and group in every
 *	respect, and with all its capabilities, if the heap's process has not made
 *	itself unreadable (PR_SET_DUMPABLE, a setuid program, a change of user); and
 *	for CAP_SYS_PTRACE.  A shared heap may be seen by whoever may list it.
 */
bool pym_may_look(const struct pym_service_heap *sheap)
{
	struct task_struct *task;
	bool may;

	if (current->mm == sheap->client.mm)
		return true;
	if (sheap->flags & PYMALLOC_CREATE_SHARED)
		return pym_may_list(sheap);
	rcu_read_lock();
	task = access_client_task(sheap);
	if (task)
		may = access_may_look_at(task, sheap->client.mm);
	else
		may = ns_capable(sheap->client.mm->user_ns, CAP_SYS_PTRACE);
	rcu_read_unlock();
	return may;
}

/**
 * pym_access_bury() - note who may look at a heap when it is dead
 * @sheap: the heap, whose process has ended
 *
 * Context: Sleeps.
 */
void pym_access_bury(struct pym_service_heap *sheap)
{
	struct pym_client *client = &sheap->client;
	struct task_struct *task;

	/* Nobody has seen the process end; it may not have been waited for yet. */
	if (!client->cred) {
		rcu_read_lock();
		task = access_client_task(sheap);
		if (task)
			client->cred = get_cred(__task_cred(task));
		rcu_read_unlock();
	}
	sheap->readable = access_is_readable(client->mm);
	sheap->user_ns = get_user_ns(client->mm->user_ns);
}

/**
 * pym_may_look_at_dead() - may the caller see what is kept of a dead heap?
 * @sheap: the heap
 *
 * Return: true if the caller could see the heap's memory until its process ended, but for
 *	that process itself.  If that process's rights are not known, true for
 *	CAP_SYS_PTRACE alone.
 */
bool pym_may_look_at_dead(const struct pym_service_heap *sheap)
{
	const struct cred *theirs = sheap->client.cred;

	if (theirs && sheap->readable)
		return access_has_rights_of(theirs);
	return (!theirs || access_has_rights_of(theirs)) &&
	       ns_capable(sheap->user_ns, CAP_SYS_PTRACE);
}

/**
 * pym_may_list() - may the caller know of a heap, and how large it is?
 * @sheap: the heap
 *
 * /proc shows as much of any process to all users.
 *
 * Return: true for the user that it is charged to, and for CAP_SYS_ADMIN.
 */
bool pym_may_list(const struct pym_service_heap *sheap)
{
	return uid_eq(READ_ONCE(sheap->uid), current_euid()) || capable(CAP_SYS_ADMIN);
}

/**
 * pym_show_comm() - a command's name as it can be printed
 * @shown: out: printable ASCII; what is not is escaped as in C
 * @comm: the name: any bytes, because a process can set its own
 */
void pym_show_comm(char shown[PYM_SHOWN_COMM], const char *comm)
{
	int bytes = string_escape_mem(comm, strnlen(comm, TASK_COMM_LEN), shown,
				      PYM_SHOWN_COMM - 1,
				      ESCAPE_ANY | ESCAPE_NAP | ESCAPE_APPEND, "\\\"");

	shown[min(bytes, PYM_SHOWN_COMM - 1)] = 0;
}

/* The number of a heap's process as the caller sees it, also after its death. */
static pid_t access_client_pid(const struct pym_service_heap *sheap)
{
	struct pid *pid = READ_ONCE(sheap->client.pid);
	struct task_struct *task;
	pid_t number;

	if (pid)
		return pid_vnr(pid);
	if (sheap->dead)
		return 0;
	rcu_read_lock();
	task = access_mm_task(sheap->client.mm);
	number = task ? task_tgid_vnr(task) : 0;
	rcu_read_unlock();
	return number;
}

/**
 * pym_show_heap() - describe a heap as the caller sees it
 * @sheap: the heap
 * @info: out: the description
 *
 * Context: Sleeps.
 * Return: 0, -EINTR (the caller is being killed) or -ESTALE (the heap is ending).
 */
int pym_show_heap(struct pym_service_heap *sheap, struct pymalloc_heap_info *info)
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
		.flags = sheap->flags | (READ_ONCE(sheap->heap.sealed) ? PYMALLOC_SEALED : 0),
		.uid = from_kuid_munged(current_user_ns(), READ_ONCE(sheap->uid)),
		.pid = access_client_pid(sheap),
		.meta_bytes = stats.meta_bytes,
		.died = sheap->died,
	};
	if (sheap->dead) {
		info->death = sheap->client.death;
		info->death_code = sheap->client.death_code;
	}
	memcpy(info->comm, sheap->client.comm, sizeof(info->comm));
	memcpy(info->name, sheap->name, sizeof(info->name));
	return pym_pages_shared(&sheap->heap, &info->shared_bytes, &info->pss_bytes);
}
