// SPDX-License-Identifier: GPL-2.0
/*
 * A heap's descriptor.
 */
#include <linux/anon_inodes.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "client.h"
#include "dead.h"
#include "family.h"
#include "heapfd.h"
#include "heapfs.h"
#include "ioctl.h"
#include "ioctl_cache.h"
#include "ioctl_control.h"
#include "ioctl_inspect.h"
#include "ioctl_object.h"
#include "ioctl_refs.h"
#include "ioctl_sites.h"
#include "ioctl_types.h"
#include "service_heap.h"
#include "shared_window.h"
#include "sharer.h"
#include "stream.h"
#include "window.h"

/* A shared heap stays as long as it has a descriptor, whoever has that. */
static struct pym_service_heap *handle_keep(struct pym_service_heap *sheap)
{
	if (!(sheap->flags & PYMALLOC_CREATE_SHARED))
		return NULL;
	kref_get(&sheap->ref);
	return sheap;
}

/* Does the family stay with the caller's descriptors? */
static bool handle_keeps_family(const struct pym_service_heap *sheap)
{
	return current->mm == sheap->client.mm || sheap->flags & PYMALLOC_CREATE_SHARED;
}

static struct pym_handle *handle_new(struct pym_service_heap *sheap, bool keeper, bool read_only)
{
	struct pym_handle *handle = kzalloc(sizeof(*handle), GFP_KERNEL_ACCOUNT);

	if (!handle)
		return NULL;
	handle->id = sheap->heap.id;
	handle->keeper = keeper;
	handle->role = read_only ? PYM_ROLE_READER : PYM_ROLE_WRITER;
	handle->shared = handle_keep(sheap);
	handle->family = pym_family_get(sheap->family);
	if (keeper)
		atomic_inc(&handle->family->keepers);
	return handle;
}

static void handle_free(struct pym_handle *handle)
{
	if (handle->keeper)
		pym_family_lose_keeper(handle->family);
	if (handle->shared)
		pym_service_put(handle->shared);
	pym_family_put(handle->family);
	kfree(handle);
}

