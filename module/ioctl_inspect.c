// SPDX-License-Identifier: GPL-2.0
/*
 * The ioctls that look at a heap: its figures, its pieces, whether it is sound, and what
 * a list shows of it.
 */
#include <linux/fs.h>
#include <linux/nospec.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "access.h"
#include "cache.h"
#include "idle.h"
#include "ioctl.h"
#include "ioctl_inspect.h"
#include "service_heap.h"
#include "sharer.h"
#include "sharer_check.h"
#include "sites.h"

static struct pymalloc_class_stats class_entry(struct pym_heap *heap, u32 number)
{
	struct pym_class_stats class;

	pym_class_stats(heap, number, &class);
	return (struct pymalloc_class_stats) {
		.size = class.size,
		.pools_used = class.pools_used,
		.pools_full = class.pools_full,
		.blocks = class.blocks,
		.blocks_free = class.blocks_free,
		.blocks_untouched = class.blocks_untouched,
		.nr_allocs = class.nr_allocs,
		.nr_frees = class.nr_frees,
	};
}

static int put_class_stats(struct pym_heap *heap, struct pymalloc_stats *stats,
			   const struct pymalloc_stats *asked)
{
	u32 number, step = heap->alignment / PYMALLOC_BLOCK_MIN;
	struct pymalloc_class_stats entry;
	int err;

	for (number = step; number <= PYMALLOC_NR_CLASSES; number += step) {
		if (stats->nr_classes == asked->nr_classes)
			break;
		entry = class_entry(heap, number);
		err = pym_put_entry(asked->classes, stats->nr_classes, asked->class_size,
				    &entry, sizeof(entry));
		if (err)
			return err;
		stats->nr_classes++;
	}
	return 0;
}

/* All but how many pages are shared. */
static void fill_stats(struct pym_service_heap *sheap, struct pymalloc_stats *stats,
		       const struct pymalloc_stats *asked)
{
	const struct pym_caches *caches = READ_ONCE(sheap->caches);
	struct pym_stats figures;

	pym_heap_stats(&sheap->heap, &figures);
	*stats = (struct pymalloc_stats) {
		.argsz = asked->argsz,
		.limit = figures.limit,
		.threshold = figures.threshold,
		.page_bytes = figures.page_bytes,
		.page_bytes_peak = figures.page_bytes_peak,
		.meta_bytes = figures.meta_bytes,
		.arenas = figures.arenas,
		.run_arenas = figures.run_arenas,
		.pools_used = figures.pools_used,
		.pools_full = figures.pools_full,
		.pools_empty = figures.pools_empty,
		.blocks = figures.blocks,
		.block_bytes = figures.block_bytes,
		.runs = figures.runs,
		.run_pages = figures.run_pages,
		.nr_allocs = figures.nr_allocs,
		.nr_frees = figures.nr_frees,
		.nr_bad_refs = figures.nr_bad_refs,
		.nr_pages_in = figures.nr_pages_in,
		.nr_pages_out = figures.nr_pages_out,
		.classes = asked->classes,
		.class_size = asked->class_size,
		.cache_threads = caches ? READ_ONCE(caches->threads) : 0,
		.cache_bytes_max = caches ? READ_ONCE(caches->bytes_max) : 0,
		.pools_meshed = figures.pools_meshed,
		.nr_meshed = figures.nr_meshed,
		.nr_stolen = atomic64_read(&sheap->upkeep->nr_stolen),
		.nr_decayed = atomic64_read(&sheap->upkeep->nr_decayed),
		.nr_shrunk = atomic64_read(&sheap->upkeep->nr_shrunk),
	};
}

/**
 * pym_stats_ioctl() - PYMALLOC_IOC_STATS
 * @call: the call, with a struct pymalloc_stats
 *
 * Return: 0 or an error, as the interface says.
 */
int pym_stats_ioctl(struct pym_call *call)
{
	struct pym_service_heap *sheap = call->sheap;
	struct pymalloc_stats asked = call->args.stats;
	struct pymalloc_stats *stats = &call->args.stats;
	int err;

	if (asked.classes &&
	    (asked.class_size < offsetofend(struct pymalloc_class_stats, nr_frees) ||
	     asked.class_size > PAGE_SIZE))
		return -EINVAL;

	fill_stats(sheap, stats, &asked);
	err = pym_pages_shared(&sheap->heap, &stats->shared_bytes, &stats->pss_bytes);
	if (err)
		return err;
	/* Pages may have come between the two looks: the share is never above the whole. */
	stats->pss_bytes = min(stats->pss_bytes, stats->page_bytes);
	return asked.classes ? put_class_stats(&sheap->heap, stats, &asked) : 0;
}

/* What comes next in a walk, as the core tells it and as the interface does. */
union walk_entries {
	struct pym_arena_info arena;
	struct pym_pool_info pool;
	DECLARE_FLEX_ARRAY(struct pym_block_info, blocks);
};

union walk_entry {
	struct pymalloc_arena_info arena;
	struct pymalloc_pool_info pool;
	struct pymalloc_block_info block;
	struct pymalloc_site_info site;
};

