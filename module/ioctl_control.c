// SPDX-License-Identifier: GPL-2.0
/*
 * The ioctls that control a heap: trim it, report its size, note its caches, let it
 * grow, end it.
 */
#include <linux/err.h>
#include <linux/sched/signal.h>

#include "cache.h"
#include "ioctl.h"
#include "ioctl_control.h"
#include "owner.h"
#include "service_heap.h"

/**
 * pym_trim_ioctl() - PYMALLOC_IOC_TRIM: give empty pools back
 * @call: the call, with a struct pymalloc_trim
 *
 * Return: 0 or an error, as the interface says.
 */
int pym_trim_ioctl(struct pym_call *call)
{
	struct pym_service_heap *sheap = call->sheap;
	struct pymalloc_trim *trim = &call->args.trim;

	trim->released = pym_trim(&sheap->heap);
	return fatal_signal_pending(current) ? -EINTR : 0;
}

/**
 * pym_notify_ioctl() - PYMALLOC_IOC_NOTIFY: say when the heap is large
 * @call: the call, with a struct pymalloc_notify
 *
 * Return: 0 or an error, as the interface says.
 */
int pym_notify_ioctl(struct pym_call *call)
{
	struct pym_service_heap *sheap = call->sheap;
	struct pymalloc_notify *notify = &call->args.notify;

	WRITE_ONCE(sheap->heap.threshold, notify->threshold);
	if (pym_service_is_large(sheap))
		sheap->heap.ops->threshold_passed(&sheap->heap);
	return 0;
}

/**
 * pym_caches_ioctl() - PYMALLOC_IOC_CACHES: note what threads keep
 * @call: the call, with a struct pymalloc_caches
 *
 * Return: 0 or an error, as the interface says.
 */
int pym_caches_ioctl(struct pym_call *call)
{
	struct pymalloc_caches *told = &call->args.caches;
	struct pym_caches *caches = pym_caches_get(call->sheap);

	if (IS_ERR(caches))
		return PTR_ERR(caches);
	WRITE_ONCE(caches->threads, told->threads);
	WRITE_ONCE(caches->bytes_max, told->bytes_max);
	return 0;
}

/**
 * pym_grow_ioctl() - PYMALLOC_IOC_GROW: let objects lie in more of the window
 * @call: the call, with a struct pymalloc_grow
 *
 * Return: 0 or an error, as the interface says.
 */
int pym_grow_ioctl(struct pym_call *call)
{
	struct pymalloc_grow *grow = &call->args.grow;

	if (grow->extent % PYMALLOC_ARENA_SIZE)
		return -EINVAL;
	return pym_heap_grow(&call->sheap->heap, grow->extent);
}

/**
 * pym_end_ioctl() - PYMALLOC_IOC_END: end the heap
 * @call: the call, with a struct pymalloc_end
 *
 * Return: 0 or an error, as the interface says.
 */
int pym_end_ioctl(struct pym_call *call)
{
	pym_service_end(call->sheap);
	return 0;
}
