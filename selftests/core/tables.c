// SPDX-License-Identifier: GPL-2.0
/*
 * Table tests: batches of many lengths in every size class, freed in several orders; and
 * the rules by which arenas, pools and blocks are chosen.
 */
#include "shadow.h"
#include "random.h"
#include "tap.h"

#define MAX_BATCH	1000
#define WINDOW		(64ULL << 20)
#define POOL		PYMALLOC_POOL_SIZE
#define ARENA		PYMALLOC_ARENA_SIZE
#define FIRST_ARENA	((u64)ARENA)

static struct shadow *heap_of(u32 alignment, u64 window)
{
	struct shadow_config config = { .alignment = alignment, .window = window };

	MUST(!pym_arena_cache_init(), "no cache");
	return shadow_new(&config);
}

static void done(struct shadow *shadow)
{
	shadow_verify(shadow);
	shadow_delete(shadow);
	pym_arena_cache_exit();
}

static u64 one(struct shadow *shadow, u64 size)
{
	u64 ref;

	MUST(shadow_alloc(shadow, size, false, &ref, 1) == 1, "no memory");
	return ref;
}

static void many(struct shadow *shadow, u64 size, u64 *refs, unsigned int nr)
{
	MUST(shadow_alloc(shadow, size, false, refs, nr) == nr, "no memory");
}

static void expect_ref(struct shadow *shadow, u64 size, u64 expected)
{
	u64 ref = one(shadow, size);

	MUST(ref == expected, "%llu bytes at %#llx, not %#llx", size, ref, expected);
}

/* Allocate a block, in a pool that had none before. */
static void expect_pool(struct shadow *shadow, u64 size, u64 expected)
{
	u64 pool = round_down(one(shadow, size), POOL);

	MUST(pool == expected, "%llu bytes in the pool at %#llx, not %#llx", size, pool, expected);
}

/*
 * All classes, batches, orders
 */
static void fifo(u64 *refs, unsigned int nr)
{
	(void)refs;
	(void)nr;
}

static void lifo(u64 *refs, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr / 2; i++)
		swap(refs[i], refs[nr - 1 - i]);
}

static void odd_then_even(u64 *refs, unsigned int nr)
{
	u64 copy[MAX_BATCH];
	unsigned int i;

	memcpy(copy, refs, nr * sizeof(*refs));
	for (i = 0; i < nr; i++)
		refs[i] = copy[i < nr / 2 ? 2 * i + 1 : 2 * (i - nr / 2)];
}

static void shuffled(u64 *refs, unsigned int nr)
{
	struct random random = { 1989 };

	for (; nr > 1; nr--) {
		size_t other = random_below(&random, nr);

		swap(refs[nr - 1], refs[other]);
	}
}

struct table {
	u32 alignment;
	unsigned int nr;
	const char *order;
	void (*sort)(u64 *refs, unsigned int nr);
};

/* The block that is handed out after another one of its pool, when both are untouched. */
static u64 next_in_turn(u64 ref, u32 size)
{
	u64 pool = round_down(ref, POOL);

	return pool + ((ref - pool) / size + 1) % (POOL / size) * size;
}

/*
 * Blocks of a new pool are allocated in turn, and pools of a new arena in their order.
 */
static void expect_in_a_row(const u64 *refs, unsigned int nr, u32 size)
{
	u32 capacity = POOL / size;
	unsigned int i;

	for (i = 1; i < nr; i++)
		MUST(i % capacity ? refs[i] == next_in_turn(refs[i - 1], size) :
				    refs[i] / POOL == refs[i - 1] / POOL + 1,
		     "%u bytes: %#llx after %#llx", size, refs[i], refs[i - 1]);
}

static void expect_figures(struct shadow *shadow, u32 size, u64 nr)
{
	u32 capacity = POOL / size;
	struct pym_class_stats stats;

	pym_class_stats(&shadow->heap, size / PYMALLOC_BLOCK_MIN, &stats);
	MUST(stats.size == size && stats.blocks == nr && stats.pools_full == nr / capacity &&
	     stats.pools_used == !!(nr % capacity) && !stats.blocks_free &&
	     stats.blocks_untouched == (nr % capacity ? capacity - nr % capacity : 0),
	     "the figures of %u bytes", size);
}

