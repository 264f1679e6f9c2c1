// SPDX-License-Identifier: GPL-2.0
/*
 * Pages: how pools get theirs from the system and give them back.
 *
 * Both happen while the pool is busy: pym_pages_get() does not hand out a page
 * of a busy pool, so that nobody can map it before it is ready or after it has
 * been taken away.
 */
#include <linux/bitops.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>

#include "arena.h"
#include "bits.h"
#include "frame.h"
#include "ops.h"
#include "page.h"
#include "quota.h"

/* What is taken from the system at once, if it is to be had without effort. */
#define FILL_ORDER	4
#define GFP_CHEAP	((PYM_GFP & ~__GFP_DIRECT_RECLAIM) | __GFP_NORETRY)

/* Charge and allocate 2 to the power of @order pages, zeroed. */
static int take_pages(struct pym_heap *heap, struct page **pages, unsigned int order)
{
	gfp_t gfp = (order ? GFP_CHEAP : PYM_GFP) | __GFP_ZERO;
	int err;

	err = pym_pages_charge(heap, 1 << order);
	if (err)
		return err;
	*pages = alloc_pages(gfp, order);
	if (!*pages) {
		pym_pages_uncharge(heap, 1 << order);
		return -ENOMEM;
	}
	if (order)
		split_page(*pages, order);
	return 0;
}

/* Give some of the pools a page each.  Returns those that have got one. */
static u64 fill_some(struct pym_heap *heap, struct pym_arena *arena, u64 bits, int *err)
{
	unsigned int order, i, nr = hweight64(bits);
	struct page *pages;
	u64 rest = bits;

	order = ilog2(nr);
	order = min_t(unsigned int, order, FILL_ORDER);
	*err = fatal_signal_pending(current) ? -EINTR : take_pages(heap, &pages, order);
	if (*err && *err != -EINTR && order) {
		order = 0;
		*err = take_pages(heap, &pages, order);
	}
	if (*err)
		return 0;
	for (i = 0; i < 1U << order; i++, rest &= rest - 1) {
		/* The page allocator clears that of the first one only. */
		WRITE_ONCE(pages[i].private, 0);
		arena->pools[__ffs64(rest)].page = pages + i;
	}
	return bits & ~rest;
}

static u64 without_page(const struct pym_arena *arena, u64 bits)
{
	u64 rest;

	for (rest = bits; rest; rest &= rest - 1)
		if (arena->pools[__ffs64(rest)].page)
			bits &= ~(rest & -rest);
	return bits;
}

/* The pools have got a page each that the heap's user pays for. */
static void note_payer(struct pym_heap *heap, struct pym_arena *arena, u64 bits)
{
	if (!heap->pays_apart)
		return;
	spin_lock(&heap->lock);
	arena->apart |= bits;
	heap->pages_apart += hweight64(bits);
	spin_unlock(&heap->lock);
}

/* Those of the pools whose page has a memory error. */
static u64 with_bad_page(const struct pym_arena *arena, u64 bits)
{
	u64 rest, bad = 0;

	for (rest = bits; rest; rest &= rest - 1) {
		struct page *page = arena->pools[__ffs64(rest)].page;

		if (page && PageHWPoison(page))
			bad |= rest & -rest;
	}
	return bad;
}

/**
 * pym_pages_fill() - give busy pools a page each
 * @heap: the heap
 * @arena: their arena
 * @bits: the pools; those that have a page keep it, unless it has a memory error
 * @err: out: why not all of them have one: -ENOMEM (the machine, the memory
 *	cgroup, or the heap's limit), -EDQUOT (the user's), -EINTR; else 0
 *
 * Context: Sleeps.  Holds @heap->gate for reading, and may leave it for a while.
 *	Pages are charged to the active memory cgroup.
 * Return: those of @bits that have a page now.
 */
u64 pym_pages_fill(struct pym_heap *heap, struct pym_arena *arena, u64 bits, int *err)
{
	u64 bad = with_bad_page(arena, bits), missing, rest;
	int dropped = bad ? pym_pages_drop(heap, arena, bad) : 0;

	*err = min(dropped, 0);
	missing = without_page(arena, bits);
	/* Those that could not be dropped are of no use. */
	rest = *err ? missing | bad : missing;
	while (rest && !*err)
		rest &= ~fill_some(heap, arena, rest, err);
	if (missing != rest) {
		note_payer(heap, arena, missing & ~rest);
		pym_pages_count_in(heap, hweight64(missing & ~rest));
	}
	return bits & ~rest;
}

