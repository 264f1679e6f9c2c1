// SPDX-License-Identifier: GPL-2.0
/*
 * Pages: how pools get their pages from the system and give them back.
 *
 * Both happen while the pool is busy.  pym_pages_get() does not return the page of a
 * busy pool, so that nobody can map it before it is ready, or after it has been taken
 * out of the page tables.
 */
#include <linux/bitops.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/log2.h>
#include <linux/mm.h>

#include "arena.h"
#include "bits.h"
#include "face.h"
#include "frame.h"
#include "ops.h"
#include "page.h"
#include "quota.h"
#include "record.h"
#include "tenant.h"

/*
 * Up to 16 pages are taken from the system at once.  With 16, the cost of the call is
 * already small for each page, and 64 KiB in one piece are often free; larger pieces
 * would save little and fail more often.  More than one page is opportunistic: no direct
 * reclaim.  If that fails, single pages are taken.
 */
#define FILL_ORDER	4
#define GFP_CHEAP	((PYM_GFP & ~__GFP_DIRECT_RECLAIM) | __GFP_NORETRY)

/**
 * struct taken - pages for pools, and what describes the pools
 * @order: there are 2 to the power of @order of them
 * @pages: the pages, zeroed
 * @pools: the records
 */
struct taken {
	unsigned int order;
	struct page *pages;
	struct pym_pool *pools[1 << FILL_ORDER];
};

/* Charge and allocate pages, and records whose bitmaps have so many words. */
static int pages_take(struct pym_heap *heap, struct taken *taken, unsigned int record_order)
{
	gfp_t gfp = (taken->order ? GFP_CHEAP : PYM_GFP) | __GFP_ZERO;
	unsigned int nr = 1 << taken->order;
	int err;

	err = pym_pages_charge(heap, nr);
	if (err)
		return err;
	err = pym_records_new(heap, record_order, taken->pools, nr);
	if (err)
		goto uncharge;
	taken->pages = alloc_pages(gfp, taken->order);
	if (!taken->pages) {
		err = -ENOMEM;
		goto retire;
	}
	if (taken->order)
		split_page(taken->pages, taken->order);
	return 0;

retire:
	while (nr--)
		pym_record_retire(heap, taken->pools[nr]);
uncharge:
	pym_pages_uncharge(heap, 1 << taken->order);
	return err;
}

/* Put a new record into its place. */
static void pool_describe(struct pym_arena *arena, unsigned int index, struct pym_pool *pool,
			  struct page *page)
{
	INIT_LIST_HEAD(&pool->link);
	pool->page = page;
	pool->number = pym_place_offset(arena, index) >> PYM_POOL_SHIFT;
	pool->class = PYM_CLASS_NONE;
	pym_pool_publish(arena, pool);
}

/*
 * Give some of the pools a page each: as many as are taken from the system at once.
 * Returns the pools that have got one; or 0, and an error in *@err.
 */
static u64 pages_fill_some(struct pym_heap *heap, struct pym_span span,
			   unsigned int record_order, int *err)
{
	struct taken taken __uninitialized;
	u64 rest = span.bits;
	unsigned int i;

	taken.order = min_t(unsigned int, ilog2(hweight64(span.bits)), FILL_ORDER);
	*err = pym_is_killed(heap) ? -EINTR : pages_take(heap, &taken, record_order);
	if (*err && *err != -EINTR && taken.order) {
		taken.order = 0;
		*err = pages_take(heap, &taken, record_order);
	}
	if (*err)
		return 0;
	for (i = 0; i < 1U << taken.order; i++) {
		/* alloc_pages() clears this field of the first page only. */
		WRITE_ONCE(taken.pages[i].private, 0);
		pool_describe(span.arena, pym_pop_bit(&rest), taken.pools[i], taken.pages + i);
	}
	return span.bits & ~rest;
}

/**
 * struct present - what pools have that are to be filled
 * @page: those that have a page
 * @bad: those of @page whose page has a memory error
 * @narrow: those of @page whose bitmap is too short
 */
struct present {
	u64 page;
	u64 bad;
	u64 narrow;
};

static struct present pools_look(struct pym_span span, unsigned int record_order)
{
	struct present present = {};
	struct pym_pool *pool;

