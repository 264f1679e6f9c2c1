// SPDX-License-Identifier: GPL-2.0
/*
 * Runs: whole pages in a row, for large objects, those over 512 bytes.
 *
 * A run of up to 64 pages lies within one arena; a longer one has arenas of
 * its own, next to each other, and leaves the rest of the last one to others.
 * The first page has the class RUN and the length, the others the class TAIL.
 */
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/sched.h>

#include "arena.h"
#include "bits.h"
#include "page.h"
#include "record.h"
#include "run.h"
#include "trim.h"

/* The part of a run of @nr pages at @ref that starts after @done of them. */
static struct pym_span run_part(struct pym_heap *heap, u64 ref, unsigned int nr,
				unsigned int done)
{
	u64 at = ref + ((u64)done << PYM_POOL_SHIFT);
	unsigned int first = (at >> PYM_POOL_SHIFT) % PYMALLOC_ARENA_POOLS;
	unsigned int here = min(nr - done, PYMALLOC_ARENA_POOLS - first);
	struct pym_span part = { .bits = pym_bits(first, here) };

	/* The arena stays without RCU: the pools of the run are busy, or have a class. */
	rcu_read_lock();
	part.arena = pym_arena_find(heap, at);
	rcu_read_unlock();
	return part;
}

/*
 * Make arenas next to each other, for a run that does not fit into one.  The pages of the
 * last arena behind the run become free.
 */
static struct pym_span reserve_arenas(struct pym_heap *heap, unsigned int nr)
{
	unsigned int last = nr % PYMALLOC_ARENA_POOLS;
	struct pym_span span = { .bits = ~0ULL };

	span.arena = pym_arenas_create(heap, true, DIV_ROUND_UP(nr, PYMALLOC_ARENA_POOLS));
	if (!IS_ERR(span.arena) && last) {
		struct pym_span rest = run_part(heap, pym_place_offset(span.arena, 0),
						nr, nr - last);

		rest.bits = ~rest.bits;
		pym_pools_release(heap, rest);
	}
	return span;
}

/* Reserve @nr pages in a row.  Returns where, or 0 and *@err. */
static u64 run_reserve(struct pym_heap *heap, unsigned int nr, int *err)
{
	struct pym_span span;

	if (nr <= PYMALLOC_ARENA_POOLS)
		span = pym_run_reserve(heap, nr);
	else
		span = reserve_arenas(heap, nr);
	if (IS_ERR(span.arena)) {
		*err = PTR_ERR(span.arena);
		return 0;
	}
	return pym_place_offset(span.arena, __ffs64(span.bits));
}

/* Mark a run's busy pools as leaving, in all of its arenas. */
static void run_set_leaving(struct pym_heap *heap, u64 ref, unsigned int nr)
{
	unsigned int done = 0;

	while (done < nr) {
		struct pym_span part = run_part(heap, ref, nr, done);

		pym_pages_set_leaving(heap, part, true);
		done += hweight64(part.bits);
	}
}

/* Give the pages of busy pools back, and free the pools. */
static void run_release(struct pym_heap *heap, u64 ref, unsigned int nr)
{
	unsigned int done = 0;

	/* The first part leaves the gate while the others are still busy. */
	run_set_leaving(heap, ref, nr);
	while (done < nr) {
		struct pym_span part = run_part(heap, ref, nr, done);

		pym_pages_drop(heap, part);
		done += hweight64(part.bits);
		pym_pools_release(heap, part);
		cond_resched();
	}
}

static int run_fill(struct pym_heap *heap, u64 ref, unsigned int nr)
{
	unsigned int done;
	int err = 0;

	for (done = 0; done < nr && !err;) {
		struct pym_span part = run_part(heap, ref, nr, done);

		pym_pages_fill(heap, part, PYM_RECORD_OF_RUN, &err);
		done += hweight64(part.bits);
		cond_resched();
	}
	return err;
}

/* Give busy pools the class of a run's pages: from then on they are in use. */
static void run_set_class_locked(struct pym_heap *heap, u64 ref, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		struct pym_pool *pool = pym_pool_find(heap, ref + ((u64)i << PYM_POOL_SHIFT));

		pym_arena_of(heap, pool)->busy &= ~BIT_ULL(pym_pool_index(pool));
		WRITE_ONCE(pool->class, i ? PYM_CLASS_TAIL : PYM_CLASS_RUN);
	}
}

/* Make pools of a run busy again, and take their class. */
static void run_clear_class_locked(struct pym_heap *heap, u64 ref, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		struct pym_pool *pool = pym_pool_find(heap, ref + ((u64)i << PYM_POOL_SHIFT));

		pym_arena_of(heap, pool)->busy |= BIT_ULL(pym_pool_index(pool));
		WRITE_ONCE(pool->class, PYM_CLASS_NONE);
	}
}

