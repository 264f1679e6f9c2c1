// SPDX-License-Identifier: GPL-2.0
/*
 * A heap's descriptor.
 */
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "service.h"

/* Another process's heap. */
static struct pym_service_heap *find_other(const struct pym_handle *handle)
{
	struct pym_service_heap *sheap = pym_registry_find(handle->id);

	if (!sheap)
		return ERR_PTR(-ESTALE);
	if (!handle->keeper || pym_may_look(sheap))
		return sheap;
	pym_service_leave(sheap);
	return ERR_PTR(-EPERM);
}

/**
 * pym_heap_enter() - the heap that a descriptor is to the caller
 * @file: the descriptor
 *
 * A child of fork() that has inherited the heap has a heap of its own behind
 * the same descriptor; to everybody else it is the heap it was made for.  Who has
 * come by a descriptor of the heap's own process (a child that has become another
 * user and does not map the heap) must be one who may open it: his looks would be at
 * another's memory, and he could keep the process waiting.
 *
 * Return: the heap, with a reference; or -ESTALE (it has ended) or -EPERM.
 */
struct pym_service_heap *pym_heap_enter(struct file *file)
{
	struct pym_handle *handle = file->private_data;
	struct pym_service_heap *own = NULL;

	if (handle->keeper)
		own = pym_family_enter(handle->family, current->mm);
	if (!own)
		return find_other(handle);
	if (READ_ONCE(own->ended)) {
		pym_service_put(own);
		return ERR_PTR(-ESTALE);
	}
	pym_service_meet(own);
	pym_service_follow(own);
	return own;
}

/**
 * pym_may_change() - may the caller change a heap through a descriptor?
 * @call: what he calls
 * @client_only: only the heap's own process may do this
 *
 * Return: 0, -EBADF (a read-only descriptor) or -EPERM (another process).
 */
int pym_may_change(const struct pym_call *call, bool client_only)
{
	if (!(call->file->f_mode & FMODE_WRITE))
		return -EBADF;
	return client_only && current->mm != call->sheap->mm ? -EPERM : 0;
}

static int trim_ioctl(struct pym_call *call)
{
	struct pym_service_heap *sheap = call->sheap;
	struct pymalloc_trim *trim = &call->args.trim;
	int err;

	err = pym_may_change(call, false);
	if (err)
		return err;
	if (trim->flags)
		return -EINVAL;
	trim->released = pym_trim(&sheap->heap);
	return fatal_signal_pending(current) ? -EINTR : 0;
}

static bool is_above_threshold(struct pym_heap *heap)
{
	u64 threshold = READ_ONCE(heap->threshold);

	return threshold && READ_ONCE(heap->pages) << PYM_POOL_SHIFT >= threshold;
}

static int notify_ioctl(struct pym_call *call)
{
	struct pym_service_heap *sheap = call->sheap;
	struct pymalloc_notify *notify = &call->args.notify;
	int err;

	err = pym_may_change(call, true);
	if (err)
		return err;
	if (notify->flags)
		return -EINVAL;
	WRITE_ONCE(sheap->heap.threshold, notify->threshold);
	if (is_above_threshold(&sheap->heap))
		sheap->heap.ops->grown(&sheap->heap);
	return 0;
}

static int caches_ioctl(struct pym_call *call)
{
	struct pym_service_heap *sheap = call->sheap;
	struct pymalloc_caches *caches = &call->args.caches;
	int err;

	err = pym_may_change(call, true);
	if (err)
		return err;
	if (caches->flags)
		return -EINVAL;
	WRITE_ONCE(sheap->cache_threads, caches->threads);
	WRITE_ONCE(sheap->cache_bytes_max, caches->bytes_max);
	return 0;
}

static int grow_ioctl(struct pym_call *call)
{
	struct pymalloc_grow *grow = &call->args.grow;
	int err;

	err = pym_may_change(call, true);
	if (err)
		return err;
	if (grow->flags || grow->extent % PYMALLOC_ARENA_SIZE)
		return -EINVAL;
	return pym_heap_grow(&call->sheap->heap, grow->extent);
}

static int end_ioctl(struct pym_call *call)
{
	int err;

	err = pym_may_change(call, true);
	if (err)
		return err;
	if (call->args.end.flags)
		return -EINVAL;
	pym_service_end(call->sheap);
	return 0;
}

