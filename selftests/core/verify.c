// SPDX-License-Identifier: GPL-2.0
/*
 * Compare what a heap looks like from outside with its shadow: walks, figures, the pool
 * map, and the verdicts of the checkers.
 */
#include "shadow.h"

#define ARENA_PAGES	PYMALLOC_ARENA_POOLS
#define WALK_ROOM	512

static u32 block_size(const struct shadow_page *page)
{
	return page->class * PYMALLOC_BLOCK_MIN;
}

static bool has_blocks(const struct shadow_page *page)
{
	return page->class && page->class <= PYMALLOC_NR_CLASSES;
}

static u64 run_bytes(const struct shadow *shadow, const struct shadow_page *page)
{
	return shadow->objects[page->slots[0] - SLOT_OBJECT].size;
}

/* Expect that no page from @start to @end has a class: pools there are free or empty. */
static void expect_empty(const struct shadow *shadow, u64 start, u64 end)
{
	u64 i;

	for (i = start >> PYM_POOL_SHIFT; i < end >> PYM_POOL_SHIFT; i++)
		MUST(!shadow->pages[i].class, "page %llu was passed over", i);
}

/* A page's state.  @empty: if it has no class, it has memory all the same. */
static u32 page_state(const struct shadow_page *page, bool empty)
{
	if (page->class == PYM_CLASS_RUN)
		return PYMALLOC_POOL_RUN;
	if (page->class == PYM_CLASS_TAIL)
		return PYMALLOC_POOL_TAIL;
	if (!page->class)
		return empty ? PYMALLOC_POOL_EMPTY : PYMALLOC_POOL_NONE;
	return page->allocated == PAGE_SIZE / block_size(page) ? PYMALLOC_POOL_FULL :
								 PYMALLOC_POOL_USED;
}

static void expect_pool(const struct shadow *shadow, const struct pym_pool_info *info)
{
	u64 number = info->offset >> PYM_POOL_SHIFT;
	const struct shadow_page *page = &shadow->pages[number];
	bool empty = info->state == PYMALLOC_POOL_EMPTY;
	u32 size = 0, capacity = 0;

	if (has_blocks(page)) {
		size = block_size(page);
		capacity = PAGE_SIZE / size;
	} else if (page->class == PYM_CLASS_RUN) {
		size = run_bytes(shadow, page);
	}
	MUST(info->state == page_state(page, empty), "page %llu has state %u, not %u", number,
	     info->state, page_state(page, empty));
	MUST(!empty || shadow_kind(shadow, round_down(number, ARENA_PAGES)) !=
		       PYMALLOC_ARENA_RUNS, "page %llu of an arena of runs is kept", number);
	MUST(info->size == size &&
	     info->allocated == (capacity ? page->allocated : 0) &&
	     info->free == (capacity ? page->touched - page->allocated : 0) &&
	     info->untouched == (capacity ? capacity - page->touched : 0),
	     "page %llu: %u, %u, %u blocks of %u bytes", number, info->allocated, info->free,
	     info->untouched, info->size);
}

/* Returns how many empty pools have kept their page. */
static u64 walk_pools(struct shadow *shadow, u64 start, u64 end)
{
	u64 at = start, before = start, empty = 0;
	struct pym_pool_info info;

	while (pym_walk_pool(&shadow->heap, &at, end, &info)) {
		MUST(at > before && at == info.offset + PAGE_SIZE,
		     "the walk over pools goes in a circle");
		expect_empty(shadow, before, info.offset);
		expect_pool(shadow, &info);
		empty += info.state == PYMALLOC_POOL_EMPTY;
		before = at;
	}
	expect_empty(shadow, before, end);
	return empty;
}