static const struct pym_command heap_commands[] = {
	PYM_COMMAND(LIST, list, reserved, pym_list_ioctl,
		    .reserved = offsetof(struct pymalloc_list, reserved),
		    .reset = pym_list_reset),
	PYM_COMMAND(ALLOC, alloc, done, pym_alloc_ioctl, .right = PYM_CLIENT, .unsealed = true,
		    .flags = PYM_ALLOC_FLAGS, .reset = pym_alloc_reset),
	PYM_COMMAND(FREE, free, first_bad, pym_free_ioctl, .right = PYM_CLIENT, .unsealed = true,
		    .reset = pym_free_reset, .private = true),
	PYM_COMMAND(USABLE, usable, done, pym_usable_ioctl, .reset = pym_usable_reset),
	PYM_COMMAND(RESIZE, resize, size, pym_resize_ioctl, .right = PYM_CLIENT,
		    .unsealed = true, .private = true),
	PYM_COMMAND(STATS, stats, cache_bytes_max, pym_stats_ioctl),
	PYM_COMMAND(WALK, walk, reserved, pym_walk_ioctl, .flags = PYM_NO_FLAGS,
		    .reserved = offsetof(struct pymalloc_walk, reserved),
		    .reset = pym_walk_reset),
	PYM_COMMAND(TRIM, trim, released, pym_trim_ioctl, .right = PYM_WRITER,
		    .reset = pym_trim_reset),
	PYM_COMMAND(CHECK, check, message, pym_check_ioctl),
	PYM_COMMAND(NOTIFY, notify, threshold, pym_notify_ioctl, .right = PYM_CLIENT),
	PYM_COMMAND(CACHES, caches, bytes_max, pym_caches_ioctl, .right = PYM_CLIENT,
		    .private = true),
	PYM_COMMAND(END, end, flags, pym_end_ioctl, .right = PYM_CLIENT,
		    .unsealed = true),
	PYM_COMMAND(CACHE, cache, block_bytes, pym_cache_ioctl, .right = PYM_CLIENT,
		    .flags = PYMALLOC_STEAL_ALL, .reset = pym_cache_reset, .private = true),
	PYM_COMMAND(GROW, grow, extent, pym_grow_ioctl, .right = PYM_CLIENT,
		    .unsealed = true),
	PYM_COMMAND(COMPACT, compact, blocks_taken, pym_compact_ioctl, .right = PYM_WRITER,
		    .flags = PYM_COMPACT_ALL, .reset = pym_compact_reset),
	PYM_COMMAND(TRACE, trace, mark, pym_trace_ioctl,
		    .flags = PYMALLOC_TRACE_SET | PYMALLOC_TRACE_BEGUN |
			     PYMALLOC_TRACE_IDLE | PYMALLOC_TRACE_NO_IDLE),
	PYM_COMMAND(SITES, sites, done, pym_sites_ioctl,
		    .reserved = offsetof(struct pymalloc_sites, reserved),
		    .reset = pym_sites_reset),
	PYM_COMMAND(SEAL, seal, flags, pym_seal_ioctl,
		    .flags = PYMALLOC_SEAL_READER | PYMALLOC_SEAL_OBSERVER),
	PYM_COMMAND(TYPES, types, reserved, pym_types_ioctl,
		    .reserved = offsetof(struct pymalloc_types, reserved),
		    .reset = pym_types_reset),
	PYM_COMMAND(HOLDS, holds, first_bad, pym_holds_ioctl, .flags = PYMALLOC_HOLDS_KEEP,
		    .reset = pym_holds_reset),
	PYM_COMMAND(ROOTS, roots, name, pym_roots_ioctl,
		    .reserved = offsetof(struct pymalloc_roots, reserved)),
	PYM_COMMAND(CLIENTS, clients, reserved, pym_clients_ioctl,
		    .reserved = offsetof(struct pymalloc_clients, reserved),
		    .reset = pym_clients_reset),
	PYM_COMMAND(POLICY, policy, keep_bytes, pym_policy_ioctl,
		    .flags = PYMALLOC_POLICY_SET | PYMALLOC_POLICY_RESET),
};

static long heap_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct pym_service_heap *sheap = pym_client_enter(file);
	long result;

	if (IS_ERR(sheap))
		return PTR_ERR(sheap);
	atomic64_inc(&sheap->nr_calls);
	result = pym_command_run(file, sheap, heap_commands, ARRAY_SIZE(heap_commands),
				 cmd, (void __user *)arg);
	pym_client_leave(sheap);
	return result;
}

static __poll_t heap_poll(struct file *file, poll_table *wait)
{
	struct pym_handle *handle = file->private_data;
	struct pym_service_heap *sheap;
	__poll_t events = 0;

	poll_wait(file, &handle->family->wait, wait);
	sheap = pym_client_enter(file);
	if (IS_ERR(sheap))
		return PTR_ERR(sheap) == -ESTALE ? EPOLLHUP : EPOLLERR;
	if (pym_service_is_large(sheap))
		events |= EPOLLPRI;
	if (pym_sharer_has_mail(sheap))
		events |= EPOLLIN;
	pym_client_leave(sheap);
	return events;
}

static void heap_show_fdinfo(struct seq_file *m, struct file *file)
{
	struct pym_handle *handle = file->private_data;

	seq_printf(m, "pymalloc-heap:\t%llu\n", handle->id);
}

/*
 * A descriptor is closed, maybe because a process ends.  A process's address space goes
 * before its descriptors: if the heap's own process has died, the heap can end now.
 */
static int heap_flush(struct file *file, fl_owner_t id)
{
	struct pym_handle *handle = file->private_data;

	pym_family_bury(handle->family);
	return 0;
}

static int heap_release(struct inode *inode, struct file *file)
{
	handle_free(file->private_data);
	return 0;
}

/*
 * What a client of a shared heap reads is what others have given it; in a private heap read()
 * allocates, and write() frees.
 */
static ssize_t heap_read(struct file *file, char __user *buffer, size_t bytes, loff_t *pos)
{
	struct pym_handle *handle = file->private_data;

	return handle->shared ? pym_inbox_read(file, handle->shared, buffer, bytes) :
				pym_stream_read(file, buffer, bytes, pos);
}

