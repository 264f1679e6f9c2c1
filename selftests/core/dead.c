// SPDX-License-Identifier: GPL-2.0
/*
 * Dead heaps: no page is left, and all that is said of blocks is as it was.
 */
#include "core.h"
#include "mappings.h"
#include "random.h"
#include "tap.h"

#define WINDOW		(64ULL << 20)
#define NR		20000

static struct pym_heap heap;
static struct pym_quota user;

static const struct pym_heap_ops ops = {
	.hold = mappings_hold,
	.release = mappings_release,
	.zap = mappings_zap,
	.map_grown = mappings_map_grown,
};

static u64 refs[NR];

static void expect_sound(struct pym_heap *which)
{
	struct pym_verdict verdict;

	MUST(!pym_check(which, &verdict) && !verdict.errors, "%s", verdict.message);
	MUST(!pym_check_live(which, &verdict) && !verdict.errors, "%s", verdict.message);
}

/* Blocks of all sizes and some large objects; a third is left, in meshed pools, too. */
static void fill(void)
{
	struct random random = { 3 };
	struct pym_mesh_result result;
	unsigned int i;
	u8 status;
	int err;

	for (i = 0; i < NR; i++) {
		u64 size = i % 500 ? 1 + random_below(&random, 512) : 5000 + i;

		MUST(pym_alloc(&heap, size, 0, &refs[i], 1, &err) == 1, "error %d", err);
	}
	for (i = 0; i < NR; i++)
		if (random_below(&random, 3))
			MUST(!pym_free(&heap, &refs[i], &status, 1), "status %u", status);
	MUST(!pym_mesh(&heap, &result) && result.pages_freed, "nothing meshed");
}

/* A number that follows from the place, the size and the state of each block. */
static u64 walk(void)
{
	struct pym_block_info blocks[512];
	u64 at = 0, sum = 0;
	unsigned int nr, i;

	while (at < heap.window) {
		nr = pym_walk_blocks(&heap, &at, heap.window, blocks, 512);
		for (i = 0; i < nr; i++)
			sum = sum * 31 + blocks[i].ref * 7 + blocks[i].size * 3 + blocks[i].state;
	}
	return sum;
}

static void expect_as_before(const struct pym_stats *before)
{
	struct pym_stats stats;

	pym_heap_stats(&heap, &stats);
	MUST(!stats.page_bytes && !stats.pools_empty, "%llu bytes of pages stay", stats.page_bytes);
	MUST(stats.blocks == before->blocks && stats.block_bytes == before->block_bytes &&
	     stats.runs == before->runs && stats.run_pages == before->run_pages &&
	     stats.pools_used == before->pools_used && stats.pools_full == before->pools_full &&
	     stats.pools_meshed == before->pools_meshed &&
	     stats.nr_allocs == before->nr_allocs && stats.nr_frees == before->nr_frees,
	     "other figures");
	MUST(stats.meta_bytes <= before->meta_bytes, "more metadata");
	MUST(user.used.value == (long)stats.meta_bytes, "%ld bytes are charged, not %llu",
	     user.used.value, stats.meta_bytes);
}

static void destroy(struct pym_heap *which)
{
	pym_heap_destroy(which);
	MUST(!which->quota.used.value && !which->quota.meta.value, "bytes stay charged");
}

static void end(void)
{
	destroy(&heap);
	MUST(!user.used.value, "%ld bytes stay charged", user.used.value);
	pym_arena_cache_exit();
}

static void stays_as_it_was(const void *unused)
{
	struct pym_stats before;
	u64 walked;

	(void)unused;
	mappings_heap_init(&heap, &user, &ops, WINDOW);
	fill();
	pym_trim(&heap);
	pym_heap_stats(&heap, &before);
	walked = walk();
	pym_pages_bury(&heap);
	expect_sound(&heap);
	expect_as_before(&before);
	MUST(walk() == walked, "another walk");
	end();
}

