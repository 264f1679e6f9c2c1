// SPDX-License-Identifier: GPL-2.0
/*
 * A heap that ends with its test.  Before that it must be sound, and afterwards no page
 * and no charge may be left.
 */
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/lockdep.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "kunit.h"

static int hold_nothing(struct pym_heap *heap, struct pym_mappings *mappings)
{
	/* Not under the gate: fork() holds the mappings and then waits for the gate. */
	lockdep_assert_not_held(&heap->gate);
	memset(mappings, 0, sizeof(*mappings));
	return 0;
}

static void release_nothing(struct pym_heap *heap, struct pym_mappings *mappings)
{
}

static void record_zap(struct pym_heap *heap, const struct pym_mappings *mappings, u64 offset,
		       struct page **pages, unsigned int nr)
{
	struct test_heap *th = container_of(heap, struct test_heap, heap);

	spin_lock(&heap->lock);
	th->zapped += nr;
	for (; nr; nr--, offset += PAGE_SIZE)
		th->zapped_wrongly += !pym_pool_find(heap, offset);
	spin_unlock(&heap->lock);
}

static void map_nothing(struct pym_heap *heap, const struct pym_mappings *mappings,
			unsigned long number)
{
}

static void record_grown(struct pym_heap *heap)
{
	container_of(heap, struct test_heap, heap)->grown++;
}

static const struct pym_heap_ops test_ops = {
	.hold	= hold_nothing,
	.release = release_nothing,
	.zap	= record_zap,
	.map_grown = map_nothing,
	.threshold_passed = record_grown,
};

static void heap_end(void *data)
{
	struct test_heap *th = data;
	struct kunit *test = th->test;

	heap_check(test, &th->heap);
	/* Pages are zapped before they go, and also before a copy replaces them. */
	if (!th->heap.ops)
		KUNIT_EXPECT_EQ(test, th->zapped, 0);
	else if (th->heap.maybe_shared || th->heap.nr_own)
		KUNIT_EXPECT_GE(test, th->zapped, th->heap.pages_out);
	else
		KUNIT_EXPECT_EQ(test, th->zapped, th->heap.pages_out);
	pym_heap_destroy(&th->heap);
	KUNIT_EXPECT_EQ(test, th->zapped_wrongly, 0);
	KUNIT_EXPECT_EQ(test, th->heap.pages, 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&th->heap.quota.used), 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&th->heap.quota.meta), 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&th->user.used), 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&th->user.meta), 0);
	kvfree(th);
}

/**
 * heap_new() - a heap for a test
 * @test: the test
 * @alignment: 8 or 16
 * @window: bytes of its window
 *
 * It has a user of its own, and neither of them has a limit.  The first pool of its first
 * arena hands its blocks out from the first one on, whatever its class.  Those of later
 * pools follow from that, so that each test does the same at each run.
 *
 * Return: the heap.
 */
struct test_heap *heap_new(struct kunit *test, u32 alignment, u64 window)
{
	struct test_heap *th = kvzalloc(sizeof(*th), GFP_KERNEL);
	u32 number;
	int err;

	KUNIT_ASSERT_NOT_NULL(test, th);
	th->test = test;
	th->user.max = &th->user_max;
	th->heap.user = &th->user;
	th->heap.base_bytes = sizeof(th->heap);
	th->heap.ops = &test_ops;
	err = pym_heap_init(&th->heap, alignment, window);
	if (err)
		kvfree(th);
	KUNIT_ASSERT_EQ(test, err, 0);
	for (number = 1; number <= PYMALLOC_NR_CLASSES; number++)
		th->heap.classes[number].seed = -PYMALLOC_ARENA_POOLS;
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, heap_end, th), 0);
	return th;
}

/**
 * heap_clone() - the heap of a child process
 * @test: the test
 * @parent: the heap of its parent
 *
 * Return: the clone, which has the same user.
 */
struct test_heap *heap_clone(struct kunit *test, struct test_heap *parent)
{
	struct test_heap *child = heap_new(test, parent->heap.alignment, parent->heap.window);

	heap_set_user(child, NULL);
	KUNIT_ASSERT_EQ(test, pym_heap_clone(&parent->heap, &child->heap), 0);
	return child;
}

/**
 * heap_own() - make a page a heap's alone, as a write fault does
 * @th: the heap
 * @ref: an offset in the page
 *
 * Return: 0, -EFAULT or -ENOMEM.
 */
int heap_own(struct test_heap *th, u64 ref)
{
	struct pym_mappings mappings = {};
	struct page *fresh;
	int err = pym_page_own(&th->heap, ref, &mappings, &fresh);

	if (fresh)
		pym_frame_done(fresh);
	return err;
}

/**
 * heap_set_user() - charge a heap to another user, as if from its start
 * @th: the heap, without pages
 * @user: the user, or NULL
 */
void heap_set_user(struct test_heap *th, struct pym_quota *user)
{
	pym_quota_move_meta(th->heap.user, user, atomic_long_read(&th->heap.quota.meta));
	th->heap.user = user;
	th->heap.purse = user;
}

/**
 * heap_drop() - end a heap before its test does
 * @test: the test
 * @th: the heap
 */
void heap_drop(struct kunit *test, struct test_heap *th)
{
	kunit_release_action(test, heap_end, th);
}

/**
 * scene_new() - a heap with one pool of each kind
 * @test: the test
 *
 * Return: the scene.
 */
struct scene *scene_new(struct kunit *test)
{
	struct scene *scene = kunit_kzalloc(test, sizeof(*scene), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, scene);
	KUNIT_ASSERT_TRUE(test, scene_build(scene, &heap_new(test, 16, TEST_WINDOW)->heap));
	return scene;
}

