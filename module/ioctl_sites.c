// SPDX-License-Identifier: GPL-2.0
/*
 * The ioctls about traces and sites.
 */
#include <linux/err.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "cache.h"
#include "client.h"
#include "idle.h"
#include "ioctl.h"
#include "ioctl_sites.h"
#include "registry.h"
#include "service_heap.h"
#include "sites.h"
#include "steal.h"
#include "upkeep.h"
#include "window.h"

/* The struct for sites is charged as the heap's other metadata is. */
static int sites_get_charged(struct pym_service_heap *sheap, void *args)
{
	return PTR_ERR_OR_ZERO(pym_sites_get(sheap));
}

static bool trace_is_valid(const struct pymalloc_trace *trace)
{
	return trace->mode <= PYMALLOC_TRACE_EXACT &&
	       trace->python_frames <= PYMALLOC_FRAMES_MAX &&
	       trace->native_frames <= PYMALLOC_FRAMES_MAX &&
	       (!trace->interval || (trace->interval >= PYMALLOC_INTERVAL_MIN &&
				     trace->interval <= PYMALLOC_INTERVAL_MAX));
}

static int trace_set(struct pym_call *call)
{
	const struct pymalloc_trace *trace = &call->args.trace;
	struct pym_sites *sites;
	int err;

	err = pym_client_may_change(call->file, call->sheap, false);
	if (err)
		return err;
	if (!trace_is_valid(trace))
		return -EINVAL;
	err = pym_registry_charge(call->sheap, sites_get_charged, NULL);
	if (err)
		return err;
	sites = call->sheap->sites;
	mutex_lock(&sites->lock);
	sites->mode = trace->mode;
	sites->python_frames = trace->python_frames;
	sites->native_frames = trace->native_frames;
	sites->interval = trace->interval ?: PYMALLOC_INTERVAL_DEFAULT;
	sites->generation++;
	mutex_unlock(&sites->lock);
	pym_caches_tell(call->sheap, READ_ONCE(sites->generation));
	/* So that threads soon need blocks from the kernel, and then find it. */
	pym_caches_steal(call->sheap, true);
	return 0;
}

static int trace_begun(struct pym_call *call)
{
	const struct pymalloc_trace *trace = &call->args.trace;
	struct pym_sites *sites = pym_sites_of(call->sheap);
	int err;

	err = pym_client_may_change(call->file, call->sheap, true);
	if (err)
		return err;
	if (!sites || trace->mode > PYMALLOC_TRACE_EXACT)
		return -EINVAL;
	mutex_lock(&sites->lock);
	sites->begun = trace->generation;
	sites->pool_words = trace->mode == PYMALLOC_TRACE_GROWTH;
	sites->mark = trace->mark;
	mutex_unlock(&sites->lock);
	return 0;
}

static int idle_begin_charged(struct pym_service_heap *sheap, void *args)
{
	return pym_idle_begin(sheap);
}

static int idle_begin(struct pym_service_heap *sheap)
{
	int err = pym_registry_charge(sheap, idle_begin_charged, NULL);

	if (!err)
		pym_upkeep_arm(sheap);
	return err;
}

static int idle_change(struct pym_call *call, bool on)
{
	int err = pym_client_may_change(call->file, call->sheap, false);

	if (err)
		return err;
	return on ? idle_begin(call->sheap) : pym_idle_end(call->sheap);
}

/* Only the heap of one process has a library that records sites, or page tables to look at. */
static bool sites_are_possible(const struct pym_service_heap *sheap)
{
	return !sheap->heap.tenant && !(sheap->flags & PYMALLOC_CREATE_SHARED);
}

static int trace_change(struct pym_call *call)
{
	if (!sites_are_possible(call->sheap))
		return -EPERM;
	switch (call->args.trace.flags) {
	case PYMALLOC_TRACE_SET:
		return trace_set(call);
	case PYMALLOC_TRACE_BEGUN:
		return trace_begun(call);
	case PYMALLOC_TRACE_IDLE:
	case PYMALLOC_TRACE_NO_IDLE:
		return idle_change(call, call->args.trace.flags == PYMALLOC_TRACE_IDLE);
	default:
		return -EINVAL;
	}
}

static void trace_fill(struct pym_sites *sites, struct pymalloc_trace *trace)
{
	*trace = (struct pymalloc_trace) { .argsz = trace->argsz, .flags = trace->flags };
	if (!sites)
		return;
	mutex_lock(&sites->lock);
	trace->mode = sites->mode;
	trace->python_frames = sites->python_frames;
	trace->native_frames = sites->native_frames;
	trace->generation = sites->generation;
	trace->begun = sites->begun;
	trace->interval = sites->interval;
	mutex_unlock(&sites->lock);
}

/**
 * pym_trace_ioctl() - PYMALLOC_IOC_TRACE: which blocks' sites the library records
 * @call: the call, with a struct pymalloc_trace
 *
 * Return: 0 or an error, as the interface says.
 */
int pym_trace_ioctl(struct pym_call *call)
{
	int err = call->args.trace.flags ? trace_change(call) : 0;

	if (err)
		return err;
	trace_fill(pym_sites_of(call->sheap), &call->args.trace);
	call->args.trace.idle = pym_idle_is_on(call->sheap);
	return 0;
}