static void zap_held(struct pym_heap *heap, const struct pym_view *view,
		     struct pym_arena *arena, u64 bits)
{
	while (bits) {
		unsigned int first = __ffs64(bits);
		unsigned int nr = pym_run_length(bits, first), i;

		/* A fault that has found a page holds its lock until it is mapped. */
		for (i = first; i < first + nr; i++)
			wait_on_page_locked(arena->pools[i].page);
		heap->ops->zap(heap, view, pym_pool_offset(&arena->pools[first]),
			       (u64)nr << PYM_POOL_SHIFT);
		bits &= ~pym_bits(first, nr);
	}
}

/* Pages that nobody maps any more go, those of @bits.  Returns how many. */
static unsigned int put_pages(struct pym_heap *heap, struct pym_arena *arena, u64 bits)
{
	struct page *pages[PYMALLOC_ARENA_POOLS] __uninitialized;
	unsigned int nr = 0, together = 0, apart = 0, joint = 0;

	spin_lock(&heap->lock);
	for (; bits; bits &= bits - 1) {
		unsigned int index = __ffs64(bits);
		struct pym_pool *pool = &arena->pools[index];
		bool alone = arena->apart & BIT_ULL(index);

		joint += pym_frame_is_joint(pool->page);
		/* Who is left with a page of the family is left with its charge. */
		if (alone)
			apart += pym_frame_leave(pool->page, true);
		else
			together += pym_frame_leave(pool->page, false);
		arena->apart &= ~BIT_ULL(index);
		arena->leaving &= ~BIT_ULL(index);
		pages[nr++] = pool->page;
		pool->page = NULL;
	}
	heap->pages -= nr;
	heap->pages_out += nr;
	heap->joint -= joint;
	heap->pages_apart -= apart;
	pym_quota_uncharge(heap->purse, pym_page_bytes(together));
	pym_quota_uncharge(heap->user, pym_page_bytes(apart));
	spin_unlock(&heap->lock);

	release_pages(pages, nr);
	pym_quota_uncharge(&heap->quota, pym_page_bytes(nr));
	return nr;
}

static void set_leaving(struct pym_heap *heap, struct pym_arena *arena, u64 bits, bool leaving)
{
	spin_lock(&heap->lock);
	if (leaving)
		arena->leaving |= bits;
	else
		arena->leaving &= ~bits;
	spin_unlock(&heap->lock);
}

/**
 * pym_pages_drop() - give the pages of busy pools back to the system
 * @heap: the heap
 * @arena: their arena
 * @bits: the pools; those without a page are passed over
 *
 * A page that somebody has pinned lives on for him alone.
 *
 * Context: Sleeps.  Holds @heap->gate for reading, and leaves it for a while.
 * Return: how many pages went; or -EINTR (the caller is not the heap's process,
 *	and is being killed) and none did.
 */
int pym_pages_drop(struct pym_heap *heap, struct pym_arena *arena, u64 bits)
{
	struct pym_view view;
	int err;

	bits &= ~without_page(arena, bits);
	if (!bits)
		return 0;
	set_leaving(heap, arena, bits, true);
	err = pym_gate_leave(heap, &view);
	if (err) {
		set_leaving(heap, arena, bits, false);
		return err;
	}
	zap_held(heap, &view, arena, bits);
	pym_gate_enter(heap, &view);
	return put_pages(heap, arena, bits);
}

/**
 * pym_pages_destroy() - free the pages of a heap that nobody uses or maps
 * @heap: the heap
 *
 * Context: Sleeps.
 */
void pym_pages_destroy(struct pym_heap *heap)
{
	struct pym_arena *arena;
	u64 offset = 0;

	for (;;) {
		rcu_read_lock();
		arena = pym_arena_next(heap, &offset, heap->window);
		rcu_read_unlock();
		if (!arena)
			return;
		put_pages(heap, arena, ~without_page(arena, ~0ULL));
		offset += PYMALLOC_ARENA_SIZE;
		cond_resched();
	}
}
