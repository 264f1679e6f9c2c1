// SPDX-License-Identifier: GPL-2.0
/*
 * What others find when a call has left the gate: a sound heap, which can be cloned, and
 * whose clone is sound, too.
 *
 * An operation of the heap does both whenever the gate has been left, as fork() and a
 * check by another task may.
 */
#include "core.h"
#include "mappings.h"
#include "tap.h"

#define WINDOW		(64ULL << 20)
#define NR		200
/* Pages of a run that lies in three arenas. */
#define LONG_RUN	(2 * PYMALLOC_ARENA_POOLS + 5)

static struct pym_heap heap;
static struct pym_quota user;
static unsigned int nr_left;
static bool watching;
/* The caller may not wait for the gate. */
static bool trying;

static void expect_sound(struct pym_heap *which)
{
	struct pym_verdict verdict;

	MUST(!pym_check(which, &verdict) && !verdict.errors, "%s", verdict.message);
}

static void expect_a_sound_clone(void)
{
	struct pym_heap *child = calloc(1, sizeof(*child));

	MUST(child && !pym_heap_init(child, heap.alignment, heap.window), "no heap");
	MUST(!pym_heap_clone(&heap, child), "not cloned");
	expect_sound(child);
	pym_pages_destroy(child);
	pym_heap_destroy(child);
	free(child);
}

static int hold(struct pym_heap *held, struct pym_mappings *mappings)
{
	if (watching && held == &heap) {
		watching = false;
		nr_left++;
		expect_sound(&heap);
		expect_a_sound_clone();
		watching = true;
	}
	mappings_hold(held, mappings);
	mappings->try_gate = trying;
	return 0;
}

static const struct pym_heap_ops ops = {
	.hold = hold,
	.release = mappings_release,
	.zap = mappings_zap,
	.map_grown = mappings_map_grown,
};

static void begin(void)
{
	mappings_heap_init(&heap, &user, &ops, WINDOW);
	watching = true;
}

/* @least: so often must the gate have been left, or nothing was tested. */
static void end(unsigned int least)
{
	watching = false;
	MUST(nr_left >= least, "the gate was left only %u times", nr_left);
	expect_sound(&heap);
	pym_pages_destroy(&heap);
	pym_heap_destroy(&heap);
	pym_arena_cache_exit();
	kernel_empty();
}

static void alloc(u64 size, u64 *refs, unsigned int nr)
{
	int err;

	MUST(pym_alloc(&heap, size, false, refs, nr, &err) == nr, "error %d", err);
}

static void release(const u64 *refs, unsigned int nr)
{
	u8 status[NR + 1];

	MUST(!pym_free(&heap, refs, status, nr), "refs are bad that were allocated");
}

/* Pools that lose their last block, and then a run, in one batch. */
static void mixed_batch(const void *unused)
{
	u64 refs[NR + 1];

	(void)unused;
	begin();
	alloc(512, refs, NR);
	alloc(3 * PYMALLOC_POOL_SIZE, refs + NR, 1);
	nr_left = 0;
	release(refs, NR + 1);
	end(1);
}

static void long_run(const void *unused)
{
	u64 ref;

	(void)unused;
	begin();
	alloc(LONG_RUN * PYMALLOC_POOL_SIZE, &ref, 1);
	nr_left = 0;
	release(&ref, 1);
	end(3);
}

static void long_run_that_shrinks(const void *unused)
{
	u64 ref;

	(void)unused;
	begin();
	alloc(LONG_RUN * PYMALLOC_POOL_SIZE, &ref, 1);
	nr_left = 0;
	MUST(!pym_resize(&heap, &ref, PYMALLOC_POOL_SIZE), "not resized");
	end(3);
}

/* The limit is reached in the run's third arena: the other pages go again. */
static void long_run_past_the_limit(const void *unused)
{
	u64 ref;
	int err;

	(void)unused;
	begin();
	heap.limit = atomic_long_read(&heap.quota.used) + PYM_REGION_BYTES +
		     3 * PYM_ARENA_BYTES + (LONG_RUN - 2) * PYMALLOC_POOL_SIZE;
	MUST(!pym_alloc(&heap, LONG_RUN * PYMALLOC_POOL_SIZE, false, &ref, 1, &err) &&
	     err == -ENOMEM, "error %d", err);
	end(3);
}

static void trim(const void *unused)
{
	u64 refs[NR];

	(void)unused;
	begin();
	alloc(512, refs, NR);
	release(refs, NR);
	nr_left = 0;
	MUST(pym_trim(&heap), "no pool was empty");
	end(1);
}

/* What a task does that has other heaps to look after, while another one is alone in this. */
static void beside_a_closed_gate(const void *unused)
{
	struct pym_mesh_result result;
	u64 refs[NR];

	(void)unused;
	begin();
	watching = false;
	trying = true;
	alloc(64, refs, NR);
	/* Two pools that can be meshed stay. */
	release(refs + 1, NR - 2);
	heap.gate.writer = true;
	MUST(!pym_trim_round(&heap), "the gate was passed");
	MUST(!pym_trim_idle(&heap, 0), "the gate was passed");
	pym_trim_surplus(&heap);
	MUST(!heap.pages_out, "the gate was passed");
	MUST(pym_mesh(&heap, &result) == -EAGAIN, "the gate was passed");
	heap.gate.writer = false;
	MUST(pym_trim_idle(&heap, 1), "no pool was idle");
	MUST(heap.nr_empty <= 1, "pools are left that were idle");
	pym_trim_round(&heap);
	MUST(!heap.nr_empty, "pools are left that are empty");
	MUST(!pym_mesh(&heap, &result), "not meshed");
	release(refs, 1);
	release(refs + NR - 1, 1);
	trying = false;
	end(0);
}

static void resize_to_a_run_and_back(const void *unused)
{
	u64 ref;

	(void)unused;
	begin();
	alloc(100, &ref, 1);
	MUST(!pym_resize(&heap, &ref, 3 * PYMALLOC_POOL_SIZE), "not resized");
	MUST(!pym_resize(&heap, &ref, 100), "not resized");
	end(1);
}

int main(void)
{
	tap_begin();
	tap_run("blocks and a run in one batch", mixed_batch, NULL);
	tap_run("a run in three arenas", long_run, NULL);
	tap_run("a run in three arenas that shrinks", long_run_that_shrinks, NULL);
	tap_run("a run in three arenas past the limit", long_run_past_the_limit, NULL);
	tap_run("a trim", trim, NULL);
	tap_run("a task that may not wait", beside_a_closed_gate, NULL);
	tap_run("a block that becomes a run, and a block again", resize_to_a_run_and_back, NULL);
	return tap_end();
}