static void one_class(struct shadow *shadow, const struct table *table, u32 size)
{
	u64 refs[MAX_BATCH];
	unsigned int i;

	many(shadow, size, refs, table->nr);
	MUST(round_down(refs[0], POOL) == FIRST_ARENA, "%u bytes start in another pool", size);
	expect_in_a_row(refs, table->nr, size);
	expect_figures(shadow, size, table->nr);
	for (i = 0; i < table->nr; i++)
		MUST(refs[i] % table->alignment == 0, "%#llx is not aligned", refs[i]);
	table->sort(refs, table->nr);
	/* In two batches, so that some pools are left half empty. */
	MUST(!shadow_free(shadow, refs, table->nr / 2), "bad refs");
	shadow_verify(shadow);
	MUST(!shadow_free(shadow, refs + table->nr / 2, table->nr - table->nr / 2), "bad refs");
	expect_figures(shadow, size, 0);
	shadow_trim(shadow);
}

static void all_classes(const void *what)
{
	const struct table *table = what;
	struct shadow *shadow = heap_of(table->alignment, 2 * ARENA + 16 * ARENA);
	u32 size;

	for (size = table->alignment; size <= PYMALLOC_BLOCK_MAX; size += table->alignment)
		one_class(shadow, table, size);
	MUST(!shadow->heap.pages && !shadow->heap.nr_arenas, "something is left");
	done(shadow);
}

static void run_table(void)
{
	static const unsigned int batches[] = { 1, 2, 3, 63, 64, 65, 127, 128, 512, 1000 };
	static const struct table orders[] = {
		{ 8, 0, "first in first out", fifo },
		{ 8, 0, "last in first out", lifo },
		{ 8, 0, "odd before even", odd_then_even },
		{ 8, 0, "shuffled", shuffled },
	};
	struct table table;
	char name[80];
	size_t i, j;
	u32 alignment;

	for (alignment = 8; alignment <= 16; alignment += 8) {
		for (i = 0; i < ARRAY_SIZE(batches); i++) {
			for (j = 0; j < ARRAY_SIZE(orders); j++) {
				table = orders[j];
				table.alignment = alignment;
				table.nr = batches[i];
				snprintf(name, sizeof(name), "%u classes, batches of %u, %s",
					 512 / alignment, table.nr, table.order);
				tap_run(name, all_classes, &table);
			}
		}
	}
}

/*
 * Single rules
 */

/* A pool has no header: it has room for 4096 / size blocks. */
static void capacity(const void *unused)
{
	struct shadow *shadow = heap_of(8, WINDOW);
	u64 refs[POOL / 8 + 1];
	u32 size, nr;

	(void)unused;
	for (size = 8; size <= PYMALLOC_BLOCK_MAX; size += 8) {
		nr = POOL / size;
		many(shadow, size, refs, nr);
		MUST(refs[nr - 1] / POOL == refs[0] / POOL, "%u bytes: %u blocks", size, nr);
		expect_figures(shadow, size, nr);
		MUST(one(shadow, size) / POOL != refs[0] / POOL, "%u bytes: one more", size);
		MUST(size != 512 || nr == 8, "%u blocks of 512 bytes", nr);
	}
	done(shadow);
}

/* A size is served by the smallest class that holds it. */
static void sizes(const void *unused)
{
	static const u64 large[] = { 513, 4096, 4097, ARENA - 1, ARENA, ARENA + 1,
				     3 * ARENA, PYMALLOC_SIZE_MAX - 1, PYMALLOC_SIZE_MAX };
	u32 alignment, size;
	struct shadow *shadow;
	u64 ref, rounded;
	size_t i;

	(void)unused;
	for (alignment = 8; alignment <= 16; alignment += 8) {
		shadow = heap_of(alignment, WINDOW);
		for (size = 1; size <= PYMALLOC_BLOCK_MAX; size++) {
			rounded = (size + alignment - 1) / alignment * alignment;
			MUST(shadow_usable(shadow, one(shadow, size)) == rounded, "%u", size);
		}
		for (i = 0; i < ARRAY_SIZE(large); i++) {
			ref = one(shadow, large[i]);
			rounded = (large[i] + POOL - 1) / POOL * POOL;
			MUST(shadow_usable(shadow, ref) == rounded, "%llu", large[i]);
			MUST(!shadow_free(shadow, &ref, 1), "%llu", large[i]);
		}
		done(shadow);
	}
}