	pym_for_each_pool(pool, span) {
		u64 bit = BIT_ULL(pym_pool_index(pool));

		present.page |= bit;
		if (PageHWPoison(pool->page))
			present.bad |= bit;
		if (pool->order < record_order)
			present.narrow |= bit;
	}
	return present;
}

/* Replace the record of a busy pool by one with a longer bitmap. */
static int pool_widen(struct pym_heap *heap, struct pym_arena *arena, struct pym_pool *old,
		      unsigned int record_order)
{
	struct pym_pool *new;
	int err;

	err = pym_records_new(heap, record_order, &new, 1);
	if (err)
		return err;
	spin_lock(&heap->lock);
	pool_describe(arena, pym_pool_index(old), new, old->page);
	spin_unlock(&heap->lock);
	pym_record_retire(heap, old);
	return 0;
}

/*
 * The bitmap of an empty pool fits the class for which its page was taken; another class
 * may need a longer one.  Returns which of the pools have got that; if not all, an error is
 * in *@err.
 */
static u64 pools_widen(struct pym_heap *heap, struct pym_span span, unsigned int record_order,
		       int *err)
{
	struct pym_pool *pool;
	u64 wide = 0;

	pym_for_each_pool(pool, span) {
		u64 bit = BIT_ULL(pym_pool_index(pool));

		*err = *err ?: pool_widen(heap, span.arena, pool, record_order);
		if (*err)
			break;
		wide |= bit;
	}
	return wide;
}

/* Note for pools with a new page that the heap pays for it apart, if it does so. */
static void pages_note_payer(struct pym_heap *heap, struct pym_span span)
{
	if (!heap->pays_apart)
		return;
	spin_lock(&heap->lock);
	span.arena->apart |= span.bits;
	heap->pages_apart += hweight64(span.bits);
	spin_unlock(&heap->lock);
}

/**
 * pym_pages_set_leaving() - mark busy pools before the gate is left, or end that
 * @heap: the heap
 * @span: the pools
 * @leaving: whether they are marked
 *
 * A task that leaves the gate marks all pools that it has made busy, not only those
 * whose pages go: whoever finds the heap at rest meanwhile must be able to tell them from
 * pools that have been forgotten.  Pools that become free lose the mark.
 *
 * Context: Holds @heap->gate for reading.  Takes @heap->lock.
 */
void pym_pages_set_leaving(struct pym_heap *heap, struct pym_span span, bool leaving)
{
	spin_lock(&heap->lock);
	if (leaving)
		span.arena->leaving |= span.bits;
	else
		span.arena->leaving &= ~span.bits;
	spin_unlock(&heap->lock);
}

/* Drop the pages that have a memory error; see pym_pages_drop(). */
static int pages_drop_bad(struct pym_heap *heap, struct pym_span span, struct pym_span bad)
{
	int dropped;

	pym_pages_set_leaving(heap, span, true);
	dropped = pym_pages_drop(heap, bad);
	pym_pages_set_leaving(heap, span, false);
	return dropped;
}

/**
 * pym_pages_fill() - give busy pools a page each
 * @heap: the heap
 * @span: the pools; those that have a page keep it, unless it has a memory error
 * @order: the @order of the class for which they are, or PYM_RECORD_OF_RUN
 * @err: out: why not all of them have one: -ENOMEM (the machine, the memory
 *	cgroup, or the heap's limit), -EDQUOT (the user's), -EINTR; else 0
 *
 * Context: Sleeps.  Holds @heap->gate for reading, and may leave it for a while.
 *	Pages are charged to the active memory cgroup.
 * Return: those of the pools that have a page now.
 */
u64 pym_pages_fill(struct pym_heap *heap, struct pym_span span, unsigned int order, int *err)
{
	struct present present = pools_look(span, order);
	struct pym_span narrow = { span.arena, present.narrow & ~present.bad };
	struct pym_span bad = { span.arena, present.bad };
	int dropped = bad.bits ? pages_drop_bad(heap, span, bad) : 0;
	u64 missing = span.bits & ~present.page;
	struct pym_span rest = { span.arena, missing };

	*err = min(dropped, 0);
	/* Bad pages that could not be dropped do not count as pages. */
	rest.bits |= bad.bits;
	if (!*err)
		missing |= bad.bits;
	if (narrow.bits)
		narrow.bits &= ~pools_widen(heap, narrow, order, err);
	while (rest.bits && !*err)
		rest.bits &= ~pages_fill_some(heap, rest, order, err);
	missing &= ~rest.bits;
	if (missing) {
		pages_note_payer(heap, (struct pym_span) { span.arena, missing });
		pym_pages_count_in(heap, hweight64(missing));
	}
	return span.bits & ~(rest.bits | narrow.bits);
}