/* Empty pools go, and with them arenas that have no other ones. */
static void forgets_empty_pools(const void *unused)
{
	unsigned int i;
	u8 status;
	int err;

	(void)unused;
	mappings_heap_init(&heap, &user, &ops, WINDOW);
	for (i = 0; i < 200; i++)
		MUST(pym_alloc(&heap, 512, 0, &refs[i], 1, &err) == 1, "error %d", err);
	for (i = 0; i < 200; i++)
		MUST(!pym_free(&heap, &refs[i], &status, 1), "status %u", status);
	MUST(heap.nr_empty, "no pool is empty");
	pym_pages_bury(&heap);
	expect_sound(&heap);
	MUST(!heap.nr_empty && !heap.nr_arenas, "%llu arenas stay", heap.nr_arenas);
	end();
}

/* The pages that it shared are its relative's alone then. */
static void leaves_relatives_alone(const void *unused)
{
	struct pym_heap *child = calloc(1, sizeof(*child));

	(void)unused;
	mappings_heap_init(&heap, &user, &ops, WINDOW);
	fill();
	child->ops = &ops;
	MUST(!pym_heap_init(child, heap.alignment, heap.window), "no heap");
	MUST(!pym_heap_clone(&heap, child), "not cloned");
	pym_pages_bury(&heap);
	expect_sound(&heap);
	expect_sound(child);
	MUST(!heap.pages && !heap.maybe_shared, "shared pages stay");
	MUST(pym_pages_settle(child), "pages are still shared");
	expect_sound(child);
	destroy(child);
	free(child);
	end();
}

/* The checker finds a page where there can be none. */
static void has_no_page(const void *unused)
{
	struct pym_verdict verdict;
	struct pym_pool *pool;
	int err;

	(void)unused;
	mappings_heap_init(&heap, &user, &ops, WINDOW);
	MUST(pym_alloc(&heap, 64, 0, refs, 1, &err) == 1, "error %d", err);
	pym_pages_bury(&heap);
	rcu_read_lock();
	pool = pym_pool_find(&heap, refs[0]);
	rcu_read_unlock();
	pool->page = (struct page *)&heap;
	MUST(!pym_check_live(&heap, &verdict) && verdict.errors, "not found");
	MUST(!strcmp(verdict.message, "a pool of a dead heap has a page"), "%s", verdict.message);
	pool->page = NULL;
	expect_sound(&heap);
	end();
}

/* A quota that can do without some of what is charged gives it back when it is needed. */
static unsigned long dispensable;

static bool relieve(struct pym_quota *quota, unsigned long missing)
{
	if (dispensable < missing)
		return false;
	dispensable -= PAGE_SIZE;
	pym_quota_uncharge(quota, PAGE_SIZE);
	return true;
}

static void gives_way(const void *unused)
{
	static const unsigned long max = 10 * PAGE_SIZE;
	struct pym_quota quota = { .max = &max, .relieve = relieve };

	(void)unused;
	dispensable = 4 * PAGE_SIZE;
	MUST(!pym_quota_charge(&quota, 9 * PAGE_SIZE), "refused");
	MUST(!pym_quota_charge(&quota, 3 * PAGE_SIZE), "refused");
	MUST(dispensable == 2 * PAGE_SIZE, "%lu bytes are left", dispensable);
	MUST(pym_quota_charge(&quota, 3 * PAGE_SIZE) == -EDQUOT, "not refused");
	MUST(dispensable == 2 * PAGE_SIZE, "gave back for nothing");
	MUST(quota.used.value == 10 * (long)PAGE_SIZE, "%ld bytes are charged", quota.used.value);
}

int main(void)
{
	tap_begin();
	tap_run("dead.stays_as_it_was", stays_as_it_was, NULL);
	tap_run("dead.forgets_empty_pools", forgets_empty_pools, NULL);
	tap_run("dead.leaves_relatives_alone", leaves_relatives_alone, NULL);
	tap_run("dead.has_no_page", has_no_page, NULL);
	tap_run("dead.gives_way", gives_way, NULL);
	return tap_end();
}