/*
 * A kind of walk: @size is that of an entry.  @step describes what comes next in
 * @entries, of which there are @room, moves @walk->next on, and returns how many entries
 * it has filled in.
 */
struct walker {
	size_t size;
	unsigned int (*step)(struct pym_heap *heap, struct pymalloc_walk *walk,
			     union walk_entries *entries, unsigned int room);
	void (*convert)(const union walk_entries *entries, unsigned int i,
			union walk_entry *entry);
};

static unsigned int step_arena(struct pym_heap *heap, struct pymalloc_walk *walk,
			       union walk_entries *entries, unsigned int room)
{
	return pym_walk_arena(heap, &walk->next, walk->end, &entries->arena);
}

static void convert_arena(const union walk_entries *entries, unsigned int i,
			  union walk_entry *entry)
{
	const struct pym_arena_info *arena = &entries->arena;

	entry->arena = (struct pymalloc_arena_info) {
		.offset = arena->offset,
		.kind = arena->kind,
		.pools_none = arena->pools_none,
		.pools_empty = arena->pools_empty,
		.pools_used = arena->pools_used,
		.pools_full = arena->pools_full,
		.blocks = arena->blocks,
	};
}

static unsigned int step_pool(struct pym_heap *heap, struct pymalloc_walk *walk,
			      union walk_entries *entries, unsigned int room)
{
	return pym_walk_pool(heap, &walk->next, walk->end, &entries->pool);
}

static void convert_pool(const union walk_entries *entries, unsigned int i,
			 union walk_entry *entry)
{
	const struct pym_pool_info *pool = &entries->pool;

	entry->pool = (struct pymalloc_pool_info) {
		.offset = pool->offset,
		.state = pool->state,
		.size = pool->size,
		.allocated = pool->allocated,
		.free = pool->free,
		.untouched = pool->untouched,
		.flags = pool->meshed ? PYMALLOC_POOL_MESHED : 0,
	};
}

static unsigned int step_blocks(struct pym_heap *heap, struct pymalloc_walk *walk,
				union walk_entries *entries, unsigned int room)
{
	return pym_walk_blocks(heap, &walk->next, walk->end, entries->blocks, room);
}

static void convert_block(const union walk_entries *entries, unsigned int i,
			  union walk_entry *entry)
{
	const struct pym_block_info *block = &entries->blocks[i];

	entry->block = (struct pymalloc_block_info) {
		.ref = block->ref,
		.size = block->size,
		.state = block->state,
	};
}

static unsigned int step_sites(struct pym_heap *heap, struct pymalloc_walk *walk,
			       union walk_entries *entries, unsigned int room)
{
	struct pym_sites *sites = pym_sites_of(pym_service_of(heap));
	u64 mark = sites ? READ_ONCE(sites->mark) : 0;
	unsigned int nr;

	nr = pym_walk_live(heap, &walk->next, walk->end, mark, entries->blocks, room);
	if (sites)
		pym_sites_label(sites, heap->alignment, entries->blocks, nr);
	pym_idle_label(pym_service_of(heap), entries->blocks, nr);
	return nr;
}

static void convert_site(const union walk_entries *entries, unsigned int i,
			 union walk_entry *entry)
{
	const struct pym_block_info *block = &entries->blocks[i];

	entry->site = (struct pymalloc_site_info) {
		.ref = block->ref,
		.size = block->size,
		.site = block->site,
		.flags = block->cached || block->site == PYMALLOC_WORD_CACHED ?
			 PYMALLOC_SITE_CACHED : 0,
		.idle = block->idle,
	};
}

static const struct walker walkers[] = {
	[PYMALLOC_WALK_ARENAS] = {
		sizeof(struct pymalloc_arena_info), step_arena, convert_arena,
	},
	[PYMALLOC_WALK_POOLS] = {
		sizeof(struct pymalloc_pool_info), step_pool, convert_pool,
	},
	[PYMALLOC_WALK_BLOCKS] = {
		sizeof(struct pymalloc_block_info), step_blocks, convert_block,
	},
	[PYMALLOC_WALK_SITES] = {
		sizeof(struct pymalloc_site_info), step_sites, convert_site,
	},
};

/*
 * Entries that are described at once: a pool of the smallest class has as many blocks,
 * so that one step can describe a pool at one moment.
 */
#define WALK_ROOM	(PYMALLOC_POOL_SIZE / PYMALLOC_BLOCK_MIN)

static int walk_check(struct pymalloc_walk *walk)
{
	if (walk->count > PYMALLOC_BATCH_MAX)
		return -E2BIG;
	if (walk->what >= ARRAY_SIZE(walkers) || !walkers[walk->what].step ||
	    !walk->count || walk->entry_size < walkers[walk->what].size ||
	    walk->entry_size > PAGE_SIZE)
		return -EINVAL;
	walk->what = array_index_nospec(walk->what, ARRAY_SIZE(walkers));
	return 0;
}

static int walk_put(struct pymalloc_walk *walk, const union walk_entries *entries,
		    unsigned int nr)
{
	const struct walker *walker = &walkers[walk->what];
	union walk_entry entry;
	unsigned int i;
	int err;

	for (i = 0; i < nr; i++) {
		walker->convert(entries, i, &entry);
		err = pym_put_entry(walk->entries, walk->done, walk->entry_size, &entry,
				    walker->size);
		if (err)
			return err;
		walk->done++;
	}
	return 0;
}

