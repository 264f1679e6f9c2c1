/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who the caller is to a heap.
 */
#ifndef PYM_CLIENT_H
#define PYM_CLIENT_H

#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/sched.h>
#include <linux/types.h>
#include <linux/uidgid.h>

#include "service_heap.h"

struct pym_family;

/**
 * struct pym_handle - what a descriptor knows of a heap
 * @family: its family
 * @id: the heap that the descriptor was made for
 * @keeper: the heap's own process made it.  It keeps the heap, and in each process that
 *	inherits it, it finds that process's own heap
 * @role: what can be done with it, if it is of a shared heap; only grows
 * @shared: that heap, with a reference; else NULL
 */
struct pym_handle {
	struct pym_family *family;
	u64 id;
	bool keeper;
	u8 role;
	struct pym_service_heap *shared;
};

/**
 * enum pym_role - what a descriptor of a shared heap can do
 * @PYM_ROLE_WRITER: all
 * @PYM_ROLE_READER: PYMALLOC_SEAL_READER
 * @PYM_ROLE_OBSERVER: PYMALLOC_SEAL_OBSERVER
 */
enum pym_role {
	PYM_ROLE_WRITER,
	PYM_ROLE_READER,
	PYM_ROLE_OBSERVER,
};

struct pym_service_heap *pym_client_enter(struct file *file);
void pym_client_leave(struct pym_service_heap *sheap);
void pym_client_note_process_slow(struct pym_client *client);
void pym_client_note_death(struct pym_client *client);
void pym_client_change_user(struct pym_service_heap *sheap);

/**
 * pym_client_note_process() - note a client's process when it first uses an inherited heap
 * @client: the client
 *
 * Context: Any process.
 */
static inline void pym_client_note_process(struct pym_client *client)
{
	if (unlikely(!READ_ONCE(client->pid)))
		pym_client_note_process_slow(client);
}

/**
 * pym_client_update_user() - charge a heap to the user that its client is now
 * @sheap: the heap
 *
 * To be called before the caller gets pages for the heap.  Calls of other processes
 * change nothing.
 *
 * Context: Sleeps.  Not under the heap's gate.
 */
static inline void pym_client_update_user(struct pym_service_heap *sheap)
{
	if (current->mm == sheap->client.mm &&
	    unlikely(!uid_eq(current_uid(), READ_ONCE(sheap->ruid))))
		pym_client_change_user(sheap);
}

/* What a descriptor of a shared heap can do. */
static inline enum pym_role pym_client_role(const struct file *file)
{
	const struct pym_handle *handle = file->private_data;

	return READ_ONCE(handle->role);
}

/**
 * pym_client_may_change() - may the caller change a heap through a descriptor?
 * @file: the descriptor
 * @sheap: the heap
 * @client_only: only the client of a private heap may do this
 *
 * Context: Any process.
 * Return: 0, -EBADF (a read-only descriptor) or -EPERM (another process, or a descriptor that
 *	has been sealed).
 */
static inline int pym_client_may_change(const struct file *file,
					const struct pym_service_heap *sheap,
					bool client_only)
{
	if (!(file->f_mode & FMODE_WRITE))
		return -EBADF;
	if (sheap->flags & PYMALLOC_CREATE_SHARED)
		return pym_client_role(file) == PYM_ROLE_WRITER ? 0 : -EPERM;
	return client_only && current->mm != sheap->client.mm ? -EPERM : 0;
}

#endif /* PYM_CLIENT_H */