/* Write the pages of pools to @pages.  Returns which of the pools have one of their own. */
static u64 pages_gather(struct pym_span span, struct page **pages)
{
	struct pym_pool *pool;
	u64 found = 0;

	pym_for_each_pool(pool, span) {
		if (pym_pool_is_face(pool))
			continue;
		*pages++ = pool->page;
		found |= BIT_ULL(pym_pool_index(pool));
	}
	return found;
}

/* Take the pages of busy pools out of the mappings, which are held. */
static void zap_pools(struct pym_heap *heap, const struct pym_mappings *mappings,
		      struct pym_span span, struct page **pages)
{
	while (span.bits) {
		unsigned int first = __ffs64(span.bits);
		unsigned int nr = pym_run_length(span.bits, first);

		pym_zap(heap, mappings, pym_place_offset(span.arena, first), pages, nr);
		pages += nr;
		span.bits &= ~pym_bits(first, nr);
	}
}

/* Remove a busy pool from its arena. */
static void pool_remove_locked(struct pym_heap *heap, struct pym_arena *arena,
			       unsigned int index)
{
	struct pym_pool *pool = pym_pool_in(arena, index);

	RCU_INIT_POINTER(arena->pools[index], NULL);
	pym_record_retire(heap, pool);
}

/**
 * pym_pools_forget() - remove busy pools that have no page of their own any more
 * @heap: the heap
 * @span: the pools; they have no class
 *
 * Context: Takes @heap->lock.  As pym_meta_charge().
 */
void pym_pools_forget(struct pym_heap *heap, struct pym_span span)
{
	unsigned int index;

	spin_lock(&heap->lock);
	pym_for_each_bit(index, span.bits)
		pool_remove_locked(heap, span.arena, index);
	spin_unlock(&heap->lock);
}

/*
 * Give back the pages of busy pools, which nobody maps any more.  Their records go, too,
 * unless the heap is dead.  Returns how many pages went.
 */
static unsigned int pages_put(struct pym_heap *heap, struct pym_span span,
			      struct page **pages)
{
	unsigned int nr = 0, together = 0, apart = 0, nr_shared = 0, nr_used = 0;
	struct pym_arena *arena = span.arena;
	unsigned int index;

	spin_lock(&heap->lock);
	pym_for_each_bit(index, span.bits) {
		struct page *page = pages[nr++];

		pym_tenant_page_goes(heap, page);
		pym_page_goes(heap, page);
		nr_shared += pym_frame_maybe_shared(page);
		nr_used += page_count(page) > PYM_REFS_AT_REST;
		/* A shared page is charged once; its last owner uncharges it. */
		if (arena->apart & BIT_ULL(index))
			apart += pym_frame_put(page, true);
		else
			together += pym_frame_put(page, false);
		if (!heap->dead)
			pool_remove_locked(heap, arena, index);
	}
	arena->apart &= ~span.bits;
	heap->pages -= nr;
	heap->pages_out += nr;
	heap->pages_out_used += nr_used;
	heap->maybe_shared -= nr_shared;
	heap->pages_apart -= apart;
	pym_quota_uncharge(heap->purse, pym_page_bytes(together));
	pym_quota_uncharge(heap->user, pym_page_bytes(apart));
	spin_unlock(&heap->lock);

	release_pages(pages, nr);
	pym_quota_uncharge(&heap->quota, pym_page_bytes(nr));
	return nr;
}