static void expect_arena(const struct shadow *shadow, const struct pym_arena_info *info)
{
	u64 first = info->offset >> PYM_POOL_SHIFT, i;
	u32 used = 0, full = 0, blocks = 0;

	for (i = first; i < first + ARENA_PAGES; i++) {
		const struct shadow_page *page = &shadow->pages[i];
		u32 state = page_state(page, false);

		used += state == PYMALLOC_POOL_USED;
		full += state != PYMALLOC_POOL_USED && state != PYMALLOC_POOL_NONE;
		blocks += page->allocated;
	}
	MUST(info->kind == (shadow_kind(shadow, first) ?: PYMALLOC_ARENA_OBJECT),
	     "arena %#llx is of kind %u", info->offset, info->kind);
	MUST(info->pools_used == used && info->pools_full == full && info->blocks == blocks &&
	     info->pools_none + info->pools_empty + used + full == ARENA_PAGES,
	     "arena %#llx: %u, %u, %u, %u pools, %u blocks", info->offset, info->pools_none,
	     info->pools_empty, info->pools_used, info->pools_full, info->blocks);
	MUST(used + full + info->pools_empty, "arena %#llx has nothing in it", info->offset);
}

static void walk_arenas(struct shadow *shadow, u64 start, u64 end)
{
	u64 at = start, before = start;
	struct pym_arena_info info;

	while (pym_walk_arena(&shadow->heap, &at, end, &info)) {
		MUST(at > before && at == info.offset + PYMALLOC_ARENA_SIZE,
		     "the walk over arenas goes in a circle");
		expect_empty(shadow, before, info.offset);
		expect_arena(shadow, &info);
		before = at;
	}
	expect_empty(shadow, before, end);
}

/* The first block or large object at or after an offset. */
static u64 next_block(const struct shadow *shadow, u64 at)
{
	for (; at < shadow->heap.window; at = round_down(at, PAGE_SIZE) + PAGE_SIZE) {
		const struct shadow_page *page = &shadow->pages[at >> PYM_POOL_SHIFT];
		u32 index;

		if (page->class == PYM_CLASS_RUN && !offset_in_page(at))
			return at;
		if (!has_blocks(page))
			continue;
		index = DIV_ROUND_UP(offset_in_page(at), block_size(page));
		if (index < PAGE_SIZE / block_size(page))
			return round_down(at, PAGE_SIZE) + index * block_size(page);
	}
	return at;
}

static void expect_block(const struct shadow *shadow, const struct pym_block_info *info)
{
	const struct shadow_page *page = &shadow->pages[info->ref >> PYM_POOL_SHIFT];
	u32 size, state;

	if (page->class == PYM_CLASS_RUN) {
		size = run_bytes(shadow, page);
		state = PYMALLOC_BLOCK_ALLOCATED;
	} else {
		size = block_size(page);
		state = PYMALLOC_BLOCK_UNTOUCHED +
			min(page->slots[offset_in_page(info->ref) / size], SLOT_OBJECT);
	}
	MUST(info->size == size && info->state == state,
	     "block %#llx: %u bytes, state %u; not %u, %u", info->ref, info->size,
	     info->state, size, state);
}

static void walk_blocks(struct shadow *shadow, u64 start, u64 end, unsigned int room)
{
	u64 at = start, before = start, seen = start;
	struct pym_block_info info[WALK_ROOM];
	unsigned int nr, i;

	for (; at < end; before = at) {
		nr = pym_walk_blocks(&shadow->heap, &at, end, info, room);
		MUST(nr <= room && at > before, "the walk over blocks goes in a circle");
		for (i = 0; i < nr; i++) {
			MUST(info[i].ref == next_block(shadow, seen) && info[i].ref < end,
			     "the walk over blocks finds %#llx after %#llx", info[i].ref, seen);
			expect_block(shadow, &info[i]);
			seen = info[i].ref + 1;
		}
	}
	MUST(next_block(shadow, seen) >= end, "the walk over blocks ends after %#llx", seen);
}

void shadow_walk(struct shadow *shadow, u64 start, u64 end, unsigned int room)
{
	walk_arenas(shadow, start, end);
	walk_pools(shadow, start, end);
	walk_blocks(shadow, start, end, min(room, WALK_ROOM));
	kernel_at_rest();
}