static u64 run_alloc_once(struct pym_heap *heap, unsigned int nr, int *err)
{
	u64 ref = run_reserve(heap, nr, err);

	if (!ref)
		return 0;
	*err = run_fill(heap, ref, nr);
	if (*err) {
		run_release(heap, ref, nr);
		return 0;
	}
	spin_lock(&heap->lock);
	run_set_class_locked(heap, ref, nr);
	pym_pool_find(heap, ref)->run_pages = nr;
	heap->runs++;
	heap->run_pages += nr;
	heap->nr_run_allocs++;
	spin_unlock(&heap->lock);
	return ref;
}

/**
 * pym_run_alloc() - allocate a large object
 * @heap: the heap
 * @size: its bytes, at most PYMALLOC_SIZE_MAX; it reads as zero
 * @err: out: -ENOMEM, -ENOSPC, -EDQUOT or -EINTR; untouched on success
 *
 * Context: Sleeps.  Holds @heap->gate for reading, and may leave it for a while.
 * Return: its ref, or 0.
 */
u64 pym_run_alloc(struct pym_heap *heap, u64 size, int *err)
{
	unsigned int nr = DIV_ROUND_UP_ULL(size, PYMALLOC_POOL_SIZE);
	u64 ref = run_alloc_once(heap, nr, err);

	if (!ref && *err != -EINTR && pym_trim_gated(heap, 0))
		ref = run_alloc_once(heap, nr, err);
	return ref;
}

/* The length of the run that starts at @ref, or what is wrong with it. */
static enum pymalloc_ref_status run_find_locked(struct pym_heap *heap, u64 ref,
						unsigned int *nr)
{
	struct pym_pool *pool = pym_pool_find(heap, ref);

	if (!pool || pool->class < PYM_CLASS_RUN)
		return PYMALLOC_REF_FOREIGN;
	if (pool->class != PYM_CLASS_RUN || offset_in_page(ref))
		return PYMALLOC_REF_MISALIGNED;
	*nr = pool->run_pages;
	return PYMALLOC_REF_OK;
}

/**
 * pym_run_size() - the size of a large object
 * @heap: the heap
 * @ref: any offset
 *
 * Return: its bytes; 0 if no large object starts there.
 */
u64 pym_run_size(struct pym_heap *heap, u64 ref)
{
	unsigned int nr = 0;

	spin_lock(&heap->lock);
	run_find_locked(heap, ref, &nr);
	spin_unlock(&heap->lock);
	return (u64)nr << PYM_POOL_SHIFT;
}

/**
 * pym_run_free() - free a large object
 * @heap: the heap
 * @ref: any offset
 *
 * Context: Sleeps.  Holds @heap->gate for reading, and may leave it for a while.
 * Return: PYMALLOC_REF_OK if it was freed, else what is wrong with @ref.
 */
enum pymalloc_ref_status pym_run_free(struct pym_heap *heap, u64 ref)
{
	enum pymalloc_ref_status status;
	unsigned int nr;

	spin_lock(&heap->lock);
	status = run_find_locked(heap, ref, &nr);
	if (status == PYMALLOC_REF_OK) {
		run_clear_class_locked(heap, ref, nr);
		heap->runs--;
		heap->run_pages -= nr;
		heap->nr_run_frees++;
	}
	spin_unlock(&heap->lock);

	if (status == PYMALLOC_REF_OK)
		run_release(heap, ref, nr);
	return status;
}

/**
 * pym_run_shrink() - give back the pages at the end of a large object
 * @heap: the heap
 * @ref: the object
 * @size: its new size in bytes; nothing happens if it has fewer pages
 *
 * Context: Sleeps.  Holds @heap->gate for reading, and may leave it for a while.
 * Return: 0, or -EBADSLT if no large object starts at @ref.
 */
int pym_run_shrink(struct pym_heap *heap, u64 ref, u64 size)
{
	unsigned int keep = DIV_ROUND_UP_ULL(size, PYMALLOC_POOL_SIZE), nr = 0;
	u64 end = ref + ((u64)keep << PYM_POOL_SHIFT);
	enum pymalloc_ref_status status;

	spin_lock(&heap->lock);
	status = run_find_locked(heap, ref, &nr);
	if (nr > keep) {
		run_clear_class_locked(heap, end, nr - keep);
		pym_pool_find(heap, ref)->run_pages = keep;
		heap->run_pages -= nr - keep;
	}
	spin_unlock(&heap->lock);

	if (nr > keep)
		run_release(heap, end, nr - keep);
	return status == PYMALLOC_REF_OK ? 0 : -EBADSLT;
}