/* Which refs are good is exact: for every byte of a pool, in every class. */
static void every_offset(const void *unused)
{
	struct shadow *shadow = heap_of(8, WINDOW);
	u64 refs[POOL / 8 / 2 + 1], offset;
	u32 size;

	(void)unused;
	for (size = 8; size <= PYMALLOC_BLOCK_MAX; size += 8) {
		/* Half of the pool, of which every third block is free again. */
		unsigned int nr = POOL / size / 2 + 1, i;

		many(shadow, size, refs, nr);
		for (i = 1; i < nr; i += 3)
			shadow_free(shadow, &refs[i], 1);
		for (offset = 0; offset < POOL; offset++) {
			u64 ref = round_down(refs[0], POOL) + offset;

			if (!shadow_usable(shadow, ref))
				MUST(shadow_free(shadow, &ref, 1) == 1, "%#llx was freed", ref);
		}
	}
	done(shadow);
}

static int compare_refs(const void *a, const void *b)
{
	const u64 *one = a, *two = b;

	return (*one > *two) - (*one < *two);
}

/* Free blocks are allocated before untouched ones, the lowest first. */
static void lowest_block(const void *unused)
{
	struct shadow *shadow = heap_of(8, WINDOW);
	u64 refs[10], again[] = { 7, 3, 0, 5 }, i;

	(void)unused;
	many(shadow, 32, refs, 10);
	for (i = 0; i < ARRAY_SIZE(again); i++) {
		again[i] = refs[again[i]];
		shadow_free(shadow, &again[i], 1);
	}
	qsort(again, ARRAY_SIZE(again), sizeof(*again), compare_refs);
	for (i = 0; i < ARRAY_SIZE(again); i++)
		expect_ref(shadow, 32, again[i]);
	expect_ref(shadow, 32, next_in_turn(refs[9], 32));
	done(shadow);
}

/* A batch takes free blocks of all words of the bitmap, in order, then untouched ones. */
static void lowest_blocks(const void *unused)
{
	struct shadow *shadow = heap_of(8, WINDOW);
	u64 refs[300], again[100], expected[100];
	unsigned int i;

	(void)unused;
	many(shadow, 8, refs, 300);
	for (i = 0; i < 90; i++)
		expected[i] = refs[i * 3 + 20];
	expected[90] = next_in_turn(refs[299], 8);
	for (i = 91; i < 100; i++)
		expected[i] = next_in_turn(expected[i - 1], 8);
	memcpy(again, expected, sizeof(again));
	qsort(expected, 90, sizeof(*expected), compare_refs);
	shuffled(again, 90);
	MUST(!shadow_free(shadow, again, 90), "bad refs");
	many(shadow, 8, again, 100);
	MUST(!memcmp(again, expected, sizeof(again)), "other blocks");
	done(shadow);
}

/*
 * A program that keeps every 64th of its blocks, 64 of which fit into a pool, keeps one of
 * each pool.  These lie in all slots alike, so that many pools can have one frame.
 */
static void regular_survivors(const void *unused)
{
	const unsigned int nr = 64 * 1000;
	struct shadow *shadow = heap_of(8, WINDOW);
	unsigned int slots[64] = {}, i;
	static u64 refs[64 * 1000];

	(void)unused;
	for (i = 0; i < nr; i += MAX_BATCH)
		many(shadow, 64, refs + i, min(MAX_BATCH, nr - i));
	for (i = 0; i < nr; i += 64)
		slots[refs[i] % POOL / 64]++;
	for (i = 0; i < 64; i++)
		MUST(slots[i] >= 12 && slots[i] <= 20, "%u of 1000 are in slot %u", slots[i], i);
	done(shadow);
}

/* Free all but @left of the 64 blocks of a pool; they have 64 bytes each. */
static void thin_out(struct shadow *shadow, const u64 *refs, unsigned int left)
{
	MUST(!shadow_free(shadow, refs + left, 64 - left), "bad refs");
}