/**
 * heap_check() - expect that the checker finds nothing wrong
 * @test: the test
 * @heap: the heap
 */
void heap_check(struct kunit *test, struct pym_heap *heap)
{
	struct pym_verdict verdict;

	KUNIT_ASSERT_EQ(test, pym_check(heap, &verdict), 0);
	KUNIT_EXPECT_EQ_MSG(test, verdict.errors, 0, "at %#llx: %s", verdict.offset,
			    verdict.message);
}

/**
 * heap_stats() - a heap's figures
 * @heap: the heap
 *
 * Return: the figures.
 */
struct pym_stats heap_stats(struct pym_heap *heap)
{
	struct pym_stats stats;

	pym_heap_stats(heap, &stats);
	return stats;
}

/**
 * heap_pool() - the pool behind a ref
 * @heap: the heap
 * @ref: any offset
 *
 * Return: the pool, which stays at least while an object lies in it; NULL if it has no page.
 */
struct pym_pool *heap_pool(struct pym_heap *heap, u64 ref)
{
	struct pym_pool *pool;

	rcu_read_lock();
	pool = pym_pool_find(heap, ref);
	rcu_read_unlock();
	return pool;
}

/**
 * heap_arena() - the arena behind a ref
 * @heap: the heap
 * @ref: any offset
 *
 * Return: the arena, which stays at least while an object lies in it; or NULL.
 */
struct pym_arena *heap_arena(struct pym_heap *heap, u64 ref)
{
	struct pym_arena *arena;

	rcu_read_lock();
	arena = pym_arena_find(heap, ref);
	rcu_read_unlock();
	return arena;
}

/**
 * heap_map() - a pool's byte of the pool map
 * @heap: the heap
 * @ref: an offset in an arena that exists
 *
 * Return: its class, or 0.
 */
u8 heap_map(struct pym_heap *heap, u64 ref)
{
	return heap_arena(heap, ref)->map[(ref >> PYM_POOL_SHIFT) % PYMALLOC_ARENA_POOLS];
}

/**
 * alloc_one() - allocate one object
 * @test: the test, which ends if that fails
 * @heap: the heap
 * @size: its bytes
 *
 * Return: its ref.
 */
u64 alloc_one(struct kunit *test, struct pym_heap *heap, u64 size)
{
	u64 ref;
	int err;

	KUNIT_ASSERT_EQ(test, pym_alloc(heap, size, false, &ref, 1, &err), 1);
	KUNIT_ASSERT_EQ(test, err, 0);
	return ref;
}

/**
 * alloc_many() - allocate objects
 * @test: the test, which ends if that fails
 * @heap: the heap
 * @size: bytes of each
 * @nr: how many
 *
 * Return: their refs, in memory that is freed with the test.
 */
u64 *alloc_many(struct kunit *test, struct pym_heap *heap, u64 size, unsigned int nr)
{
	u64 *refs = kunit_kmalloc_array(test, nr, sizeof(*refs), GFP_KERNEL);
	int err;

	KUNIT_ASSERT_NOT_NULL(test, refs);
	KUNIT_ASSERT_EQ(test, pym_alloc(heap, size, false, refs, nr, &err), nr);
	KUNIT_ASSERT_EQ(test, err, 0);
	return refs;
}

/**
 * free_one() - free one object
 * @heap: the heap
 * @ref: any offset
 *
 * Return: PYMALLOC_REF_OK if it was freed, else what is wrong with @ref.
 */
enum pymalloc_ref_status free_one(struct pym_heap *heap, u64 ref)
{
	u8 status;

	pym_free(heap, &ref, &status, 1);
	return status;
}

/**
 * free_many() - free objects
 * @test: the test, which ends if that fails
 * @heap: the heap
 * @refs: the objects
 * @nr: how many
 */
void free_many(struct kunit *test, struct pym_heap *heap, const u64 *refs, unsigned int nr)
{
	u8 *status = kunit_kmalloc(test, nr, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, status);
	KUNIT_ASSERT_EQ(test, pym_free(heap, refs, status, nr), 0);
	kunit_kfree(test, status);
}

/* How many of @bytes from @ref on lie in the page of @ref. */
static unsigned int bytes_here(u64 ref, u64 bytes)
{
	return min_t(u64, bytes, PAGE_SIZE - offset_in_page(ref));
}

/**
 * fill() - write to an object
 * @heap: the heap
 * @ref: where from
 * @bytes: how many
 * @value: what each of them becomes
 */
void fill(struct pym_heap *heap, u64 ref, u64 bytes, u8 value)
{
	while (bytes) {
		unsigned int now = bytes_here(ref, bytes);
		char *memory = kmap_local_page(heap_pool(heap, ref)->page);

		memset(memory + offset_in_page(ref), value, now);
		kunmap_local(memory);
		ref += now;
		bytes -= now;
	}
}

/**
 * is_filled() - read an object
 * @heap: the heap
 * @ref: where from
 * @bytes: how many
 * @value: what each of them should be
 *
 * Return: whether they are.
 */
bool is_filled(struct pym_heap *heap, u64 ref, u64 bytes, u8 value)
{
	bool same = true;

	while (bytes && same) {
		unsigned int now = bytes_here(ref, bytes);
		char *memory = kmap_local_page(heap_pool(heap, ref)->page);

		same = !memchr_inv(memory + offset_in_page(ref), value, now);
		kunmap_local(memory);
		ref += now;
		bytes -= now;
	}
	return same;
}
