// SPDX-License-Identifier: GPL-2.0
/*
 * The ioctls that control a heap: trim and compact it, say how it gives memory back,
 * report its size, note its caches, let it grow, end it.
 */
#include <linux/err.h>
#include <linux/sched/signal.h>

#include "cache.h"
#include "client.h"
#include "ioctl.h"
#include "ioctl_control.h"
#include "owner.h"
#include "params.h"
#include "reclaim.h"
#include "seal.h"
#include "service_heap.h"
#include "upkeep.h"

#define POLICY_OFF_ALL	(PYMALLOC_POLICY_NO_DECAY | PYMALLOC_POLICY_NO_STEAL | \
			 PYMALLOC_POLICY_NO_MESH)

/**
 * pym_trim_reset() - say of a PYMALLOC_IOC_TRIM that nothing is done
 * @call: the call, with a struct pymalloc_trim
 *
 * Context: Any.
 */
void pym_trim_reset(struct pym_call *call)
{
	call->args.trim.released = 0;
}

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
 * pym_compact_reset() - say of a PYMALLOC_IOC_COMPACT that nothing is done
 * @call: the call, with a struct pymalloc_compact
 *
 * Context: Any.
 */
void pym_compact_reset(struct pym_call *call)
{
	struct pymalloc_compact *compact = &call->args.compact;

	*compact = (struct pymalloc_compact) {
		.argsz = compact->argsz,
		.flags = compact->flags,
	};
}

/**
 * pym_compact_ioctl() - PYMALLOC_IOC_COMPACT: give back all that can be
 * @call: the call, with a struct pymalloc_compact
 *
 * Return: 0 or an error, as the interface says.
 */
int pym_compact_ioctl(struct pym_call *call)
{
	struct pymalloc_compact *compact = &call->args.compact;

	return pym_reclaim_compact(call->sheap, compact->flags ?: PYM_COMPACT_ALL, compact);
}

/* Give the heap a policy of its own, or take it away. */
static int policy_change(struct pym_call *call)
{
	const struct pymalloc_policy *policy = &call->args.policy;
	struct pym_policy own = {
		.decay_ms = policy->decay_ms,
		.off = policy->off,
		.keep_bytes = policy->keep_bytes,
	};
	int err = pym_client_may_change(call->file, call->sheap, false);

	if (err)
		return err;
	if (policy->flags == PYMALLOC_POLICY_RESET) {
		pym_upkeep_set_policy(call->sheap, NULL);
		return 0;
	}
	if (policy->flags != PYMALLOC_POLICY_SET || own.off & ~POLICY_OFF_ALL ||
	    (own.decay_ms && !pym_decay_is_valid(own.decay_ms)))
		return -EINVAL;
	pym_upkeep_set_policy(call->sheap, &own);
	return 0;
}

/**
 * pym_policy_ioctl() - PYMALLOC_IOC_POLICY: how the heap gives memory back by itself
 * @call: the call, with a struct pymalloc_policy
 *
 * Return: 0 or an error, as the interface says.
 */
int pym_policy_ioctl(struct pym_call *call)
{
	struct pymalloc_policy *policy = &call->args.policy;
	struct pym_policy now;
	int err = 0;

	if (policy->flags)
		err = policy_change(call);
	if (err)
		return err;
	now = pym_upkeep_policy(call->sheap);
	policy->decay_ms = now.decay_ms;
	policy->off = now.off;
	policy->keep_bytes = now.keep_bytes;
	return 0;
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

/* What a descriptor of a shared heap can do becomes less, for good. */
static int seal_descriptor(struct file *file, u32 flags)
{
	struct pym_handle *handle = file->private_data;

	if (flags & PYMALLOC_SEAL_OBSERVER)
		WRITE_ONCE(handle->role, PYM_ROLE_OBSERVER);
	else
		cmpxchg(&handle->role, PYM_ROLE_WRITER, PYM_ROLE_READER);
	return 0;
}

/**
 * pym_seal_ioctl() - PYMALLOC_IOC_SEAL: make the heap one for reading only, or a descriptor
 * @call: the call, with a struct pymalloc_seal
 *
 * Return: 0 or an error, as the interface says.
 */
int pym_seal_ioctl(struct pym_call *call)
{
	u32 flags = call->args.seal.flags;
	int err;

	if (call->sheap->flags & PYMALLOC_CREATE_SHARED)
		return flags ? seal_descriptor(call->file, flags) : -EINVAL;
	err = pym_client_may_change(call->file, call->sheap, true);
	if (err)
		return err;
	return flags ? -EINVAL : pym_seal(call->sheap);
}