/* Take pages, or the sink in their places, out of the client's mappings. */
static int zap_sites(struct pym_service_heap *sheap, u64 offset, unsigned long nr)
{
	struct pym_mappings mappings;
	int err;

	err = sheap->heap.ops->hold(&sheap->heap, &mappings);
	if (err)
		return err;
	pym_window_zap_file(sheap, &mappings, offset, nr);
	sheap->heap.ops->release(&sheap->heap, &mappings);
	return 0;
}

static int add_charged(struct pym_service_heap *sheap, void *data)
{
	struct pymalloc_sites *args = data;
	unsigned long first = (args->offset - PYMALLOC_SITES_OFFSET) >> PAGE_SHIFT, done = 0;
	int err;

	err = sites_get_charged(sheap, NULL) ?:
	      pym_sites_add(sheap, first, args->bytes >> PAGE_SHIFT, &done);
	args->done = (u64)done << PAGE_SHIFT;
	return err;
}

static int sites_add(struct pym_service_heap *sheap, struct pymalloc_sites *args)
{
	int err;

	if (!PAGE_ALIGNED(args->offset) || !PAGE_ALIGNED(args->bytes))
		return -EINVAL;
	if (args->bytes >> PAGE_SHIFT > PYMALLOC_BATCH_MAX)
		return -E2BIG;
	err = pym_registry_charge(sheap, add_charged, args);
	if (args->done && pym_sites_sunk(sheap->sites))
		err = err ?: zap_sites(sheap, args->offset, args->done >> PAGE_SHIFT);
	return err;
}

/* Nobody finds the pages any more when they are taken out of the mappings. */
static int sites_drop(struct pym_service_heap *sheap)
{
	struct pym_sites *sites = pym_sites_of(sheap);
	struct pym_mappings mappings;
	LIST_HEAD(gone);
	int err;

	if (!sites)
		return 0;
	err = sheap->heap.ops->hold(&sheap->heap, &mappings);
	if (err)
		return err;
	pym_sites_unlink(sites, &gone);
	pym_window_zap_file(sheap, &mappings, PYMALLOC_SITES_OFFSET,
			    PYM_SITES_BYTES >> PAGE_SHIFT);
	sheap->heap.ops->release(&sheap->heap, &mappings);
	pym_sites_free_pages(sheap, &gone);
	return 0;
}

/* Copy from one page.  Returns bytes that were not copied. */
static unsigned long read_part(struct pym_sites *sites, u64 offset, void __user *to,
			       unsigned int bytes)
{
	struct page *page = NULL;
	unsigned long left;
	char *from;

	if (sites)
		page = pym_sites_page(sites, (offset - PYMALLOC_SITES_OFFSET) >> PAGE_SHIFT);
	if (!page)
		return clear_user(to, bytes);
	from = kmap_local_page(page);
	left = copy_to_user(to, from + offset_in_page(offset), bytes);
	kunmap_local(from);
	put_page(page);
	return left;
}

static int sites_read(struct pym_service_heap *sheap, struct pymalloc_sites *args)
{
	struct pym_sites *sites = pym_sites_of(sheap);
	char __user *to = u64_to_user_ptr(args->data);
	unsigned long left;

	while (args->done < args->bytes) {
		u64 at = args->offset + args->done;
		unsigned int part = min_t(u64, args->bytes - args->done,
					  PAGE_SIZE - offset_in_page(at));

		left = read_part(sites, at, to + args->done, part);
		args->done += part - left;
		if (left)
			return -EFAULT;
		cond_resched();
		if (signal_pending(current) && args->done < args->bytes)
			return -EINTR;
	}
	return 0;
}

/* What changes the pages is for the client alone. */
static int sites_change(struct pym_call *call)
{
	struct pymalloc_sites *args = &call->args.sites;
	int err = pym_client_may_change(call->file, call->sheap, true);

	if (err)
		return err;
	if (!sites_are_possible(call->sheap))
		return -EPERM;
	if (args->op == PYMALLOC_SITES_ADD)
		return sites_add(call->sheap, args);
	return sites_drop(call->sheap);
}

/**
 * pym_sites_reset() - say of a PYMALLOC_IOC_SITES that nothing is done
 * @call: the call, with a struct pymalloc_sites
 *
 * Context: Any.
 */
void pym_sites_reset(struct pym_call *call)
{
	call->args.sites.done = 0;
}

static bool sites_are_within(const struct pymalloc_sites *args)
{
	u64 first = args->offset - PYMALLOC_SITES_OFFSET;

	return first <= PYM_SITES_BYTES && args->bytes <= PYM_SITES_BYTES - first;
}

/**
 * pym_sites_ioctl() - PYMALLOC_IOC_SITES: pages for the sites of blocks
 * @call: the call, with a struct pymalloc_sites
 *
 * Return: 0 or an error, as the interface says.
 */
int pym_sites_ioctl(struct pym_call *call)
{
	struct pymalloc_sites *args = &call->args.sites;

	switch (args->op) {
	case PYMALLOC_SITES_ADD:
	case PYMALLOC_SITES_READ:
		if (!sites_are_within(args))
			return -EINVAL;
		break;
	case PYMALLOC_SITES_DROP:
		break;
	default:
		return -EINVAL;
	}
	if (args->op == PYMALLOC_SITES_READ)
		return sites_read(call->sheap, args);
	return sites_change(call);
}
