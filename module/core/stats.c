// SPDX-License-Identifier: GPL-2.0
/*
 * Statistics: a heap's figures.
 */
#include <linux/string.h>

#include "arena.h"
#include "face.h"
#include "frame.h"
#include "ops.h"
#include "stats.h"
#include "typetable.h"

/* All of a tenant's pools are full for the core: how many have free blocks nobody counts. */
static void stats_ask_tenant(struct pym_heap *heap, u32 number, struct pym_class_stats *stats,
			     u64 capacity)
{
	u64 allocs, frees;

	heap->tenant->count(heap, number, &allocs, &frees);
	stats->pools_used = stats->pools_full;
	stats->pools_full = 0;
	stats->nr_allocs = allocs;
	stats->nr_frees = frees;
	/* Figures that are not of one moment make no negative number. */
	stats->blocks = min(allocs - min(frees, allocs), stats->pools_used * capacity);
	stats->blocks_free = stats->pools_used * capacity - stats->blocks;
}

static void stats_copy_class(struct pym_class *class, struct pym_class_stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	spin_lock(&class->lock);
	stats->size = class->size;
	stats->pools_used = class->pools_used + class->faces;
	stats->pools_full = class->pools_full;
	stats->pools_meshed = class->faces;
	stats->nr_meshed = class->nr_meshed;
	stats->blocks = class->blocks;
	stats->blocks_untouched = class->untouched;
	stats->nr_allocs = class->nr_allocs;
	stats->nr_frees = class->nr_frees;
	stats->blocks_free = (class->pools_used + class->pools_full) * class->capacity -
			     class->blocks - class->untouched;
	spin_unlock(&class->lock);
}

/**
 * pym_class_stats() - the figures of one size class of a heap, at one moment
 * @heap: the heap
 * @number: the class
 * @stats: out: the figures, without those of types with pools of their own
 */
void pym_class_stats(struct pym_heap *heap, u32 number, struct pym_class_stats *stats)
{
	struct pym_class *class = &heap->classes[number];

	stats_copy_class(class, stats);
	if (heap->tenant)
		stats_ask_tenant(heap, number, stats, class->capacity);
}

static void stats_add_class(struct pym_stats *stats, const struct pym_class_stats *class)
{
	stats->pools_used += class->pools_used;
	stats->pools_full += class->pools_full;
	stats->pools_meshed += class->pools_meshed;
	stats->nr_meshed += class->nr_meshed;
	stats->blocks += class->blocks;
	stats->block_bytes += class->blocks * class->size;
	stats->nr_allocs += class->nr_allocs;
	stats->nr_frees += class->nr_frees;
}

static void stats_add_types(struct pym_heap *heap, struct pym_stats *stats)
{
	struct pym_class_stats class;
	struct pym_type *type;
	u32 number;

	rcu_read_lock();
	pym_for_each_type(type, number, heap) {
		if (!type->class.size)
			continue;
		stats_copy_class(&type->class, &class);
		stats_add_class(stats, &class);
	}
	rcu_read_unlock();
}

/**
 * pym_heap_stats() - the figures of a heap
 * @heap: the heap
 * @stats: out: the figures
 */
void pym_heap_stats(struct pym_heap *heap, struct pym_stats *stats)
{
	u32 number, step = heap->alignment / PYMALLOC_BLOCK_MIN;
	struct pym_class_stats class;

	memset(stats, 0, sizeof(*stats));
	for (number = step; number <= PYMALLOC_NR_CLASSES; number += step) {
		pym_class_stats(heap, number, &class);
		stats_add_class(stats, &class);
	}
	stats_add_types(heap, stats);
	stats->limit = heap->limit;
	stats->threshold = READ_ONCE(heap->threshold);
	stats->meta_bytes = atomic_long_read(&heap->quota.meta);
	stats->nr_bad_refs = atomic64_read(&heap->nr_bad_refs);

	spin_lock(&heap->lock);
	stats->page_bytes = heap->pages << PYM_POOL_SHIFT;
	stats->page_bytes_peak = heap->pages_peak << PYM_POOL_SHIFT;
	stats->arenas = heap->nr_arenas;
	stats->run_arenas = heap->nr_run_arenas;
	stats->pools_empty = heap->nr_empty;
	stats->runs = heap->runs;
	stats->run_pages = heap->run_pages;
	stats->nr_allocs += heap->nr_run_allocs;
	stats->nr_frees += heap->nr_run_frees;
	stats->nr_pages_in = heap->pages_in;
	stats->nr_pages_out = heap->pages_out;
	spin_unlock(&heap->lock);
}

/**
 * pym_block_bytes() - the bytes of all blocks allocated, each as its class's size
 * @heap: the heap
 *
 * Takes no lock, so that classes may change meanwhile.  Blocks of types are among them.
 *
 * Context: Any.
 * Return: the bytes.
 */
u64 pym_block_bytes(const struct pym_heap *heap)
{
	const struct pym_type *type;
	u64 bytes = 0;
	u32 number;

	for (number = 1; number <= PYMALLOC_NR_CLASSES; number++)
		bytes += READ_ONCE(heap->classes[number].blocks) * heap->classes[number].size;
	rcu_read_lock();
	pym_for_each_type(type, number, heap)
		bytes += READ_ONCE(type->class.blocks) * type->class.size;
	rcu_read_unlock();
	return bytes;
}

/* How many pages have been counted, and how far they are shared. */
struct shares {
	u64 pages;
	u64 shared;
	u64 parts;	/* the heap's part of the pages, in 1/PAGE_SIZE of a byte */
};

static void stats_count_arena_locked(struct pym_heap *heap, struct pym_arena *arena,
				     u64 offset, void *data)
{
	struct pym_span span = { arena, ~0ULL };
	struct shares *shares = data;
	struct pym_pool *pool;

	pym_for_each_pool(pool, span) {
		unsigned long heaps = pym_frame_heaps(pool->page);

		if (pym_pool_is_face(pool))
			continue;
		shares->pages++;
		shares->shared += heaps > 1;
		shares->parts += heaps > 1 ? PAGE_SIZE * PAGE_SIZE / heaps :
					      PAGE_SIZE * PAGE_SIZE;
	}
}

/**
 * pym_pages_shared() - how much of its pages a heap shares
 * @heap: the heap
 * @shared_bytes: out: bytes of pages that other heaps have as well
 * @pss_bytes: out: bytes of all its pages, each divided by the number of its heaps
 *
 * Context: Sleeps.
 * Return: 0; or an error of pym_pause(), and then the figures mean nothing.
 */
int pym_pages_shared(struct pym_heap *heap, u64 *shared_bytes, u64 *pss_bytes)
{
	struct shares shares = {};
	const struct pym_visit visit = {
		.arena_locked = stats_count_arena_locked,
		.pause = pym_pause,
		.data = &shares,
	};
	int err;

	if (!READ_ONCE(heap->maybe_shared)) {
		*shared_bytes = 0;
		*pss_bytes = READ_ONCE(heap->pages) << PYM_POOL_SHIFT;
		return 0;
	}
	err = pym_arenas_visit(heap, &visit);
	*shared_bytes = shares.shared << PYM_POOL_SHIFT;
	*pss_bytes = shares.parts >> PYM_POOL_SHIFT;
	return err;
}