static int list_ioctl(struct pym_call *call)
{
	struct pym_service_heap *sheap = call->sheap;
	struct pymalloc_list *list = &call->args.list;
	int err;

	list->done = 0;
	err = pym_list_check(list);
	if (err || !list->count || list->after >= sheap->heap.id)
		return err;
	return pym_list_entry(list, sheap);
}

static const struct pym_command heap_commands[] = {
	PYM_COMMAND(PYMALLOC_IOC_ALLOC, pymalloc_alloc, done, pym_alloc_ioctl),
	PYM_COMMAND(PYMALLOC_IOC_FREE, pymalloc_free, first_bad, pym_free_ioctl),
	PYM_COMMAND(PYMALLOC_IOC_USABLE, pymalloc_usable, done, pym_usable_ioctl),
	PYM_COMMAND(PYMALLOC_IOC_RESIZE, pymalloc_resize, size, pym_resize_ioctl),
	PYM_COMMAND(PYMALLOC_IOC_STATS, pymalloc_stats, cache_bytes_max, pym_stats_ioctl),
	PYM_COMMAND(PYMALLOC_IOC_WALK, pymalloc_walk, reserved, pym_walk_ioctl),
	PYM_COMMAND(PYMALLOC_IOC_TRIM, pymalloc_trim, released, trim_ioctl),
	PYM_COMMAND(PYMALLOC_IOC_CHECK, pymalloc_check, message, pym_check_ioctl),
	PYM_COMMAND(PYMALLOC_IOC_NOTIFY, pymalloc_notify, threshold, notify_ioctl),
	PYM_COMMAND(PYMALLOC_IOC_CACHES, pymalloc_caches, bytes_max, caches_ioctl),
	PYM_COMMAND(PYMALLOC_IOC_LIST, pymalloc_list, reserved, list_ioctl),
	PYM_COMMAND(PYMALLOC_IOC_END, pymalloc_end, flags, end_ioctl),
	PYM_COMMAND(PYMALLOC_IOC_GROW, pymalloc_grow, extent, grow_ioctl),
};

static long heap_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct pym_service_heap *sheap = pym_heap_enter(file);
	long result;

	if (IS_ERR(sheap))
		return PTR_ERR(sheap);
	atomic64_inc(&sheap->nr_calls);
	result = pym_command_run(file, sheap, heap_commands, ARRAY_SIZE(heap_commands),
				 cmd, (void __user *)arg);
	pym_service_leave(sheap);
	return result;
}

static __poll_t heap_poll(struct file *file, poll_table *wait)
{
	struct pym_handle *handle = file->private_data;
	struct pym_service_heap *sheap;
	bool above;

	poll_wait(file, &handle->family->wait, wait);
	sheap = pym_heap_enter(file);
	if (IS_ERR(sheap))
		return PTR_ERR(sheap) == -ESTALE ? EPOLLHUP : EPOLLERR;
	above = is_above_threshold(&sheap->heap);
	pym_service_leave(sheap);
	return above ? EPOLLPRI : 0;
}

static void heap_show_fdinfo(struct seq_file *m, struct file *file)
{
	struct pym_handle *handle = file->private_data;

	seq_printf(m, "pymalloc-heap:\t%llu\n", handle->id);
}

/* Who closes it may be the heap's process, at its end, or another one after that. */
static int heap_flush(struct file *file, fl_owner_t id)
{
	struct pym_handle *handle = file->private_data;

	pym_family_bury(handle->family);
	return 0;
}

static int heap_release(struct inode *inode, struct file *file)
{
	struct pym_handle *handle = file->private_data;

	if (handle->keeper)
		pym_family_lose_keeper(handle->family);
	pym_family_put(handle->family);
	kfree(handle);
	return 0;
}

const struct file_operations pym_heap_fops = {
	.owner		= THIS_MODULE,
	.unlocked_ioctl	= heap_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.read		= pym_stream_read,
	.write		= pym_stream_write,
	.mmap		= pym_window_mmap,
	.poll		= heap_poll,
	.show_fdinfo	= heap_show_fdinfo,
	.flush		= heap_flush,
	.release	= heap_release,
};
