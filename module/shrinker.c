// SPDX-License-Identifier: GPL-2.0
/*
 * The shrinker: heaps give memory back when the machine is short of it.
 *
 * It is called by tasks that need memory.  Such a task may hold any lock, and may just be
 * in a heap itself.  So nothing is waited for here.  A heap is passed over if its
 * mappings or its gate cannot be had at once.  They are taken in fork()'s order, and kept
 * until the pages have gone.
 *
 * What needs more than that, as meshing does, is left to the thread of upkeep.  It is
 * asked for that when no heap has an empty pool any more.
 */
#include <linux/errno.h>

#include "compat.h"
#include "reclaim.h"
#include "registry.h"
#include "service_heap.h"
#include "shrinker.h"
#include "steal.h"
#include "trace.h"
#include "upkeep.h"
#include "window.h"

static struct shrinker *shrinker;

/* The heap that was served last: the next call begins behind it. */
static u64 last_served;

static u64 pages_to_gain(struct pym_service_heap *sheap)
{
	return READ_ONCE(sheap->heap.nr_empty) + pym_reclaim_gain(sheap);
}

static unsigned long shrinker_count(struct shrinker *unused, struct shrink_control *control)
{
	return pym_registry_sum(pages_to_gain) ?: SHRINK_EMPTY;
}

/* Give back pages of empty pools. */
static u64 shrink_heap(struct pym_service_heap *sheap, u64 nr)
{
	struct pym_heap *heap = &sheap->heap;
	struct pym_mappings mappings;
	u64 done = 0;

	if (!READ_ONCE(heap->nr_empty) || !pym_window_try_hold(heap, &mappings))
		return 0;
	if (down_read_trylock(&heap->gate)) {
		done = pym_trim_held(heap, &mappings, nr);
		up_read(&heap->gate);
	}
	pym_window_release(heap, &mappings);
	if (done) {
		atomic64_add(done, &sheap->upkeep->nr_shrunk);
		trace_heap_shrink(heap->id, done);
	}
	return done;
}

/* The same for heaps with numbers above @after and not above @last. */
static u64 shrink_heaps(u64 after, u64 last, u64 nr)
{
	struct pym_service_heap *sheap;
	u64 done = 0;

	while (done < nr) {
		sheap = pym_registry_next(after);
		if (!sheap)
			break;
		after = sheap->heap.id;
		if (after <= last)
			done += shrink_heap(sheap, nr - done);
		pym_service_put_later(sheap);
		if (after > last)
			break;
		WRITE_ONCE(last_served, after);
	}
	return done;
}

/**
 * pym_shrinker_urge() - have the thread of upkeep take back what needs waiting
 *
 * Context: Any task that reclaims memory.
 */
void pym_shrinker_urge(void)
{
	struct pym_service_heap *sheap;
	u64 id = 0;

	while ((sheap = pym_registry_next(id))) {
		id = sheap->heap.id;
		if ((pym_reclaim_gain(sheap) || pym_caches_pending(sheap)) &&
		    !READ_ONCE(sheap->upkeep->urgent))
			pym_upkeep_urge(sheap);
		pym_service_put_later(sheap);
	}
}

static unsigned long shrinker_scan(struct shrinker *unused, struct shrink_control *control)
{
	u64 start = READ_ONCE(last_served), nr = control->nr_to_scan, done;

	/* Page tables are changed, which may end in file systems and drivers. */
	if (!(control->gfp_mask & __GFP_FS))
		return SHRINK_STOP;
	done = shrink_heaps(start, U64_MAX, nr);
	if (done < nr)
		done += shrink_heaps(0, start, nr - done);
	if (done)
		return done;
	pym_shrinker_urge();
	return SHRINK_STOP;
}

/**
 * pym_shrinker_init() - begin to serve the machine when it is short of memory
 *
 * Context: Process context, while the module is being loaded.
 * Return: 0 or -ENOMEM.
 */
int pym_shrinker_init(void)
{
	shrinker = pym_shrinker_register("pymalloc", 0, shrinker_count, shrinker_scan);
	return shrinker ? 0 : -ENOMEM;
}

/**
 * pym_shrinker_exit() - end that
 *
 * Context: Sleeps until calls that have begun have ended.
 */
void pym_shrinker_exit(void)
{
	pym_shrinker_unregister(shrinker);
}