static ssize_t heap_write(struct file *file, const char __user *buffer, size_t bytes,
			  loff_t *pos)
{
	struct pym_handle *handle = file->private_data;

	return handle->shared ? -EPERM : pym_stream_write(file, buffer, bytes, pos);
}

static int heap_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct pym_handle *handle = file->private_data;
	enum pym_role role = pym_client_role(file);

	if (!handle->shared)
		return pym_window_mmap(file, vma);
	if (READ_ONCE(handle->shared->ended))
		return -ESTALE;
	if (role == PYM_ROLE_OBSERVER)
		return -EACCES;
	return pym_shared_mmap(handle->shared, vma, role == PYM_ROLE_WRITER);
}

static const struct file_operations heap_fops = {
	.owner		= THIS_MODULE,
	.unlocked_ioctl	= heap_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.read		= heap_read,
	.write		= heap_write,
	.mmap		= heap_mmap,
	.poll		= heap_poll,
	.show_fdinfo	= heap_show_fdinfo,
	.flush		= heap_flush,
	.release	= heap_release,
};

/*
 * What /proc/PID/maps and links of descriptors show, followed by " (deleted)", as for a
 * memfd.  gdb's gcore needs that: by the end of the name it knows that a mapping of a
 * file is memory.
 */
static void file_name(const struct pym_service_heap *sheap, char *name, size_t size)
{
	snprintf(name, size, "pymalloc%s%s", *sheap->name ? ":" : "", sheap->name);
}

/**
 * pym_heapfd_open() - a new descriptor of a heap
 * @sheap: the heap
 * @read_only: the descriptor can change nothing
 *
 * The descriptor does not keep the heap, unless it is one of those that the heap's
 * own process opens: with the last of them a heap that is not mapped ends.
 *
 * Context: Sleeps.
 * Return: the file or an error pointer.
 */
struct file *pym_heapfd_open(struct pym_service_heap *sheap, bool read_only)
{
	struct pym_handle *handle = handle_new(sheap, handle_keeps_family(sheap), read_only);
	char name[sizeof("pymalloc:") + PYMALLOC_NAME_LEN];
	struct file *file;

	if (!handle)
		return ERR_PTR(-ENOMEM);
	file_name(sheap, name, sizeof(name));
	file = pym_heapfs_open(sheap->family->inode, name, &heap_fops, read_only);
	if (IS_ERR(file))
		handle_free(handle);
	else
		file->private_data = handle;
	return file;
}

/* The number of the dead heap that a descriptor is of. */
static u64 dead_id(const struct file *file)
{
	return (unsigned long)file->private_data;
}

/* The commands are those of a living heap.  The descriptor is read-only. */
static long dead_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct pym_service_heap *sheap = pym_dead_find(dead_id(file));
	long result;

	if (!sheap)
		return -ESTALE;
	result = pym_command_run(file, sheap, heap_commands, ARRAY_SIZE(heap_commands),
				 cmd, (void __user *)arg);
	pym_dead_put(sheap->dead);
	return result;
}

static __poll_t dead_poll(struct file *file, poll_table *wait)
{
	return EPOLLHUP;
}

static void dead_show_fdinfo(struct seq_file *m, struct file *file)
{
	seq_printf(m, "pymalloc-heap:\t%llu\n", dead_id(file));
}

static const struct file_operations dead_fops = {
	.owner		= THIS_MODULE,
	.unlocked_ioctl	= dead_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.poll		= dead_poll,
	.show_fdinfo	= dead_show_fdinfo,
};

/**
 * pym_heapfd_open_dead() - a read-only descriptor of a dead heap
 * @id: the heap's number
 *
 * The descriptor does not keep the heap.
 *
 * Context: Sleeps.
 * Return: the file or an error pointer.
 */
struct file *pym_heapfd_open_dead(u64 id)
{
	return anon_inode_getfile("[pymalloc:dead]", &dead_fops, (void *)(unsigned long)id,
				  O_RDONLY);
}
