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
#include "frame.h"

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

/* The length of the run of set bits that starts at @first. */
static unsigned int run_length(u64 bits, unsigned int first)
{
	u64 rest = ~(bits >> first);

	return rest ? __ffs64(rest) : 64;
}

static void zap_held(struct pym_heap *heap, const struct pym_view *view,
		     struct pym_arena *arena, u64 bits)
{
	while (bits) {
		unsigned int first = __ffs64(bits);
		unsigned int nr = run_length(bits, first), i;

		/* A fault that has found a page holds its lock until it is mapped. */
		for (i = first; i < first + nr; i++)
			wait_on_page_locked(arena->pools[i].page);
		heap->ops->zap(heap, view, pym_pool_offset(&arena->pools[first]),
			       (u64)nr << PYM_POOL_SHIFT);
		bits &= ~pym_bits(first, nr);
	}
}

/*
 * fork() holds the mappings and wants the gate; so who is in the gate leaves it
 * to hold the mappings, and everybody finds the heap in order meanwhile.
 */
static int leave_gate(struct pym_heap *heap, struct pym_view *view)
{
	int err;

	up_read(&heap->gate);
	err = heap->ops->hold(heap, view);
	if (err)
		down_read(&heap->gate);
	return err;
}

static void enter_gate(struct pym_heap *heap, struct pym_view *view)
{
	heap->ops->release(heap, view);
	down_read(&heap->gate);
}

/**
 * pym_pages_zap() - take a part of what is mapped out of the mappings
 * @heap: the heap
 * @offset: where in the descriptor it is
 * @bytes: how many
 *
 * Context: Sleeps.  Holds @heap->gate for reading, and leaves it for a while.  In
 *	the heap's process, which always gets its mappings held.
 */
void pym_pages_zap(struct pym_heap *heap, u64 offset, u64 bytes)
{
	struct pym_view view;

	if (leave_gate(heap, &view))
		return;
	heap->ops->zap(heap, &view, offset, bytes);
	enter_gate(heap, &view);
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
	err = leave_gate(heap, &view);
	if (err) {
		set_leaving(heap, arena, bits, false);
		return err;
	}
	zap_held(heap, &view, arena, bits);
	enter_gate(heap, &view);
	return put_pages(heap, arena, bits);
}

/**
 * pym_page_at_locked() - the page that may be shown at a place of an arena
 * @arena: the arena
 * @index: the place
 *
 * Context: Holds the lock of the arena's heap.
 * Return: the page, without a reference, or NULL.
 */
struct page *pym_page_at_locked(struct pym_arena *arena, unsigned int index)
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
		pages[i] = pym_page_at_locked(arena, index + i);
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
	while (arena && i < nr && pym_page_at_locked(arena, index + i) == pages[i])
		i++;
	spin_unlock(&heap->lock);
	return i;
}

/**
 * pym_page_get() - the page behind an offset of the window
 * @heap: the heap
 * @offset: the offset, or anything beyond the window
 *
 * Context: Any that may take @heap->lock.
 * Return: the page, with a reference, or NULL.
 */
struct page *pym_page_get(struct pym_heap *heap, u64 offset)
{
	struct page *page;

	return pym_pages_get(heap, offset, &page, 1) ? page : NULL;
}

static int own_page(struct pym_heap *heap, u64 offset)
{
	struct page *fresh;
	struct pym_view view;
	int err;

	err = leave_gate(heap, &view);
	if (err)
		return err;
	err = pym_page_own(heap, offset, &view, &fresh);
	if (fresh) {
		unlock_page(fresh);
		put_page(fresh);
	}
	enter_gate(heap, &view);
	return err;
}

/*
 * A page for the kernel to write to: the heap's alone until the gate is left.  Has
 * a reference.  Or an error: -EFAULT without a page, -EHWPOISON, -ENOMEM.
 */
static struct page *get_own_page(struct pym_heap *heap, u64 offset)
{
	for (;;) {
		struct page *page = pym_page_get(heap, offset);
		bool bad;
		int err;

		if (!page)
			return ERR_PTR(-EFAULT);
		/* It may be a copy that is not yet finished. */
		wait_on_page_locked(page);
		bad = PageHWPoison(page);
		if (!bad && !pym_frame_is_joint(page))
			return page;
		put_page(page);
		err = bad ? -EHWPOISON : own_page(heap, offset);
		if (err)
			return ERR_PTR(err);
	}
}

/**
 * pym_pages_zero() - clear bytes of one page
 * @heap: the heap
 * @offset: where they are
 * @bytes: how many
 *
 * Does nothing if the page goes away meanwhile, as pym_pages_copy().
 *
 * Context: Sleeps.  Holds @heap->gate for reading, and may leave it for a while.
 * Return: 0, -EHWPOISON (the page has a memory error) or -ENOMEM.
 */
int pym_pages_zero(struct pym_heap *heap, u64 offset, u64 bytes)
{
	struct page *page = get_own_page(heap, offset);

	if (IS_ERR(page))
		return PTR_ERR(page) == -EFAULT ? 0 : PTR_ERR(page);
	memzero_page(page, offset_in_page(offset), bytes);
	put_page(page);
	return 0;
}

/*
 * A joint page may be replaced at any time, and then be written to by whoever is
 * left with it: what was read counts only if the page is still there.
 */
static int copy_to_page(struct pym_heap *heap, struct page *target, u64 to, u64 from,
			unsigned int bytes)
{
	bool same;

	do {
		struct page *source = pym_page_get(heap, from);

		if (!source)
			return -EFAULT;
		wait_on_page_locked(source);
		if (PageHWPoison(source)) {
			put_page(source);
			return -EHWPOISON;
		}
		memcpy_page(target, offset_in_page(to), source, offset_in_page(from), bytes);
		same = pym_pages_same(heap, from, &source, 1);
		put_page(source);
	} while (!same);
	return 0;
}

static int copy_within_pages(struct pym_heap *heap, u64 to, u64 from, unsigned int bytes)
{
	struct page *target = get_own_page(heap, to);
	int err;

	if (IS_ERR(target))
		return PTR_ERR(target) == -EHWPOISON ? -EAGAIN : PTR_ERR(target);
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
 * Context: Sleeps.  Holds @heap->gate for reading, and may leave it for a while.
 * Return: 0, -ENOMEM; -EHWPOISON if a page that was to be read has a memory error,
 *	-EAGAIN if one that was to be written to has.
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