/* The figures of all classes, from the shadow. */
static void count_classes(const struct shadow *shadow, struct pym_class_stats *stats)
{
	u64 i, nr = shadow->heap.window >> PYM_POOL_SHIFT;
	u32 number;

	memset(stats, 0, (PYMALLOC_NR_CLASSES + 1) * sizeof(*stats));
	for (number = 1; number <= PYMALLOC_NR_CLASSES; number++) {
		stats[number].size = number * PYMALLOC_BLOCK_MIN;
		stats[number].nr_allocs = shadow->nr_allocs[number];
		stats[number].nr_frees = shadow->nr_frees[number];
	}
	for (i = 0; i < nr; i++) {
		const struct shadow_page *page = &shadow->pages[i];
		struct pym_class_stats *class;

		if (!has_blocks(page))
			continue;
		class = &stats[page->class];
		if (page->allocated == PAGE_SIZE / class->size)
			class->pools_full++;
		else
			class->pools_used++;
		class->blocks += page->allocated;
		class->blocks_free += page->touched - page->allocated;
		class->blocks_untouched += PAGE_SIZE / class->size - page->touched;
	}
}

static void add_class(struct pym_stats *stats, const struct pym_class_stats *class)
{
	stats->pools_used += class->pools_used;
	stats->pools_full += class->pools_full;
	stats->blocks += class->blocks;
	stats->block_bytes += class->blocks * class->size;
	stats->nr_allocs += class->nr_allocs;
	stats->nr_frees += class->nr_frees;
}

static void expect_classes(struct shadow *shadow, struct pym_stats *sum)
{
	u32 number, step = shadow->heap.alignment / PYMALLOC_BLOCK_MIN;
	struct pym_class_stats class, expected[PYMALLOC_NR_CLASSES + 1];

	count_classes(shadow, expected);
	for (number = step; number <= PYMALLOC_NR_CLASSES; number += step) {
		pym_class_stats(&shadow->heap, number, &class);
		MUST(!memcmp(&class, &expected[number], sizeof(class)),
		     "the figures of class %u are wrong", number);
		add_class(sum, &class);
	}
}

/* What describes a pool that has a page, with bitmaps of 1, 2, 4 and 8 words. */
static const u64 record_bytes[] = { 48, 56, 72, 104 };
/* The records of 16 pages can be one piece of memory: as long as one of them is needed. */
#define SHEET_BYTES_MAX		1724

/* The records of all pages of objects. */
static u64 count_records(const struct shadow *shadow)
{
	u64 i, bytes = 0;

	for (i = 0; i < shadow->heap.window >> PYM_POOL_SHIFT; i++) {
		const struct shadow_page *page = &shadow->pages[i];
		unsigned int words = 1, order = 0;

		if (!page->class)
			continue;
		if (has_blocks(page))
			words = DIV_ROUND_UP(PAGE_SIZE / PYMALLOC_BLOCK_MIN / page->class, 64);
		while (words > 1 << order)
			order++;
		bytes += record_bytes[order];
	}
	return bytes;
}

/*
 * The shadow does not know for which class a page was taken, nor with which others: a record
 * may be longer than its pool needs.  So it only knows bounds.
 */
static void expect_meta(const struct shadow *shadow, const struct pym_stats *stats)
{
	const struct pym_heap *heap = &shadow->heap;
	u64 base = SHADOW_BASE_BYTES, table = 64, least, most;

	/* The head of the table takes as much room as three entries. */
	while (table < (heap->made_regions + 3) * sizeof(void *))
		table *= 2;
	base += table + heap->made_regions * PYM_REGION_BYTES +
		(stats->arenas + stats->run_arenas) * PYM_ARENA_BYTES;
	least = base + count_records(shadow) + stats->pools_empty * record_bytes[0];
	most = base + heap->pages * SHEET_BYTES_MAX;
	MUST(stats->meta_bytes >= least && stats->meta_bytes <= most,
	     "%llu bytes of metadata, not %llu to %llu", stats->meta_bytes, least, most);
}

