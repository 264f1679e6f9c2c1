// SPDX-License-Identifier: GPL-2.0
/*
 * A heap without a window: nobody maps it, so it has no operations (struct pym_heap_ops).
 * Everything else works as in any heap.
 */
#include "core.h"
#include "tap.h"

#define WINDOW		(64ULL << 20)
#define NR		1000
#define LARGE		300000

static struct pym_heap heap;

static void expect_sound(void)
{
	struct pym_verdict verdict;

	MUST(!pym_check(&heap, &verdict) && !verdict.errors, "%s", verdict.message);
	MUST(!pym_check_live(&heap, &verdict) && !verdict.errors, "%s", verdict.message);
}

static void begin(void)
{
	MUST(!pym_arena_cache_init(), "no cache");
	memset(&heap, 0, sizeof(heap));
	heap.threshold = PYMALLOC_POOL_SIZE;
	MUST(!pym_heap_init(&heap, 8, WINDOW), "no heap");
}

static void end(void)
{
	expect_sound();
	pym_heap_destroy(&heap);
	pym_arena_cache_exit();
	kernel_empty();
}

static char *memory_at(u64 ref)
{
	struct page *page = pym_page_get(&heap, ref);
	char *memory;

	MUST(page, "no page at %#llx", ref);
	memory = (char *)page_address(page) + offset_in_page(ref);
	put_page(page);
	return memory;
}

static void blocks(const void *unused)
{
	u64 refs[NR], size;
	u8 status[NR];
	int err;

	(void)unused;
	begin();
	for (size = 8; size <= 512; size *= 2) {
		MUST(pym_alloc(&heap, size, true, refs, NR, &err) == NR, "error %d", err);
		MUST(!memory_at(refs[NR - 1])[size - 1], "not zero");
		memory_at(refs[NR - 1])[0] = 1;
		expect_sound();
		MUST(!pym_free(&heap, refs, status, NR), "refs are bad that were allocated");
		MUST(pym_free(&heap, refs, status, 1) == 1, "a second free is not refused");
	}
	/* As the thread of upkeep does it. */
	MUST(!pym_trim_idle(&heap, 0), "a page was idle that was in use");
	MUST(pym_trim_idle(&heap, 0) && !heap.pages, "%llu pages are left", heap.pages);
	MUST(pym_alloc(&heap, 8, false, refs, NR, &err) == NR, "error %d", err);
	MUST(!pym_free(&heap, refs, status, NR), "refs are bad that were allocated");
	MUST(pym_trim_round(&heap) && !heap.pages, "%llu pages are left", heap.pages);
	MUST(pym_alloc(&heap, 8, false, refs, 1, &err) == 1, "error %d", err);
	MUST(!pym_free(&heap, refs, status, 1), "a ref is bad that was allocated");
	MUST(pym_trim(&heap) == PAGE_SIZE, "no pool was empty");
	MUST(!heap.pages, "%llu pages are left", heap.pages);
	end();
}

/* Pages that somebody else still has do not count as free when the heap gives them back. */
static void pages_in_use(const void *unused)
{
	struct page *page;
	u64 refs[NR];
	u8 status[NR];
	int err;

	(void)unused;
	begin();
	MUST(pym_alloc(&heap, 512, false, refs, NR, &err) == NR, "error %d", err);
	MUST(!pym_pages_are_held(&heap), "a page is held");
	page = pym_page_get(&heap, refs[0]);
	MUST(pym_pages_are_held(&heap), "no page is held");
	MUST(!pym_free(&heap, refs, status, NR), "refs are bad that were allocated");
	pym_trim(&heap);
	MUST(!heap.pages, "%llu pages are left", heap.pages);
	MUST(heap.pages_out_used == 1, "%llu pages in use", heap.pages_out_used);
	put_page(page);
	end();
}

static void large_objects(const void *unused)
{
	u64 ref, size;
	u8 status;
	int err;

	(void)unused;
	begin();
	for (size = 513; size <= 4 * LARGE; size *= 2) {
		MUST(pym_alloc(&heap, size, false, &ref, 1, &err) == 1, "error %d", err);
		MUST(pym_usable(&heap, ref) >= size, "too small");
		expect_sound();
		MUST(!pym_free(&heap, &ref, &status, 1), "a ref is bad that was allocated");
	}
	MUST(!heap.pages, "%llu pages are left", heap.pages);
	end();
}

static void resizes(const void *unused)
{
	static const u64 sizes[] = { 16, 500, LARGE, 2 * LARGE, 5000, 40 };
	unsigned int i;
	u64 ref;
	int err;

	(void)unused;
	begin();
	MUST(pym_alloc(&heap, 8, false, &ref, 1, &err) == 1, "error %d", err);
	memory_at(ref)[7] = 42;
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		MUST(!pym_resize(&heap, &ref, sizes[i]), "not resized to %llu", sizes[i]);
		MUST(memory_at(ref)[7] == 42, "other contents after %llu bytes", sizes[i]);
		expect_sound();
	}
	end();
}

/* A tenant that has taken some pools, and allocated so many blocks of them. */
static struct tenant {
	bool began, ended;
	u64 allocs, frees;
	unsigned int gone, flushes;
	struct pym_pool *spare;
} tenant;

static void tenant_begin(struct pym_heap *of)
{
	tenant.began = of == &heap;
}

static void tenant_count(struct pym_heap *unused, u32 number, u64 *allocs, u64 *frees)
{
	(void)unused;
	*allocs = number == 6 ? tenant.allocs : 0;
	*frees = number == 6 ? tenant.frees : 0;
}