/* A fuller pool serves before a sparser one. */
static void fullest_pool(const void *unused)
{
	static const unsigned int left[] = { 5, 60, 20, 40 }, order[] = { 1, 3, 2, 0 };
	struct shadow *shadow = heap_of(8, WINDOW);
	u64 refs[4][64];
	unsigned int i, j;

	(void)unused;
	many(shadow, 64, refs[0], 4 * 64);
	for (i = 0; i < 4; i++) {
		qsort(refs[i], 64, sizeof(*refs[i]), compare_refs);
		thin_out(shadow, refs[i], left[i]);
	}
	for (i = 0; i < 4; i++)
		for (j = left[order[i]]; j < 64; j++)
			expect_ref(shadow, 64, refs[order[i]][j]);
	expect_figures(shadow, 64, 256);
	done(shadow);
}

/*
 * A new pool comes from the arena with the fewest free pools.  In this arena empty pools,
 * which have a page, are taken first, and of these the lowest.
 */
static void fullest_arena(const void *unused)
{
	/* Which pools of three full arenas become empty. */
	static const unsigned int freed[3][4] = { { 9, 3, 60, 20 }, { 7, 11 }, { 1, 2, 0, 63 } };
	static const unsigned int nr_freed[] = { 4, 2, 3 };
	struct shadow *shadow = heap_of(8, WINDOW);
	u64 refs[3 * 64 * 8], first;
	unsigned int i, j;

	(void)unused;
	many(shadow, 512, refs, ARRAY_SIZE(refs));
	for (i = 0; i < 3; i++)
		for (j = 0; j < nr_freed[i]; j++)
			MUST(!shadow_free(shadow, &refs[(i * 64 + freed[i][j]) * 8], 8), "bad");
	first = round_down(refs[0], POOL);
	MUST(first == FIRST_ARENA, "the first arena is at %#llx", first);
	expect_pool(shadow, 8, first + ARENA + 7 * POOL);
	expect_pool(shadow, 16, first + ARENA + 11 * POOL);
	expect_pool(shadow, 24, first + 2 * ARENA + 0 * POOL);
	shadow_trim(shadow);
	MUST(!shadow_free(shadow, &refs[(2 * 64 + 50) * 8], 8), "bad refs");
	expect_pool(shadow, 32, first + 2 * ARENA + 50 * POOL);
	expect_pool(shadow, 40, first + 2 * ARENA + 1 * POOL);
	done(shadow);
}

/* A run is put into the shortest gap that is long enough. */
static void tightest_gap(const void *unused)
{
	struct shadow *shadow = heap_of(8, WINDOW);
	u64 a, b, c, all;

	(void)unused;
	/* Three arenas, with gaps of 10, 30 and 20 pages at their ends. */
	a = one(shadow, 54 * POOL);
	b = one(shadow, 34 * POOL);
	c = one(shadow, 44 * POOL);
	MUST(b == a + ARENA && c == b + ARENA, "other arenas");
	expect_ref(shadow, 15 * POOL, c + 44 * POOL);
	expect_ref(shadow, 10 * POOL, a + 54 * POOL);
	expect_ref(shadow, 5 * POOL, c + 59 * POOL);
	expect_ref(shadow, 30 * POOL, b + 34 * POOL);
	all = one(shadow, 64 * POOL);
	MUST(all == c + ARENA, "a whole arena");
	done(shadow);
}

/* A run longer than an arena gets new arenas.  The rest of the last one is free. */
static void long_runs(const void *unused)
{
	struct shadow *shadow = heap_of(8, WINDOW);
	u64 a = one(shadow, 2 * ARENA + 10 * POOL), b;

	(void)unused;
	MUST(a == FIRST_ARENA, "the first arena is at %#llx", a);
	expect_ref(shadow, 54 * POOL, a + 2 * ARENA + 10 * POOL);
	/* 60 of the 63 arenas of the first region are free: two runs of 30 fit there. */
	expect_ref(shadow, 30 * ARENA, a + 3 * ARENA);
	expect_ref(shadow, 31 * ARENA, 64 * ARENA);
	expect_ref(shadow, 30 * ARENA, a + 33 * ARENA);
	b = one(shadow, PYMALLOC_SIZE_MAX);
	MUST(b == 128 * (u64)ARENA, "a whole region at %#llx", b);
	MUST(!shadow_free(shadow, &a, 1), "bad ref");
	MUST(!shadow_free(shadow, &b, 1), "bad ref");
	done(shadow);
}

