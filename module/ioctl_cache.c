// SPDX-License-Identifier: GPL-2.0
/*
 * The ioctl about the caches of threads.
 */
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>

#include "cache.h"
#include "ioctl.h"
#include "ioctl_cache.h"
#include "registry.h"
#include "service_heap.h"
#include "sites.h"
#include "steal.h"
#include "window.h"

/* Wait until a page that no fault finds any more is not just being mapped. */
static void cache_wait_for_faults(struct page *page)
{
	if (page)
		wait_on_page_locked(page);
}

static void cache_unmap(struct pym_service_heap *sheap, const struct pym_mappings *mappings,
			u32 index, const struct pym_cache *cache)
{
	u32 i;

	cache_wait_for_faults(cache->header);
	for (i = 0; i < PYMALLOC_CACHE_PAGES; i++)
		cache_wait_for_faults(cache->slots[i]);
	pym_window_zap_file(sheap, mappings, pym_cache_header_offset(index), 1);
	pym_window_zap_file(sheap, mappings, pym_cache_slot_offset(index, 0),
			    PYMALLOC_CACHE_PAGES);
}

/* With the mappings and the mutex held. */
static int cache_end(struct pym_service_heap *sheap, const struct pym_mappings *mappings,
		     const struct pymalloc_cache *args)
{
	struct pym_cache *cache = pym_cache_unlink(sheap->caches, args->index);

	if (!cache)
		return -ENOENT;
	cache_unmap(sheap, mappings, args->index, cache);
	pym_steal_everything(&sheap->heap, cache);
	pym_cache_free(sheap, cache);
	return 0;
}

/* The same. */
static int cache_drop(struct pym_service_heap *sheap, const struct pym_mappings *mappings,
		      const struct pymalloc_cache *args)
{
	struct page *page;
	u32 i;

	if (!pym_cache_find(sheap->caches, args->index))
		return -ENOENT;
	for (i = args->first; i < args->first + args->count; i++) {
		page = pym_cache_unlink_slots(sheap->caches, args->index, i);
		cache_wait_for_faults(page);
		pym_window_zap_file(sheap, mappings, pym_cache_slot_offset(args->index, i), 1);
		pym_cache_free_page(sheap, page);
	}
	return 0;
}

static bool has_caches(struct pym_service_heap *sheap)
{
	/* Pairs with pym_caches_get(). */
	return smp_load_acquire(&sheap->caches);
}

/* End a cache, or take pages of it away. */
static int cache_reduce(struct pym_service_heap *sheap, const struct pymalloc_cache *args)
{
	struct pym_mappings mappings;
	int err;

	if (!has_caches(sheap))
		return -ENOENT;
	err = sheap->heap.ops->hold(&sheap->heap, &mappings);
	if (err)
		return err;
	mutex_lock(&sheap->caches->mutex);
	if (args->op == PYMALLOC_CACHE_END)
		err = cache_end(sheap, &mappings, args);
	else
		err = cache_drop(sheap, &mappings, args);
	mutex_unlock(&sheap->caches->mutex);
	sheap->heap.ops->release(&sheap->heap, &mappings);
	return err;
}

/* Make a cache, or give it pages.  These are charged as the heap's pages are. */
static int extend_charged(struct pym_service_heap *sheap, void *data)
{
	const struct pymalloc_cache *args = data;

	if (args->op == PYMALLOC_CACHE_MAKE)
		return PTR_ERR_OR_ZERO(pym_caches_get(sheap)) ?:
		       pym_cache_make(sheap, args->index, args->first, args->count);
	if (!has_caches(sheap))
		return -ENOENT;
	return pym_cache_add_slots(sheap, args->index, args->first, args->count);
}

static int cache_extend(struct pym_service_heap *sheap, struct pymalloc_cache *args)
{
	int err = pym_registry_charge(sheap, extend_charged, args);

	/* A new cache is told last, so that it misses nothing. */
	if (!err && args->op == PYMALLOC_CACHE_MAKE && pym_sites_of(sheap))
		pym_caches_tell(sheap, READ_ONCE(sheap->sites->generation));
	return err;
}

static int cache_run(struct pym_service_heap *sheap, struct pymalloc_cache *args)
{
	switch (args->op) {
	case PYMALLOC_CACHE_MAKE:
	case PYMALLOC_CACHE_SLOTS:
		return cache_extend(sheap, args);
	case PYMALLOC_CACHE_DROP:
	case PYMALLOC_CACHE_END:
		return cache_reduce(sheap, args);
	case PYMALLOC_CACHE_STEAL:
		args->stolen = pym_caches_steal(sheap, args->flags & PYMALLOC_STEAL_ALL);
		return fatal_signal_pending(current) ? -EINTR : 0;
	default:
		return -EINVAL;
	}
}

static bool cache_is_valid(const struct pymalloc_cache *args)
{
	return (!args->flags || args->op == PYMALLOC_CACHE_STEAL) &&
	       args->index < PYMALLOC_CACHES_MAX && args->first <= PYMALLOC_CACHE_PAGES &&
	       args->count <= PYMALLOC_CACHE_PAGES - args->first;
}

/**
 * pym_cache_reset() - say of a PYMALLOC_IOC_CACHE that nothing is done
 * @call: the call, with a struct pymalloc_cache
 *
 * Context: Any.
 */
void pym_cache_reset(struct pym_call *call)
{
	call->args.cache.stolen = 0;
	call->args.cache.block_bytes = 0;
}

/**
 * pym_cache_ioctl() - PYMALLOC_IOC_CACHE
 * @call: the call, with a struct pymalloc_cache
 *
 * Return: 0 or an error, as the interface says.
 */
int pym_cache_ioctl(struct pym_call *call)
{
	struct pymalloc_cache *args = &call->args.cache;

	args->block_bytes = pym_block_bytes(&call->sheap->heap);
	return cache_is_valid(args) ? cache_run(call->sheap, args) : -EINVAL;
}