static void expect_stats(struct shadow *shadow, u64 empty)
{
	struct pym_stats stats, sum = {};
	u64 i;

	pym_heap_stats(&shadow->heap, &stats);
	expect_classes(shadow, &sum);
	for (i = 0; i < shadow->heap.window >> PYM_POOL_SHIFT; i++) {
		sum.runs += shadow->pages[i].class == PYM_CLASS_RUN;
		sum.run_pages += shadow->pages[i].class >= PYM_CLASS_RUN;
	}
	sum.limit = shadow->heap.limit;
	sum.threshold = shadow->heap.threshold;
	sum.nr_allocs += shadow->nr_allocs[0];
	sum.nr_frees += shadow->nr_frees[0];
	sum.nr_bad_refs = shadow->nr_bad_refs;
	sum.pools_empty = empty;
	sum.page_bytes = (sum.pools_used + sum.pools_full + empty + sum.run_pages) * PAGE_SIZE;

	MUST(stats.page_bytes_peak >= max(shadow->peak, stats.page_bytes) &&
	     (!stats.limit || stats.page_bytes_peak <= stats.limit),
	     "%llu bytes of pages at the peak", stats.page_bytes_peak);
	MUST(!stats.limit || stats.page_bytes + stats.meta_bytes <= stats.limit,
	     "%llu bytes of pages and %llu of metadata, beyond the limit", stats.page_bytes,
	     stats.meta_bytes);
	shadow->peak = stats.page_bytes_peak;
	MUST((stats.nr_pages_in - stats.nr_pages_out) * PAGE_SIZE == stats.page_bytes,
	     "pages in and out do not make the pages there are");
	expect_meta(shadow, &stats);
	/* The shadow does not know these figures; they have been checked above. */
	sum.page_bytes_peak = stats.page_bytes_peak;
	sum.meta_bytes = stats.meta_bytes;
	sum.arenas = stats.arenas;
	sum.run_arenas = stats.run_arenas;
	sum.nr_pages_in = stats.nr_pages_in;
	sum.nr_pages_out = stats.nr_pages_out;
	MUST(!memcmp(&stats, &sum, sizeof(sum)), "the heap's figures are wrong");
}

static void expect_arena_counts(struct shadow *shadow)
{
	u64 at = 0, arenas[3] = {};
	struct pym_arena_info info;

	while (pym_walk_arena(&shadow->heap, &at, shadow->heap.window, &info))
		arenas[info.kind]++;
	MUST(shadow->heap.nr_arenas == arenas[PYMALLOC_ARENA_OBJECT] &&
	     shadow->heap.nr_run_arenas == arenas[PYMALLOC_ARENA_RUNS],
	     "%llu arenas and %llu arenas of runs", shadow->heap.nr_arenas,
	     shadow->heap.nr_run_arenas);
}

static void expect_pool_map(struct shadow *shadow)
{
	u64 i, nr = shadow->heap.window >> PYM_POOL_SHIFT;

	for (i = 0; i < nr; i += PAGE_SIZE) {
		struct page *page = pym_pool_map_page(&shadow->heap, i / PAGE_SIZE);
		u64 j;

		for (j = i; j < min(nr, i + PAGE_SIZE); j++) {
			u8 class = has_blocks(&shadow->pages[j]) ? shadow->pages[j].class : 0;

			MUST(class == (page ? ((u8 *)page_address(page))[j - i] : 0),
			     "the pool map is wrong about page %llu", j);
		}
		if (page)
			put_page(page);
	}
}

void shadow_verify(struct shadow *shadow)
{
	struct pym_verdict verdict;
	int err = pym_check(&shadow->heap, &verdict);

	MUST(!err, "the checker: error %d", err);
	MUST(!verdict.errors, "%llu contradictions, the first at %#llx: %s", verdict.errors,
	     verdict.offset, verdict.message);
	MUST(!pym_check_live(&shadow->heap, &verdict), "the checker while it goes on");
	MUST(!verdict.errors, "while it goes on: %s", verdict.message);
	walk_arenas(shadow, 0, shadow->heap.window);
	walk_blocks(shadow, 0, shadow->heap.window, WALK_ROOM);
	expect_stats(shadow, walk_pools(shadow, 0, shadow->heap.window));
	expect_arena_counts(shadow);
	expect_pool_map(shadow);
	kernel_at_rest();
}