/* A run that shrinks gives back the pages at its end, also in several arenas. */
static void shrinking_runs(const void *unused)
{
	static const u64 pages[] = { 192, 191, 130, 129, 128, 127, 65, 64, 63, 2, 1 };
	struct shadow *shadow = heap_of(8, WINDOW);
	u64 ref = one(shadow, pages[0] * POOL), was = ref;
	size_t i;

	(void)unused;
	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		MUST(!shadow_resize(shadow, &ref, pages[i] * POOL) && ref == was, "it moved");
		MUST(shadow->heap.pages == pages[i], "%llu pages", shadow->heap.pages);
		shadow_verify(shadow);
	}
	done(shadow);
}

/* Free refs that are bad in every way, and good ones twice. */
static void bad_frees(const void *unused)
{
	struct shadow *shadow = heap_of(8, WINDOW);
	u64 refs[3], run, gone;
	unsigned int i;

	(void)unused;
	gone = one(shadow, 200);
	many(shadow, 48, refs, 3);
	run = one(shadow, 3 * POOL);
	shadow_free(shadow, &gone, 1);
	shadow_free(shadow, &refs[1], 1);
	{
		const struct {
			u64 ref;
			u8 status;
		} bad[] = {
			{ 0, PYMALLOC_REF_RANGE },
			{ ARENA - 8, PYMALLOC_REF_RANGE },
			{ WINDOW, PYMALLOC_REF_RANGE },
			{ ~0ULL, PYMALLOC_REF_RANGE },
			{ refs[0] | 1ULL << 63, PYMALLOC_REF_RANGE },
			{ WINDOW - 8, PYMALLOC_REF_FOREIGN },
			{ refs[0] + POOL, PYMALLOC_REF_FOREIGN },
			{ gone, PYMALLOC_REF_FOREIGN },
			{ run + 3 * POOL, PYMALLOC_REF_FOREIGN },
			{ refs[0] + 1, PYMALLOC_REF_MISALIGNED },
			{ refs[0] + 8, PYMALLOC_REF_MISALIGNED },
			{ round_down(refs[0], POOL) + POOL / 48 * 48, PYMALLOC_REF_MISALIGNED },
			{ run + 8, PYMALLOC_REF_MISALIGNED },
			{ run + POOL, PYMALLOC_REF_MISALIGNED },
			{ next_in_turn(refs[2], 48), PYMALLOC_REF_UNTOUCHED },
			{ refs[1], PYMALLOC_REF_FREE },
			/* These are good the first time, and bad the second. */
			{ refs[0], PYMALLOC_REF_OK },
			{ refs[0], PYMALLOC_REF_FREE },
			{ refs[2], PYMALLOC_REF_OK },
			{ refs[0], PYMALLOC_REF_FOREIGN },
			{ run, PYMALLOC_REF_OK },
			{ run, PYMALLOC_REF_FOREIGN },
		};
		u64 batch[ARRAY_SIZE(bad)];
		u8 status[ARRAY_SIZE(bad)];

		for (i = 0; i < ARRAY_SIZE(bad); i++)
			batch[i] = bad[i].ref;
		MUST(pym_free(&shadow->heap, batch, status, i) == i - 3, "other refs are bad");
		for (i = 0; i < ARRAY_SIZE(bad); i++)
			MUST(status[i] == bad[i].status, "%#llx: %u, not %u", bad[i].ref,
			     status[i], bad[i].status);
	}
	MUST(atomic64_read(&shadow->heap.nr_bad_refs) == i - 3, "other counts");
	shadow_delete(shadow);
	pym_arena_cache_exit();
}

/* A heap has empty pools up to a bound, and trim gives back all their pages. */
static void empty_pools(const void *unused)
{
	struct shadow *shadow = heap_of(8, WINDOW);
	u64 refs[512], nr, kept;

	(void)unused;
	for (nr = 8; nr <= 512; nr += 8) {
		many(shadow, 512, refs, nr);
		MUST(!shadow_free(shadow, refs, nr), "bad refs");
		kept = shadow->heap.nr_empty;
		MUST(kept == shadow->heap.pages && kept >= min(nr / 8, PYM_EMPTY_MIN / 2),
		     "%llu pools are kept of %llu", kept, nr / 8);
	}
	MUST(shadow_trim(shadow) == kept * POOL && !shadow->heap.nr_arenas, "something is left");
	MUST(!shadow_trim(shadow), "nothing is left to trim");
	done(shadow);
}

