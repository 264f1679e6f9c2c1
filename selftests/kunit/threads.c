// SPDX-License-Identifier: GPL-2.0
/*
 * Threads on one heap.  They exchange objects, so that most are freed by another thread
 * than the one that has allocated them.  Each object contains a mark, which shows if two
 * threads have got the same object.
 */
#include <linux/highmem.h>
#include <linux/prandom.h>
#include <linux/workqueue.h>

#include "kunit.h"

#define THREADS		4
#define SLOTS		256
#define BATCH		16

struct crowd {
	struct pym_heap *heap;
	const struct kind *kind;
	u64 slots[SLOTS];
	atomic_t running;
	atomic_t errors;
	struct thread {
		struct work_struct work;
		struct crowd *crowd;
		struct rnd_state random;
	} threads[THREADS];
};

/* Fewer rounds with runs: each run takes pages from the system and gives them back. */
static const struct kind {
	const char *what;
	u64 smallest;
	u64 largest;
	unsigned int rounds;
} kinds[] = {
	{ "the smallest blocks", 8, 8, 500 },
	{ "the largest blocks", 512, 512, 500 },
	{ "blocks of all classes", 8, 512, 500 },
	{ "runs", 513, 20000, 40 },
	{ "blocks and runs", 8, 2000, 60 },
};

static u64 *mark_of(struct pym_heap *heap, u64 ref)
{
	return page_address(heap_pool(heap, ref)->page) + offset_in_page(ref);
}

/* Put an object into its slot, and free the one that was there. */
static void exchange(struct crowd *crowd, u64 *slot, u64 ref)
{
	u64 old = xchg(slot, ref);

	if (!old)
		return;
	if (xchg(mark_of(crowd->heap, old), 0) != old)
		atomic_inc(&crowd->errors);
	if (free_one(crowd->heap, old) != PYMALLOC_REF_OK)
		atomic_inc(&crowd->errors);
}

static void one_round(struct thread *thread)
{
	struct crowd *crowd = thread->crowd;
	const struct kind *kind = crowd->kind;
	u32 random = prandom_u32_state(&thread->random);
	u64 size = kind->smallest + random % (kind->largest - kind->smallest + 1);
	unsigned int nr = 1 + (random >> 16) % BATCH, got, i;
	u64 refs[BATCH];
	int err;

	got = pym_alloc(crowd->heap, size, false, refs, nr, &err);
	if (got != nr)
		atomic_inc(&crowd->errors);
	for (i = 0; i < got; i++) {
		xchg(mark_of(crowd->heap, refs[i]), refs[i]);
		exchange(crowd, &crowd->slots[prandom_u32_state(&thread->random) % SLOTS],
			 refs[i]);
	}
}

static void run_thread(struct work_struct *work)
{
	struct thread *thread = container_of(work, struct thread, work);
	unsigned int round;

	for (round = 0; round < thread->crowd->kind->rounds; round++) {
		one_round(thread);
		cond_resched();
	}
	atomic_dec(&thread->crowd->running);
}

static void start(struct crowd *crowd)
{
	unsigned int i;

	atomic_set(&crowd->running, THREADS);
	for (i = 0; i < THREADS; i++) {
		struct thread *thread = &crowd->threads[i];

		thread->crowd = crowd;
		prandom_seed_state(&thread->random, i + 1);
		INIT_WORK(&thread->work, run_thread);
		queue_work(system_unbound_wq, &thread->work);
	}
}

/* Inspect the heap in all ways while the threads use it. */
static void look(struct kunit *test, struct pym_heap *heap)
{
	struct pym_stats stats = heap_stats(heap);
	struct pym_pool_info info;
	u64 at = 0;

	KUNIT_EXPECT_GE(test, stats.page_bytes_peak, stats.page_bytes);
	while (pym_walk_pool(heap, &at, TEST_WINDOW, &info))
		KUNIT_EXPECT_LE(test, info.allocated * info.size, PYMALLOC_POOL_SIZE);
	heap_check(test, heap);
	pym_trim(heap);
}

static void finish(struct crowd *crowd)
{
	unsigned int i;

	for (i = 0; i < THREADS; i++)
		flush_work(&crowd->threads[i].work);
	for (i = 0; i < SLOTS; i++)
		exchange(crowd, &crowd->slots[i], 0);
}

static void describe_kind(const struct kind *kind, char *text)
{
	strscpy(text, kind->what, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(kind, kinds, describe_kind);

static void nobody_gets_what_another_has(struct kunit *test)
{
	struct crowd *crowd = kunit_kzalloc(test, sizeof(*crowd), GFP_KERNEL);
	struct pym_heap *heap = &heap_new(test, 8, TEST_WINDOW)->heap;

	KUNIT_ASSERT_NOT_NULL(test, crowd);
	crowd->heap = heap;
	crowd->kind = test->param_value;
	start(crowd);
	do {
		look(test, heap);
	} while (atomic_read(&crowd->running));
	finish(crowd);

	KUNIT_EXPECT_EQ(test, atomic_read(&crowd->errors), 0);
	KUNIT_EXPECT_EQ(test, heap_stats(heap).blocks, 0);
	KUNIT_EXPECT_EQ(test, heap_stats(heap).runs, 0);
	pym_trim(heap);
	KUNIT_EXPECT_EQ(test, heap->pages, 0);
}

static struct kunit_case cases[] = {
	KUNIT_CASE_PARAM_ATTR(nobody_gets_what_another_has, kind_gen_params,
			      { .speed = KUNIT_SPEED_SLOW }),
	{}
};

static struct kunit_suite suite = {
	.name		= "pymalloc_threads",
	.test_cases	= cases,
};

kunit_test_suites(&suite);
