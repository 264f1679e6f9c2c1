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
#include <linux/highmem.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>

#include "core.h"

/* What is taken from the system at once, if it is to be had without effort. */
#define FILL_ORDER	4
#define GFP_CHEAP	((PYM_GFP & ~__GFP_DIRECT_RECLAIM) | __GFP_NORETRY)

static int charge(struct pym_heap *heap, unsigned int nr)
{
	int err;

	/* The heap's own limit is a full heap, the user's is a quota. */
	if (pym_quota_charge(&heap->quota, nr))
		return -ENOMEM;
	err = pym_quota_charge(heap->user, nr);
	if (err)
		pym_quota_uncharge(&heap->quota, nr);
	return err;
}

static void uncharge(struct pym_heap *heap, unsigned int nr)
{
	pym_quota_uncharge(&heap->quota, nr);
	pym_quota_uncharge(heap->user, nr);
}

/* Charge and allocate 2 to the power of @order pages, zeroed. */
static int take_pages(struct pym_heap *heap, struct page **pages, unsigned int order)
{
	gfp_t gfp = (order ? GFP_CHEAP : PYM_GFP) | __GFP_ZERO;
	int err;

	err = charge(heap, 1 << order);
	if (err)
		return err;
	*pages = alloc_pages(gfp, order);
	if (!*pages) {
		uncharge(heap, 1 << order);
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
	for (i = 0; i < 1U << order; i++, rest &= rest - 1)
		arena->pools[__ffs64(rest)].page = pages + i;
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

/**
 * pym_pages_count_in() - count pages that a heap has got
 * @heap: the heap
 * @nr: how many
 */
void pym_pages_count_in(struct pym_heap *heap, unsigned int nr)
{
	u64 threshold = READ_ONCE(heap->threshold), before, after;

	spin_lock(&heap->lock);
	before = heap->pages;
	heap->pages += nr;
	heap->pages_in += nr;
	heap->pages_peak = max(heap->pages_peak, heap->pages);
	after = heap->pages;
	spin_unlock(&heap->lock);

	if (threshold && before << PYM_POOL_SHIFT < threshold &&
	    after << PYM_POOL_SHIFT >= threshold)
		heap->ops->grown(heap);
}

/**
 * pym_pages_fill() - give busy pools a page each
 * @heap: the heap
 * @arena: their arena
 * @bits: the pools; those that have a page keep it
 * @err: out: why not all of them have one: -ENOMEM (the machine, the memory
 *	cgroup, or the heap's limit), -EDQUOT (the user's), -EINTR; else 0
 *
 * Context: Sleeps.  Pages are charged to the active memory cgroup.
 * Return: those of @bits that have a page now.
 */
u64 pym_pages_fill(struct pym_heap *heap, struct pym_arena *arena, u64 bits, int *err)
{
	u64 missing = without_page(arena, bits), rest = missing;

	*err = 0;
	while (rest && !*err)
		rest &= ~fill_some(heap, arena, rest, err);
	if (missing != rest)
		pym_pages_count_in(heap, hweight64(missing & ~rest));
	return bits & ~rest;
}

/*
 * Heaps that come of one by fork() share pages until one of them writes.  A
 * page counts its owners but one in page->private.  Only its single owner can
 * make that grow, and not while a fault or a call of his is going on.
 */
static bool page_is_shared(struct page *page)
{
	/* Pairs with the cmpxchg in page_leave(): who left has done with it. */
	return smp_load_acquire(&page->private);
}

/* Stop owning a page.  Returns false if nobody else owns it. */
static bool page_leave(struct page *page)
{
	unsigned long others = READ_ONCE(page->private);

	while (others && !try_cmpxchg(&page->private, &others, others - 1))
		;
	return others;
}

static void page_join(struct page *page)
{
	unsigned long others = READ_ONCE(page->private);

	while (!try_cmpxchg(&page->private, &others, others + 1))
		;
	get_page(page);
}

/*
 * A copy for a heap that has so far been counted for the original; or -EDQUOT
 * or -ENOMEM.
 */
static struct page *page_copy(struct pym_heap *heap, struct page *page)
{
	struct page *copy;
	int err;

	err = pym_quota_charge(heap->user, 1);
	if (err)
		return ERR_PTR(err);
	copy = alloc_page(GFP_KERNEL_ACCOUNT);
	if (!copy) {
		pym_quota_uncharge(heap->user, 1);
		return ERR_PTR(-ENOMEM);
	}
	copy_highpage(copy, page);
	return copy;
}

/* The page for a clone: the same one, unless somebody may be writing to it. */
static struct page *page_share(struct pym_heap *child, struct page *page)
{
	if (folio_maybe_dma_pinned(page_folio(page)))
		return page_copy(child, page);
	page_join(page);
	return page;
}

/* The length of the run of set bits that starts at @first. */
static unsigned int run_length(u64 bits, unsigned int first)
{
	u64 rest = ~(bits >> first);

	return rest ? __ffs64(rest) : 64;
}

static void zap_pages(struct pym_heap *heap, struct pym_arena *arena, u64 bits)
{
	while (bits) {
		unsigned int first = __ffs64(bits);
		unsigned int nr = run_length(bits, first), i;

		/* A fault that has found a page holds its lock until it is mapped. */
		for (i = first; i < first + nr; i++)
			wait_on_page_locked(arena->pools[i].page);
		heap->ops->zap(heap, pym_pool_offset(&arena->pools[first]),
			       (u64)nr << PYM_POOL_SHIFT);
		bits &= ~pym_bits(first, nr);
	}
}

/**
 * pym_pages_share() - give a cloned arena the pages of its original
 * @heap: the original's heap
 * @arena: the original
 * @child: the clone's heap
 * @copy: the clone; its pools have no pages yet
 * @bits: the pools that get one
 *
 * Whoever maps the original may go on reading what is shared.  What is not is
 * taken away from him: his page tables may become those of the clone, too.
 *
 * Context: Sleeps.
 * Return: how many have got one: all, unless there is no memory.
 */
unsigned int pym_pages_share(struct pym_heap *heap, struct pym_arena *arena,
			     struct pym_heap *child, struct pym_arena *copy, u64 bits)
{
	u64 rest, apart = arena->cached;

	for (rest = bits; rest; rest &= rest - 1) {
		unsigned int index = __ffs64(rest);
		struct page *page = arena->pools[index].page;
		struct page *shared = page_share(child, page);

		if (IS_ERR(shared))
			break;
		copy->pools[index].page = shared;
		if (shared != page)
			apart |= BIT_ULL(index);
	}
	zap_pages(heap, arena, apart);
	return hweight64(bits & ~rest);
}

/* Pages that nobody maps any more go, those of @bits.  Returns how many. */
static unsigned int put_pages(struct pym_heap *heap, struct pym_arena *arena, u64 bits)
{
	struct page *pages[PYMALLOC_ARENA_POOLS] __uninitialized;
	unsigned int nr = 0, own = 0;

	for (; bits; bits &= bits - 1) {
		struct pym_pool *pool = &arena->pools[__ffs64(bits)];

		/* Who is left with a shared page is left with its charge. */
		own += !page_leave(pool->page);
		pages[nr++] = pool->page;
		pool->page = NULL;
	}
	release_pages(pages, nr);

	spin_lock(&heap->lock);
	heap->pages -= nr;
	heap->pages_out += nr;
	spin_unlock(&heap->lock);
	/* Last, so that the count of pages never passes the limit. */
	pym_quota_uncharge(&heap->quota, nr);
	pym_quota_uncharge(heap->user, own);
	return nr;
}

/**
 * pym_pages_drop() - give the pages of busy pools back to the system
 * @heap: the heap
 * @arena: their arena
 * @bits: the pools; those without a page are passed over
 *
 * A page that somebody has pinned lives on for him alone.
 *
 * Context: Sleeps.
 * Return: how many pages went.
 */
unsigned int pym_pages_drop(struct pym_heap *heap, struct pym_arena *arena, u64 bits)
{
	bits &= ~without_page(arena, bits);
	zap_pages(heap, arena, bits);
	return put_pages(heap, arena, bits);
}

/* The page that may be shown at a place of an arena. */
static struct page *page_at_locked(struct pym_arena *arena, unsigned int index)
{
	return arena->busy & BIT_ULL(index) ? NULL : arena->pools[index].page;
}

/**
 * pym_pages_get() - the pages behind an offset of the window
 * @heap: the heap
 * @offset: the offset, or anything beyond the window
 * @pages: out: the pages, each with a reference
 * @nr: how many are wanted
 *
 * Context: Any that may take @heap->lock.
 * Return: how many there are in a row from @offset on, within its arena.
 */
unsigned int pym_pages_get(struct pym_heap *heap, u64 offset, struct page **pages,
			   unsigned int nr)
{
	unsigned int index = (offset >> PYM_POOL_SHIFT) % PYMALLOC_ARENA_POOLS, i = 0;
	struct pym_arena *arena;

	nr = min(nr, PYMALLOC_ARENA_POOLS - index);
	spin_lock(&heap->lock);
	arena = pym_arena_find(heap, offset);
	for (; arena && i < nr; i++) {
		pages[i] = page_at_locked(arena, index + i);
		if (!pages[i])
			break;
		get_page(pages[i]);
	}
	spin_unlock(&heap->lock);
	return i;
}

/**
 * pym_pages_same() - are they still there?
 * @heap: the heap
 * @offset: as for pym_pages_get()
 * @pages: what that found
 * @nr: how many
 *
 * Context: Any that may take @heap->lock.
 * Return: how many are where they were, from the first on.
 */
unsigned int pym_pages_same(struct pym_heap *heap, u64 offset, struct page **pages,
			    unsigned int nr)
{
	unsigned int index = (offset >> PYM_POOL_SHIFT) % PYMALLOC_ARENA_POOLS, i = 0;
	struct pym_arena *arena;

	spin_lock(&heap->lock);
	arena = pym_arena_find(heap, offset);
	while (arena && i < nr && page_at_locked(arena, index + i) == pages[i])
		i++;
	spin_unlock(&heap->lock);
	return i;
}

static struct page *page_get(struct pym_heap *heap, u64 offset)
{
	struct page *page;

	return pym_pages_get(heap, offset, &page, 1) ? page : NULL;
}

/* Put @new in the place of @old, if that is still there and still shared. */
static bool swap_page(struct pym_heap *heap, u64 offset, struct page *old, struct page *new)
{
	unsigned int index = (offset >> PYM_POOL_SHIFT) % PYMALLOC_ARENA_POOLS;
	struct pym_arena *arena;
	bool swapped;

	spin_lock(&heap->lock);
	arena = pym_arena_find(heap, offset);
	swapped = arena && page_at_locked(arena, index) == old && page_is_shared(old);
	if (swapped)
		arena->pools[index].page = new;
	spin_unlock(&heap->lock);
	return swapped;
}

static int page_replace(struct pym_heap *heap, u64 offset, struct page *old)
{
	struct page *new = page_copy(heap, old);

	if (IS_ERR(new))
		return PTR_ERR(new);
	if (swap_page(heap, offset, old, new)) {
		wait_on_page_locked(old);
		heap->ops->zap(heap, round_down(offset, PAGE_SIZE), PAGE_SIZE);
		/* Not before: the last owner writes, and it was still to be seen here. */
		if (!page_leave(old))
			pym_quota_uncharge(heap->user, 1);
		put_page(old);
	} else {
		/* Somebody was faster, or all others have gone. */
		__free_page(new);
		pym_quota_uncharge(heap->user, 1);
	}
	return 0;
}

/**
 * pym_page_own() - make the page behind an offset the heap's alone
 * @heap: the heap
 * @offset: the offset
 *
 * Context: Sleeps.  The heap is not being cloned.
 * Return: 0, -EFAULT (there is no page), -ENOMEM or -EDQUOT.
 */
int pym_page_own(struct pym_heap *heap, u64 offset)
{
	struct page *page;
	int err = 0;

	if (!READ_ONCE(heap->shares))
		return 0;
	page = page_get(heap, offset);
	if (!page)
		return -EFAULT;
	if (page_is_shared(page))
		err = page_replace(heap, offset, page);
	put_page(page);
	return err;
}

/**
 * pym_pages_zero() - clear bytes of one page
 * @heap: the heap
 * @offset: where they are
 * @bytes: how many
 *
 * Does nothing if the page goes away meanwhile, as pym_pages_copy().
 *
 * Context: Sleeps.
 * Return: 0, -ENOMEM or -EDQUOT.
 */
int pym_pages_zero(struct pym_heap *heap, u64 offset, u64 bytes)
{
	int err = pym_page_own(heap, offset);
	struct page *page = page_get(heap, offset);

	if (page) {
		if (!err)
			memzero_page(page, offset_in_page(offset), bytes);
		put_page(page);
	}
	return err == -EFAULT ? 0 : err;
}

/*
 * A page that was shared may be replaced at any time, and then be written to by
 * whoever is left with it: what was read counts only if the page is still there.
 */
static int copy_to_page(struct pym_heap *heap, struct page *target, u64 to, u64 from,
			unsigned int bytes)
{
	bool same;

	do {
		struct page *source = page_get(heap, from);

		if (!source)
			return -EFAULT;
		memcpy_page(target, offset_in_page(to), source, offset_in_page(from), bytes);
		same = pym_pages_same(heap, from, &source, 1);
		put_page(source);
	} while (!same);
	return 0;
}

static int copy_within_pages(struct pym_heap *heap, u64 to, u64 from, unsigned int bytes)
{
	int err = pym_page_own(heap, to);
	struct page *target = page_get(heap, to);

	if (!target)
		return -EFAULT;
	if (!err)
		err = copy_to_page(heap, target, to, from, bytes);
	put_page(target);
	return err;
}

/**
 * pym_pages_copy() - copy bytes from one place of the window to another
 * @heap: the heap
 * @to: where to
 * @from: where from
 * @bytes: how many
 *
 * Stops early if one of the two goes away meanwhile: they are the caller's
 * objects, and only his own mistake can free them.
 *
 * Context: Sleeps.
 * Return: 0, -ENOMEM or -EDQUOT.
 */
int pym_pages_copy(struct pym_heap *heap, u64 to, u64 from, u64 bytes)
{
	int err = 0;

	while (bytes && !err) {
		unsigned int now = PAGE_SIZE - max(offset_in_page(to), offset_in_page(from));

		now = min_t(u64, now, bytes);
		err = copy_within_pages(heap, to, from, now);
		to += now;
		from += now;
		bytes -= now;
		cond_resched();
	}
	return err == -EFAULT ? 0 : err;
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