static void give(struct pym_pool *pool)
{
	LIST_HEAD(pools);

	list_add(&pool->link, &pools);
	pym_whole_give_gated(&heap, &pools);
	MUST(list_empty(&pools), "a pool was not given back");
}

static void tenant_flush(struct pym_heap *unused)
{
	(void)unused;
	tenant.flushes++;
	if (tenant.spare)
		give(tenant.spare);
	tenant.spare = NULL;
}

static void tenant_page_goes(struct page *page)
{
	MUST(page, "no page goes");
	tenant.gone++;
}

static void tenant_end(struct pym_heap *unused)
{
	(void)unused;
	tenant.ended = true;
}

static const struct pym_tenant_ops tenant_ops = {
	.begin	= tenant_begin,
	.count	= tenant_count,
	.flush	= tenant_flush,
	.page_goes = tenant_page_goes,
	.end	= tenant_end,
};

static void begin_with_tenant(void)
{
	MUST(!pym_arena_cache_init(), "no cache");
	memset(&heap, 0, sizeof(heap));
	tenant = (struct tenant) {};
	heap.tenant = &tenant_ops;
	heap.no_mesh = true;
	MUST(!pym_heap_init(&heap, 8, WINDOW) && tenant.began, "no heap");
}

static void end_with_tenant(void)
{
	end();
	MUST(tenant.ended, "the tenant was not told of the end");
}

static struct pym_pool *take(void)
{
	struct pym_pool *pool;
	int err;

	pool = pym_whole_take(&heap, 6, &err);
	MUST(pool, "no pool: error %d", err);
	MUST(pool->class == 6 && bitmap_weight(pool->free, 85) == 85, "no whole pool");
	MUST(pym_whole_has_place(pool), "a pool from the window has no place in it");
	expect_sound();
	return pool;
}

static void whole_pools(const void *unused)
{
	struct pym_pool *pools[NR];
	struct pym_pool_info info;
	struct pym_stats stats;
	unsigned int i;
	u64 at;

	(void)unused;
	begin_with_tenant();
	for (i = 0; i < NR; i++)
		pools[i] = take();
	pools[0]->free[0] &= ~7UL;
	tenant.allocs = 5;
	tenant.frees = 2;
	at = pym_pool_offset(pools[0]);
	MUST(pym_walk_pool(&heap, &at, WINDOW, &info) && info.allocated == 3 && info.free == 82,
	     "%u blocks of 3, %u free", info.allocated, info.free);
	pym_heap_stats(&heap, &stats);
	MUST(stats.blocks == 3 && stats.pools_used == NR, "%llu blocks", stats.blocks);
	pools[0]->free[0] |= 7;
	for (i = 0; i < NR; i++)
		give(pools[i]);
	pym_trim(&heap);
	MUST(!heap.pages && tenant.gone >= NR, "%llu pages are left", heap.pages);
	end_with_tenant();
}

/* A limit is met: the tenant is asked for what it can give. */
static void whole_pools_at_a_limit(const void *unused)
{
	struct pym_pool *pools[NR];
	unsigned int nr = 0;
	int err;

	(void)unused;
	begin_with_tenant();
	heap.limit = 300000;
	while (nr < NR && (pools[nr] = pym_whole_take(&heap, 6, &err)))
		nr++;
	MUST(nr < NR && err == -ENOMEM && tenant.flushes, "error %d after %u", err, nr);
	MUST(!pym_whole_make(&heap, 6, GFP_KERNEL, 1), "a pool beyond the limit");
	expect_sound();
	tenant.spare = pools[--nr];
	pools[nr] = take();
	MUST(!tenant.spare, "the tenant was not asked");
	while (nr + 1)
		give(pools[nr--]);
	end_with_tenant();
}

/* Pools that were made outside of the window get a place, or go. */
static void whole_pools_without_a_place(const void *unused)
{
	struct pym_pool *pools[200];
	unsigned int i;

	(void)unused;
	begin_with_tenant();
	for (i = 0; i < ARRAY_SIZE(pools); i++) {
		pools[i] = pym_whole_make(&heap, 6, GFP_KERNEL, i + 1);
		MUST(pools[i] && !pym_whole_has_place(pools[i]), "no pool");
		expect_sound();
	}
	MUST(!heap.pages, "pages without a place count");
	give(take());
	for (i = 0; i < ARRAY_SIZE(pools) / 2; i++) {
		MUST(!pym_whole_adopt(&heap, pools[i]), "not adopted");
		MUST(pym_whole_has_place(pools[i]), "no place");
		expect_sound();
	}
	MUST(heap.pages >= i, "%llu pages", heap.pages);
	for (; i < ARRAY_SIZE(pools); i++)
		pym_whole_discard(pools[i]);
	for (i = 0; i < ARRAY_SIZE(pools) / 2; i++)
		give(pools[i]);
	end_with_tenant();
}

int main(void)
{
	tap_begin();
	tap_run("blocks", blocks, NULL);
	tap_run("pages in use", pages_in_use, NULL);
	tap_run("large objects", large_objects, NULL);
	tap_run("resizes", resizes, NULL);
	tap_run("whole pools", whole_pools, NULL);
	tap_run("whole pools at a limit", whole_pools_at_a_limit, NULL);
	tap_run("whole pools without a place", whole_pools_without_a_place, NULL);
	return tap_end();
}