/* A page with another reference outlives its pool, but no heap uses it any more. */
static void pinned_page(const void *unused)
{
	struct shadow *shadow = heap_of(8, WINDOW);
	u64 ref = one(shadow, 100);
	struct page *page;
	char *memory;

	(void)unused;
	MUST(pym_pages_get(&shadow->heap, ref, &page, 1) == 1, "no page");
	MUST(pym_pages_same(&shadow->heap, ref, &page, 1) == 1, "another page");
	memory = page_address(page);
	MUST(!shadow_free(shadow, &ref, 1), "bad ref");
	shadow_trim(shadow);
	MUST(!pym_pages_same(&shadow->heap, ref, &page, 1), "the page is still found");
	memset(memory, 0xff, POOL);
	put_page(page);
	ref = one(shadow, 5 * POOL);
	MUST(pym_pages_get(&shadow->heap, ref + 4 * POOL, &page, 1) == 1, "no page");
	memory = page_address(page);
	/* Not at its ends: the shadow has written there. */
	MUST(!memory[POOL / 2], "a run is not zero");
	put_page(page);
	MUST(!pym_pages_get(&shadow->heap, WINDOW, &page, 1), "a page beyond the window");
	MUST(!pym_pages_get(&shadow->heap, ~0ULL, &page, 1), "a page beyond the window");
	done(shadow);
}

static u64 meta_in(struct shadow *shadow, u64 bytes)
{
	struct pym_stats stats;

	pym_heap_stats(&shadow->heap, &stats);
	printf("# %llu bytes describe %llu: %.2f %%\n", stats.meta_bytes, bytes,
	       100.0 * stats.meta_bytes / bytes);
	return stats.meta_bytes;
}

/*
 * Metadata is at most 3 % of the pages that it describes.  When one page is left in each
 * arena, it is at most 1 % of the pages that there were.
 */
static void metadata(const void *what)
{
	u64 size = *(const u64 *)what, full = WINDOW - ARENA, at;
	struct shadow *shadow = heap_of(8, WINDOW);
	u64 ref;

	while (shadow->nr_objects < full / size)
		one(shadow, size);
	MUST(meta_in(shadow, full) * 100 <= full * 3, "more than 3 %%");
	for (at = shadow->nr_objects; at--;) {
		ref = shadow->objects[at].ref;
		if (ref % ARENA && !(size > POOL))
			MUST(!shadow_free(shadow, &ref, 1), "bad ref");
		else if (size > POOL)
			MUST(!shadow_resize(shadow, &ref, POOL), "a run does not shrink");
	}
	shadow_trim(shadow);
	MUST(shadow->heap.pages == full / ARENA, "%llu pages are left", shadow->heap.pages);
	MUST(meta_in(shadow, full) * 100 <= full, "more than 1 %%");
	done(shadow);
}

static const struct {
	const char *name;
	void (*test)(const void *unused);
} rules[] = {
	{ "a pool of a class holds 4096 / size blocks", capacity },
	{ "every size up to the largest", sizes },
	{ "every offset in a pool of every class", every_offset },
	{ "the lowest free block first", lowest_block },
	{ "the lowest free blocks first, in a batch", lowest_blocks },
	{ "blocks at equal distances", regular_survivors },
	{ "the fullest pool first", fullest_pool },
	{ "the fullest arena first", fullest_arena },
	{ "the tightest gap for a run", tightest_gap },
	{ "runs of several arenas", long_runs },
	{ "runs that shrink", shrinking_runs },
	{ "bad frees", bad_frees },
	{ "empty pools that are kept", empty_pools },
	{ "a page that somebody holds", pinned_page },
};

int main(void)
{
	static const u64 blocks[] = { 512, 64, 16, 8 }, run = ARENA;
	char name[64];
	size_t i;

	tap_begin();
	run_table();
	for (i = 0; i < ARRAY_SIZE(rules); i++)
		tap_run(rules[i].name, rules[i].test, NULL);
	for (i = 0; i < ARRAY_SIZE(blocks); i++) {
		snprintf(name, sizeof(name), "metadata of a heap full of blocks of %llu bytes",
			 blocks[i]);
		tap_run(name, metadata, &blocks[i]);
	}
	tap_run("metadata of a heap full of runs", metadata, &run);
	return tap_end();
}
