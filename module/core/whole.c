// SPDX-License-Identifier: GPL-2.0
/*
 * Whole pools: a tenant takes them with all of their blocks, and looks after these itself.
 *
 * The core's locks are for tasks that may sleep.  A tenant serves contexts that may not: it
 * hands blocks out by atomic operations on the bitmap of a pool, and comes here only for
 * the next pool, and when one has no allocated block any more.
 *
 * For the core, all blocks of a whole pool are allocated.  Its bitmap belongs to the
 * tenant: a bit says free (1) or allocated (0), and bits that stand for no block are 0.  So
 * does its @tenancy, and its @link.
 *
 * A tenant that may not wait for the gate can make a whole pool that has no place in the
 * window yet.  It charges nothing: that is made up for when the pool is adopted, which
 * gives it a place.
 */
#include <linux/bitops.h>
#include <linux/err.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/string.h>

#include "arena.h"
#include "bits.h"
#include "frame.h"
#include "page.h"
#include "quota.h"
#include "record.h"
#include "trace.h"
#include "trim.h"
#include "whole.h"

/* As many pages are taken from the system together, at most: one piece of records. */
#define WHOLE_AHEAD	((1U << PYM_SHEET_SHIFT_MAX) - 1)

/* All blocks are free for the tenant. */
static void whole_set_free(const struct pym_class *class, struct pym_pool *pool)
{
	unsigned int word, left = class->capacity, here;

	memset(pool->free, 0, sizeof(*pool->free) << pool->order);
	for (word = 0; left; word++, left -= here) {
		here = min(left, 64U);
		pool->free[word] = pym_bits(0, here);
	}
}

static void whole_begin(const struct pym_class *class, struct pym_pool *pool, u32 number)
{
	whole_set_free(class, pool);
	pool->nr_alloc = class->capacity;
	pool->boundary = class->capacity;
	pool->group = PYM_GROUP_FULL;
	pool->role = PYM_POOL_PLAIN;
	pool->error = false;
	pool->tenancy = 0;
	pool->next_face = 0;
	WRITE_ONCE(pool->class, number);
}

static void whole_count_locked(struct pym_class *class)
{
	lockdep_assert_held(&class->lock);

	class->pools_full++;
	class->blocks += class->capacity;
	class->nr_allocs += class->capacity;
}

/* Give a busy pool with a page its class. */
static void whole_start(struct pym_heap *heap, struct pym_span span, u32 number)
{
	struct pym_class *class = &heap->classes[number];
	struct pym_pool *pool = pym_pool_in(span.arena, __ffs64(span.bits));

	WRITE_ONCE(span.arena->map[pym_pool_index(pool)], number);
	spin_lock(&heap->lock);
	span.arena->busy &= ~span.bits;
	spin_unlock(&heap->lock);
	spin_lock(&class->lock);
	whole_begin(class, pool, number);
	whole_count_locked(class);
	spin_unlock(&class->lock);
	trace_pool_new(heap->id, pym_pool_offset(pool), class->size);
}

static struct pym_pool *whole_take_once(struct pym_heap *heap, u32 number, int *err)
{
	unsigned int ahead = min_t(u64, READ_ONCE(heap->pages) / 8, WHOLE_AHEAD);
	struct pym_span span, one;
	struct pym_pool *pool;

	span = pym_pools_reserve(heap, NULL, 1, ahead);
	*err = PTR_ERR_OR_ZERO(span.arena);
	if (*err)
		return NULL;
	one.arena = span.arena;
	one.bits = pym_lowest_bits(pym_pages_fill(heap, span, heap->classes[number].order, err), 1);
	if (!one.bits) {
		pym_pools_release(heap, span);
		return NULL;
	}
	pool = pym_pool_in(one.arena, __ffs64(one.bits));
	whole_start(heap, one, number);
	span.bits &= ~one.bits;
	pym_pools_release(heap, span);
	return pool;
}

static struct pym_pool *whole_take_gated(struct pym_heap *heap, u32 number, int *err)
{
	struct pym_pool *pool = whole_take_once(heap, number, err);

	if (!pool && pym_trim_gated(heap, 0))
		pool = whole_take_once(heap, number, err);
	return pool;
}

/**
 * pym_whole_take() - take a pool with all of its blocks
 * @heap: the heap, which has a tenant
 * @number: the size class of the blocks
 * @err: out: why there is none: as pym_pages_fill(), or -ENOSPC (the window is used up)
 *
 * Context: Sleeps.  Takes @heap->gate for reading.
 * Return: the pool, its page not cleared if it has been another's before; or NULL.
 */
struct pym_pool *pym_whole_take(struct pym_heap *heap, u32 number, int *err)
{
	struct pym_pool *pool;

	down_read(&heap->gate);
	pool = whole_take_gated(heap, number, err);
	up_read(&heap->gate);
	return pool;
}

/* Others may charge meanwhile: it is as good as that. */
static bool quota_has_room(const struct pym_quota *quota, unsigned long bytes)
{
	unsigned long max = quota ? READ_ONCE(*quota->max) : 0;

	return !max || atomic_long_read(&quota->used) + bytes <= max;
}

/* Would so many pages more find a place in the window?  No arena is the first one. */
static bool window_has_room(const struct pym_heap *heap, unsigned int nr)
{
	return pym_page_bytes(READ_ONCE(heap->pages) + nr) + PYMALLOC_ARENA_SIZE <= heap->extent;
}