static int walk_some(struct pym_heap *heap, struct pymalloc_walk *walk,
		     union walk_entries *entries)
{
	const struct walker *walker = &walkers[walk->what];
	int err = 0;

	while (walk->done < walk->count && walk->next < walk->end && !err) {
		unsigned int room = min_t(u32, walk->count - walk->done, WALK_ROOM);
		u64 from = walk->next;

		err = walk_put(walk, entries, walker->step(heap, walk, entries, room));
		if (err)
			walk->next = from;
		else
			err = signal_pending(current) ? -EINTR : pym_pause(heap);
	}
	if (walk->next >= walk->end)
		walk->next = 0;
	return err;
}

/**
 * pym_walk_reset() - say of a PYMALLOC_IOC_WALK that nothing is done
 * @call: the call, with a struct pymalloc_walk
 *
 * Context: Any.
 */
void pym_walk_reset(struct pym_call *call)
{
	call->args.walk.done = 0;
}

/**
 * pym_walk_ioctl() - PYMALLOC_IOC_WALK
 * @call: the call, with a struct pymalloc_walk
 *
 * Return: 0 or an error, as the interface says.
 */
int pym_walk_ioctl(struct pym_call *call)
{
	struct pym_service_heap *sheap = call->sheap;
	struct pymalloc_walk *walk = &call->args.walk;
	u64 end = walk->end;
	union walk_entries *entries;
	int err;

	err = walk_check(walk);
	if (err)
		return err;
	entries = kcalloc(WALK_ROOM, sizeof(struct pym_block_info), GFP_KERNEL_ACCOUNT);
	if (!entries)
		return -ENOMEM;
	walk->next = walk->start;
	if (!end || end > sheap->heap.window)
		walk->end = sheap->heap.window;
	err = walk_some(&sheap->heap, walk, entries);
	walk->end = end;
	kfree(entries);
	return err;
}

/**
 * pym_check_ioctl() - PYMALLOC_IOC_CHECK
 * @call: the call, with a struct pymalloc_check
 *
 * Return: 0 or an error, as the interface says.
 */
int pym_check_ioctl(struct pym_call *call)
{
	struct pym_service_heap *sheap = call->sheap;
	struct pymalloc_check *check = &call->args.check;
	struct pym_verdict verdict;
	int err;

	BUILD_BUG_ON(sizeof(check->message) != sizeof(verdict.message));

	/*
	 * A caller that cannot change the heap must not stop calls that do.  In a dead heap
	 * there are none.
	 */
	if (call->file->f_mode & FMODE_WRITE || sheap->dead)
		err = pym_check_killable(&sheap->heap, &verdict);
	else
		err = pym_check_live(&sheap->heap, &verdict);
	if (!err && pym_shared_of(sheap))
		err = pym_sharer_check(sheap, &verdict);
	if (err)
		return err;
	check->errors = verdict.errors;
	check->offset = verdict.offset;
	memcpy(check->message, verdict.message, sizeof(check->message));
	return 0;
}

/**
 * pym_list_reset() - say of a PYMALLOC_IOC_LIST that nothing is done
 * @call: the call, with a struct pymalloc_list
 *
 * Context: Any.
 */
void pym_list_reset(struct pym_call *call)
{
	call->args.list.done = 0;
}

/**
 * pym_list_check() - is a list's description in order?
 * @list: the description
 *
 * Context: Any.
 * Return: 0, -EINVAL or -E2BIG.
 */
int pym_list_check(const struct pymalloc_list *list)
{
	if (list->count > PYMALLOC_BATCH_MAX)
		return -E2BIG;
	if (list->entry_size < offsetofend(struct pymalloc_heap_info, name) ||
	    list->entry_size > PAGE_SIZE)
		return -EINVAL;
	return 0;
}

/**
 * pym_list_entry() - add a heap to a list
 * @list: the list, which has room
 * @sheap: the heap
 *
 * Return: 0; or -EFAULT, -EINTR, or -ESTALE (the heap is ending).
 */
int pym_list_entry(struct pymalloc_list *list, struct pym_service_heap *sheap)
{
	struct pymalloc_heap_info info;
	int err;

	err = pym_show_heap(sheap, &info);
	if (err)
		return err;
	err = pym_put_entry(list->heaps, list->done, list->entry_size, &info, sizeof(info));
	if (!err)
		list->done++;
	return err;
}

/**
 * pym_list_ioctl() - PYMALLOC_IOC_LIST on a heap's descriptor: that heap alone
 * @call: the call, with a struct pymalloc_list
 *
 * Return: 0 or an error, as the interface says.
 */
int pym_list_ioctl(struct pym_call *call)
{
	struct pym_service_heap *sheap = call->sheap;
	struct pymalloc_list *list = &call->args.list;
	int err;

	err = pym_list_check(list);
	if (err || !list->count || list->after >= sheap->heap.id)
		return err;
	return pym_list_entry(list, sheap);
}