/**
 * pym_pages_drop() - give the pages of busy pools back to the system
 * @heap: the heap
 * @span: the pools, marked by pym_pages_set_leaving(), as are all others that the caller
 *	has made busy; those without a page are skipped
 *
 * A page that somebody has pinned stays allocated until it is unpinned, but no longer
 * belongs to the heap.
 *
 * Context: Sleeps.  Holds @heap->gate for reading, and leaves it for a while.
 * Return: how many pages went; or -EINTR (the caller is not the heap's process,
 *	and is being killed) and none did.
 */
int pym_pages_drop(struct pym_heap *heap, struct pym_span span)
{
	struct page *pages[PYMALLOC_ARENA_POOLS] __uninitialized;
	struct pym_mappings mappings;
	int err;

	span.bits = pages_gather(span, pages);
	if (!span.bits)
		return 0;
	err = pym_gate_leave(heap, &mappings);
	if (err)
		return err;
	zap_pools(heap, &mappings, span, pages);
	pym_gate_enter(heap, &mappings);
	return pages_put(heap, span, pages);
}

/* Returns which of the pools have a page that nobody has locked. */
static u64 pools_with_unlocked_page(struct pym_span span)
{
	struct pym_pool *pool;
	u64 found = 0;

	pym_for_each_pool(pool, span)
		if (!PageLocked(pool->page))
			found |= BIT_ULL(pym_pool_index(pool));
	return found;
}

/**
 * pym_pages_drop_held() - the same for a task that may wait for nothing
 * @heap: the heap
 * @mappings: its mappings, which the task holds for as long as the gate
 * @span: the pools, busy; those whose page is locked are skipped: the caller itself may
 *	have locked it
 *
 * Whoever locks a page from now on finds that its pool is busy.
 *
 * Context: Holds @heap->gate for reading.
 * Return: how many pages went.
 */
unsigned int pym_pages_drop_held(struct pym_heap *heap, const struct pym_mappings *mappings,
				 struct pym_span span)
{
	struct page *pages[PYMALLOC_ARENA_POOLS] __uninitialized;

	span.bits = pools_with_unlocked_page(span);
	if (!span.bits)
		return 0;
	pages_gather(span, pages);
	zap_pools(heap, mappings, span, pages);
	return pages_put(heap, span, pages);
}

static u64 pools_with_record(struct pym_arena *arena)
{
	struct pym_span span = { arena, ~0ULL };
	struct pym_pool *pool;
	u64 found = 0;

	pym_for_each_pool(pool, span)
		found |= BIT_ULL(pym_pool_index(pool));
	return found;
}

/* Give back the pages of pools that nobody maps.  Returns the pools that had one. */
static u64 pages_put_all(struct pym_heap *heap, struct pym_span span)
{
	struct page *pages[PYMALLOC_ARENA_POOLS] __uninitialized;

	span.bits = pages_gather(span, pages);
	pages_put(heap, span, pages);
	return span.bits;
}

/**
 * pym_pages_destroy() - free the pages of a heap that nobody uses or maps
 * @heap: the heap, which may be dead
 *
 * Context: Waits for nothing.
 */
void pym_pages_destroy(struct pym_heap *heap)
{
	struct pym_span span;
	u64 offset;

	pym_for_each_arena(span.arena, offset, heap) {
		span.bits = pools_with_record(span.arena);
		if (!heap->dead)
			span.bits &= ~pages_put_all(heap, span);
		pym_pools_forget(heap, span);
	}
}

/* Give back what describes empty pools, too: they say nothing. */
static void bury_empty_pools(struct pym_heap *heap)
{
	struct pym_span span;

	for (;;) {
		span = pym_empty_reserve(heap);
		if (!span.arena)
			return;
		pages_put_all(heap, span);
		pym_pools_release(heap, span);
	}
}

/**
 * pym_pages_bury() - free the pages of a heap that is dead, and keep its records
 * @heap: the heap, which nobody uses or maps
 *
 * From now on it can only be inspected, and destroyed.
 *
 * Context: Sleeps.
 */
void pym_pages_bury(struct pym_heap *heap)
{
	struct pym_pool *pool;
	struct pym_span span;
	u64 offset;

	bury_empty_pools(heap);
	heap->dead = true;
	pym_for_each_arena(span.arena, offset, heap) {
		span.bits = pools_with_record(span.arena);
		pages_put_all(heap, span);
		pym_for_each_pool(pool, span)
			pool->page = NULL;
	}
}