/**
 * pym_whole_make() - make a whole pool that has no place in the window yet
 * @heap: the heap, which has a tenant
 * @number: the size class of the blocks
 * @gfp: how its memory may be allocated
 * @nr: how many there are with this one that are not charged yet
 *
 * Context: Any that @gfp allows.
 * Return: the pool, for pym_whole_adopt(); or NULL (no memory, a limit, or the window is full).
 */
struct pym_pool *pym_whole_make(struct pym_heap *heap, u32 number, gfp_t gfp, unsigned int nr)
{
	const struct pym_class *class = &heap->classes[number];
	unsigned long bytes = nr * (PYMALLOC_POOL_SIZE + pym_sheet_bytes(class->order, 0));
	struct pym_pool *pool;
	struct page *page;

	if (!window_has_room(heap, nr) || !quota_has_room(&heap->quota, bytes) ||
	    !quota_has_room(heap->user, bytes))
		return NULL;
	page = alloc_pages(gfp | __GFP_ZERO, 0);
	if (!page)
		return NULL;
	pool = pym_record_make(class->order, gfp);
	if (!pool) {
		put_page(page);
		return NULL;
	}
	INIT_LIST_HEAD(&pool->link);
	WRITE_ONCE(page->private, 0);
	pool->page = page;
	whole_begin(class, pool, number);
	return pool;
}

/**
 * pym_whole_has_place() - has a whole pool a place in the window?
 * @pool: the pool
 *
 * Context: Any.
 * Return: false if pym_whole_make() has made it, and it has not been adopted since.
 */
bool pym_whole_has_place(const struct pym_pool *pool)
{
	return pool->number;
}

/**
 * pym_whole_discard() - the reverse of pym_whole_make()
 * @pool: the pool, which has no place; nobody else knows it
 *
 * Context: Any.
 */
void pym_whole_discard(struct pym_pool *pool)
{
	put_page(pool->page);
	pym_record_unmake(pool);
}

/* Give back what a busy pool has already, so that another one can take its place. */
static int whole_clear_place(struct pym_heap *heap, struct pym_span span)
{
	int dropped;

	if (!pym_pool_in(span.arena, __ffs64(span.bits)))
		return 0;
	pym_pages_set_leaving(heap, span, true);
	dropped = pym_pages_drop(heap, span);
	pym_pages_set_leaving(heap, span, false);
	return min(dropped, 0);
}

static void whole_settle(struct pym_heap *heap, struct pym_span span, struct pym_pool *pool)
{
	unsigned int index = __ffs64(span.bits);
	struct pym_class *class = &heap->classes[pool->class];

	pym_record_charge(heap, pool);
	pym_pages_force(heap, 1);
	WRITE_ONCE(span.arena->map[index], pool->class);
	spin_lock(&class->lock);
	spin_lock(&heap->lock);
	pool->number = pym_place_offset(span.arena, index) >> PYM_POOL_SHIFT;
	pym_pool_publish(span.arena, pool);
	span.arena->busy &= ~span.bits;
	spin_unlock(&heap->lock);
	whole_count_locked(class);
	spin_unlock(&class->lock);
	pym_pages_count_in(heap, 1);
	trace_pool_new(heap->id, pym_pool_offset(pool), class->size);
}

static int whole_adopt_gated(struct pym_heap *heap, struct pym_pool *pool)
{
	struct pym_span span = pym_pools_reserve(heap, NULL, 1, 0);
	int err = PTR_ERR_OR_ZERO(span.arena);

	if (err)
		return err;
	err = whole_clear_place(heap, span);
	if (err)
		pym_pools_release(heap, span);
	else
		whole_settle(heap, span, pool);
	return err;
}

/**
 * pym_whole_adopt() - give a whole pool that pym_whole_make() has made a place in the window
 * @heap: the heap
 * @pool: the pool; its blocks may be in use
 *
 * It is charged even beyond a limit: its page is there already.
 *
 * Context: Sleeps.  Takes @heap->gate for reading.
 * Return: 0, or an error as of pym_pools_reserve().
 */
int pym_whole_adopt(struct pym_heap *heap, struct pym_pool *pool)
{
	int err;

	down_read(&heap->gate);
	err = whole_adopt_gated(heap, pool);
	up_read(&heap->gate);
	return err;
}

static void whole_retire(struct pym_heap *heap, struct pym_pool *pool)
{
	struct pym_class *class = &heap->classes[pool->class];

	spin_lock(&class->lock);
	class->pools_full--;
	class->blocks -= class->capacity;
	class->nr_frees += class->capacity;
	/* Nobody uses a bit any more: this is what the core finds in an empty pool. */
	memset(pool->free, 0xff, sizeof(*pool->free) << pool->order);
	pool->nr_alloc = 0;
	WRITE_ONCE(pool->class, PYM_CLASS_NONE);
	spin_unlock(&class->lock);
}

/**
 * pym_whole_give_gated() - give whole pools back, which are empty from then on
 * @heap: the heap
 * @pools: the pools, linked by @link: no block of them is in use, and they have a place.
 *	The list is empty after that
 *
 * Context: Holds @heap->gate for reading.  Does not sleep.
 */
void pym_whole_give_gated(struct pym_heap *heap, struct list_head *pools)
{
	struct pym_pool *pool;

	if (list_empty(pools))
		return;
	list_for_each_entry(pool, pools, link)
		whole_retire(heap, pool);
	pym_pools_retire(heap, pools);
}
