// SPDX-License-Identifier: GPL-2.0
/*
 * The cost of a call does not grow with the heap.
 *
 * The core is compiled with -fsanitize-coverage=trace-pc: each of its basic blocks calls
 * a function, which counts here.  So the test compares steps, and does not depend on
 * time.
 */
#include "core.h"
#include "mappings.h"
#include "tap.h"

#define WINDOW		(16ULL << 30)
#define POOL		PYMALLOC_POOL_SIZE
#define ARENA		PYMALLOC_ARENA_SIZE
#define MAX_ARENAS	10000
#define ARENA_BLOCKS	(64 * 8)

static unsigned long steps;

void __sanitizer_cov_trace_pc(void)
{
	steps++;
}

static struct pym_heap heap;

static const struct pym_heap_ops ops = {
	.hold = mappings_hold,
	.release = mappings_release,
	.zap = mappings_zap,
	.map_grown = mappings_map_grown,
};

static void alloc(u64 size, u64 *refs, unsigned int nr)
{
	int err;

	MUST(pym_alloc(&heap, size, false, refs, nr, &err) == nr, "no memory");
}

static void give_back(const u64 *refs, unsigned int nr)
{
	u8 status[ARENA_BLOCKS];

	MUST(!pym_free(&heap, refs, status, nr), "bad refs");
}

/*
 * Fill arenas with blocks, and make holes of all kinds, from single blocks to whole
 * arenas.  At the end, make a used pool and a gap between runs, which the calls below
 * find first in a heap of any size.
 */
static void fill(unsigned int arenas)
{
	u64 refs[ARENA_BLOCKS], whole[MAX_ARENAS / 20], gap;
	unsigned int i, j;

	for (i = 0; i < arenas; i++) {
		alloc(512, refs, ARENA_BLOCKS);
		for (j = 0; j < i % 7; j++)
			give_back(&refs[8 * 9 * j], 8);
		for (j = 0; j < i % 5; j++)
			give_back(&refs[8 * 9 * j + 8], i % 8);
		if (i % 20 == 19)
			alloc(ARENA, &whole[i / 20], 1);
	}
	for (i = 0; i < arenas / 20; i++)
		give_back(&whole[i], 1);
	alloc(64, refs, 1);
	alloc(61 * POOL, &gap, 1);
	pym_trim(&heap);
}

/*
 * The calls that are measured.  Each leaves the heap as it was.
 */
static void alloc_and_free(u64 size, unsigned int nr)
{
	u64 refs[64];

	alloc(size, refs, nr);
	give_back(refs, nr);
}

static void one_block(void)
{
	alloc_and_free(64, 1);
}

static void many_blocks(void)
{
	alloc_and_free(64, 60);
}

static void new_pool(void)
{
	alloc_and_free(8, 1);
	pym_trim(&heap);
}

static void short_run(void)
{
	alloc_and_free(3 * POOL, 1);
}

static void whole_arena(void)
{
	alloc_and_free(ARENA, 1);
}

static void long_run(void)
{
	alloc_and_free(2 * ARENA, 1);
}

static void bad_ref(void)
{
	u64 refs[] = { 1, WINDOW - 8, ~0ULL }, i;
	u8 status[3];

	MUST(pym_free(&heap, refs, status, 3) == 3, "not bad");
	for (i = 0; i < 3; i++)
		MUST(!pym_usable(&heap, refs[i]), "usable");
}

static void look(void)
{
	struct pym_stats stats;

	pym_heap_stats(&heap, &stats);
}

static const struct {
	const char *name;
	void (*call)(void);
} calls[] = {
	{ "a block", one_block },
	{ "60 blocks", many_blocks },
	{ "a block in a new pool", new_pool },
	{ "a short run", short_run },
	{ "a run of a whole arena", whole_arena },
	{ "a run of two arenas", long_run },
	{ "bad refs", bad_ref },
	{ "statistics", look },
};

static const unsigned int arenas[] = { 1, 100, MAX_ARENAS };
static unsigned long counted[ARRAY_SIZE(calls)][ARRAY_SIZE(arenas)];

static void count(unsigned int size)
{
	size_t i;

	MUST(!pym_arena_cache_init(), "no cache");
	memset(&heap, 0, sizeof(heap));
	heap.ops = &ops;
	MUST(!pym_heap_init(&heap, 8, WINDOW), "no heap");
	fill(arenas[size]);
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		/* The first call also does what is needed only once: do not count it. */
		calls[i].call();
		steps = 0;
		calls[i].call();
		counted[i][size] = steps;
	}
	pym_heap_destroy(&heap);
	pym_arena_cache_exit();
	kernel_empty();
}

/*
 * A call in 10,000 arenas takes at most 5 % more steps than in 100.  The 5 % allow for
 * another layout of the heap; a search through the arenas would take 100 times as many.
 */
static void expect_constant(const void *what)
{
	const unsigned long *steps = counted[*(const size_t *)what];

	printf("# %lu, %lu, %lu steps in 1, 100, 10,000 arenas\n", steps[0], steps[1], steps[2]);
	MUST(steps[2] <= steps[1] + steps[1] / 20, "the cost grows with the heap");
}

int main(void)
{
	size_t i;

	tap_begin();
	for (i = 0; i < ARRAY_SIZE(arenas); i++)
		count(i);
	for (i = 0; i < ARRAY_SIZE(calls); i++)
		tap_run(calls[i].name, expect_constant, &i);
	return tap_end();
}
