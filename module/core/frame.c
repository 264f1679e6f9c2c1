// SPDX-License-Identifier: GPL-2.0
/*
 * Frames: a physical page, and the heaps that have it.
 *
 * A frame is allocated by the core, is no page of a file, and is on no list of the
 * memory management.  Of struct page the core uses
 *
 *	private		which heaps have the frame, and which pay for it.  Only the
 *			core reads and writes it:
 *
 *		bit 0		it may be shared: more than one heap has had it
 *				since it last belonged to one alone
 *		bits 1 to 31	how many heaps have it, less one
 *		bits 32 to 63	how many of all its heaps pay for it apart, counted
 *				while more than one has it
 *
 *			0 is a frame of one heap alone.  Then only fork() of that heap
 *			changes it.  Otherwise it changes by cmpxchg, or, if one heap
 *			has it, under that heap's lock
 *	_refcount	one reference for each heap that has it, for each entry of a
 *			page table, for each pin and for each task that reads it
 *	PG_locked	it must not be used yet: it is about to take the place of
 *			another, or has just done so and its bytes are not all there.
 *			A task that finds it must wait.  (The code that maps frames
 *			may lock them for its own purposes, too.)
 *	PG_hwpoison	the memory management has found an error in its memory:
 *			nobody may read it
 *
 * Heaps of one family pay for a frame together, once, from their common purse: the quota
 * of the user that they belong to.  A heap whose process has become another user pays
 * for each of its frames apart, from the quota of that user.
 *
 * Copy on write
 * -------------
 * A heap writes to a page in place only if no other heap has it and every reference to
 * it is known.  This is the memory management's rule for anonymous pages (do_wp_page(),
 * PG_anon_exclusive), with what a driver can use:
 *
 * 1. A frame that one heap alone has had since it was allocated, copied or settled
 *    is not shared.  It may be mapped for writing, and pinned; the kernel may write
 *    to it.
 * 2. fork() takes the pages out of the parent's page tables first, and counts their
 *    references only then: share_page() in clone.c.  This includes references by
 *    GUP-fast: it takes a reference before it reads the page table a second time.
 * 3. A frame that may be shared is mapped for reading only.  A task that takes a
 *    reference through such a mapping only reads, and must never see what another
 *    heap writes later.  So a heap that wants to write gets a copy, even if it is the
 *    last owner, unless the frame can be settled.
 * 4. A frame is settled, which means that it is the heap's alone again, if it has one
 *    owner and, after it has been taken out of all page tables, two references: that
 *    of the pool, and that of the task that counts them.
 *
 * The core never compares the number of mappings with the number of references: both
 * can change between the two reads.
 *
 * A copy is locked when it takes the place of the original, and stays locked until
 * nobody maps the original any more and all bytes are copied.  A task that finds it
 * earlier, in a fault or in a call, waits for the lock.  So no thread still uses the
 * original when another writes to the copy, and nobody writes before all is copied.
 */
#include <linux/bitops.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched.h>

#include "arena.h"
#include "face.h"
#include "frame.h"
#include "ops.h"
#include "quota.h"

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
	const struct pym_pool *pool = pym_pool_in(arena, index);

	return !pool || arena->busy & BIT_ULL(index) ? NULL : pool->page;
}

/**
 * pym_pages_get() - the pages behind an offset of the window
 * @heap: the heap
 * @offset: the offset, or anything beyond the window
 * @pages: out: the pages, each with a reference; NULL where there is none
 * @nr: how many are wanted
 *
 * Context: Any that may take @heap->lock.
 * Return: how many, from @offset on and within its arena, up to the last one that is
 *	there; 0 if there is none at @offset.
 */
unsigned int pym_pages_get(struct pym_heap *heap, u64 offset, struct page **pages,
			   unsigned int nr)
{
	unsigned int index = (offset >> PYM_POOL_SHIFT) % PYMALLOC_ARENA_POOLS, i, found = 0;
	struct pym_arena *arena;

	nr = min(nr, PYMALLOC_ARENA_POOLS - index);
	spin_lock(&heap->lock);
	arena = pym_arena_find(heap, offset);
	for (i = 0; arena && i < nr; i++) {
		pages[i] = pym_page_at_locked(arena, index + i);
		if (pages[i]) {
			get_page(pages[i]);
			found = i + 1;
		} else if (!i) {
			break;
		}
	}
	spin_unlock(&heap->lock);
	return found;
}

/**
 * pym_pages_same() - recheck that pages are still where they were found
 * @heap: the heap
 * @offset: the offset that pym_pages_get() was called with
 * @pages: the pages that it returned
 * @nr: how many
 *
 * Context: Any that may take @heap->lock.
 * Return: how many of them, counted from the first, are where they were.
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
		pym_threshold_passed(heap);
}

/* The quota that a page is charged to. */
static struct pym_quota *frame_payer(struct pym_heap *heap, bool apart)
{
	return apart ? heap->user : heap->purse;
}

/**
 * pym_frame_pay_locked() - charge a pool's new page, which no other heap has
 * @heap: the heap
 * @arena: the pool's arena
 * @index: the pool's place in the arena
 *
 * No limit is checked: this is for fork(), and for a write to memory that the process
 * already has.
 *
 * Context: Holds @heap->lock.
 */
void pym_frame_pay_locked(struct pym_heap *heap, struct pym_arena *arena, unsigned int index)
{
	bool apart = heap->pays_apart;

	pym_quota_force(frame_payer(heap, apart), PAGE_SIZE);
	if (apart)
		arena->apart |= BIT_ULL(index);
	else
		arena->apart &= ~BIT_ULL(index);
	heap->pages_apart += apart;
}

/**
 * pym_frame_unpay_locked() - uncharge a pool's page, which no other heap has
 * @heap: the heap
 * @arena: the pool's arena
 * @index: the pool's place in the arena
 *
 * Context: Holds @heap->lock.
 */
void pym_frame_unpay_locked(struct pym_heap *heap, struct pym_arena *arena,
			    unsigned int index)
{
	bool apart = arena->apart & BIT_ULL(index);

	pym_quota_uncharge(frame_payer(heap, apart), PAGE_SIZE);
	arena->apart &= ~BIT_ULL(index);
	heap->pages_apart -= apart;
}

/* The arena of a page, if that is still at @offset and may be shared; else NULL. */
static struct pym_arena *shared_arena_locked(struct pym_heap *heap, u64 offset,
					     const struct page *page)
{
	struct pym_arena *arena = pym_arena_find(heap, offset);
	unsigned int index = (offset >> PYM_POOL_SHIFT) % PYMALLOC_ARENA_POOLS;

	if (arena && pym_page_at_locked(arena, index) == page && pym_frame_maybe_shared(page))
		return arena;
	return NULL;
}

/*
 * Is every reference to an unmapped page known?  @known is how many the pool and the
 * caller have.
 */
static bool refs_are_explained(struct page *page, int known)
{
	return pym_frame_heaps(page) == 1 && page_count(page) == known;
}

/* From now on a page that may have been shared belongs to the heap alone. */
static void frame_own_locked(struct pym_heap *heap, struct page *page)
{
	WRITE_ONCE(page->private, 0);
	heap->maybe_shared--;
	heap->nr_own++;
}

/*
 * Where a page that may be shared is in the window: at @offset, and where its frame has other
 * faces.  Faces may leave the frame meanwhile, but none can join it.
 */
static unsigned int frame_offsets(struct pym_heap *heap, u64 offset, struct page *page,
				  u64 *offsets)
{
	struct pym_pool *face;
	unsigned int nr = 0;

	spin_lock(&heap->lock);
	if (shared_arena_locked(heap, offset, page))
		pym_for_each_face(face, pym_pool_find(heap, offset), heap)
			offsets[nr++] = pym_pool_offset(face);
	spin_unlock(&heap->lock);
	return nr;
}

/* Take a page that may be shared out of the mappings, wherever it is shown. */
static void zap_frame(struct pym_heap *heap, const struct pym_mappings *mappings,
		      const u64 *offsets, unsigned int nr, struct page *page)
{
	while (nr--)
		pym_zap(heap, mappings, offsets[nr], &page, 1);
}

/* Settle a page whose references are all known, if it is still there. */
static bool frame_end_sharing(struct pym_heap *heap, u64 offset, struct page *page)
{
	bool found;

	spin_lock(&heap->lock);
	found = shared_arena_locked(heap, offset, page);
	if (found)
		frame_own_locked(heap, page);
	spin_unlock(&heap->lock);
	return found;
}

/*
 * Settle a page, if it belongs to the heap alone.  Then it is locked, and nobody maps it.
 * The caller has a reference.
 */
static bool settle_page(struct pym_heap *heap, u64 offset, const struct pym_mappings *mappings,
			struct page *page)
{
	u64 offsets[PYM_FACES_MAX];
	bool alone;

	if (pym_frame_heaps(page) > 1)
		return false;
	zap_frame(heap, mappings, offsets, frame_offsets(heap, offset, page, offsets), page);
	lock_page(page);
	/* A fault that has mapped it meanwhile has a reference: then do not settle it. */
	alone = refs_are_explained(page, PYM_REFS_AT_REST + 1) &&
		frame_end_sharing(heap, offset, page);
	if (!alone)
		unlock_page(page);
	return alone;
}

/**
 * struct exchange - how the page was paid for that a copy has replaced
 * @payer: the quota that it was charged to
 * @apart: the heap paid for it apart from its family
 */
struct exchange {
	struct pym_quota *payer;
	bool apart;
};

/* Put @new in the place of @old, if that is still there and may be shared. */
static bool swap_page(struct pym_heap *heap, u64 offset, struct page *old,
		      struct page *new, struct exchange *exchange)
{
	struct pym_pool *pool, *face;
	struct pym_arena *arena;
	bool found;

	spin_lock(&heap->lock);
	found = shared_arena_locked(heap, offset, old);
	if (found) {
		pool = pym_face_primary(heap, pym_pool_find(heap, offset));
		arena = pym_arena_of(heap, pool);
		exchange->apart = arena->apart & BIT_ULL(pym_pool_index(pool));
		exchange->payer = frame_payer(heap, exchange->apart);
		heap->pages_apart -= exchange->apart;
		heap->maybe_shared--;
		heap->nr_own++;
		pym_for_each_face(face, pool, heap)
			WRITE_ONCE(face->page, new);
		pym_frame_pay_locked(heap, arena, pym_pool_index(pool));
	}
	spin_unlock(&heap->lock);
	return found;
}

/*
 * Replace a page that may be shared by a copy.  Returns the copy, locked and with a
 * reference for the caller; NULL if another task has replaced or settled the page before;
 * or -ENOMEM.
 */
static struct page *replace_page(struct pym_heap *heap, u64 offset,
				 const struct pym_mappings *mappings, struct page *old)
{
	struct page *new = alloc_page(PYM_GFP);
	u64 offsets[PYM_FACES_MAX];
	struct exchange exchange;
	unsigned int nr;

	if (!new)
		return ERR_PTR(-ENOMEM);
	nr = frame_offsets(heap, offset, old, offsets);
	lock_page(new);
	get_page(new);
	if (!swap_page(heap, offset, old, new, &exchange)) {
		unlock_page(new);
		put_page(new);
		put_page(new);
		return NULL;
	}
	zap_frame(heap, mappings, offsets, nr, old);
	copy_highpage(new, old);
	/*
	 * Drop ownership only after the copy: the last owner may then write in place,
	 * and this heap must not see it.
	 */
	if (pym_frame_put(old, exchange.apart))
		pym_quota_uncharge(exchange.payer, PAGE_SIZE);
	put_page(old);
	return new;
}

/**
 * pym_frame_wait_slow() - wait until all bytes of a locked frame are there
 * @page: the frame, with a reference
 *
 * Context: Sleeps.
 */
void pym_frame_wait_slow(struct page *page)
{
	wait_on_page_locked(page);
}

/**
 * pym_frame_done() - let others use a frame that pym_page_own() has returned
 * @page: the frame; is unlocked, and its reference is dropped
 *
 * Context: Sleeps.
 */
void pym_frame_done(struct page *page)
{
	unlock_page(page);
	put_page(page);
}

/**
 * pym_page_own() - make the page behind an offset the heap's alone
 * @heap: the heap
 * @offset: the offset
 * @mappings: its mappings, held
 * @fresh: out: if this call has made the page the heap's alone: the page, locked and
 *	with a reference.  Then nobody maps it, and a task that finds it waits until
 *	the caller unlocks it, for example by pym_frame_done().  NULL if the page was
 *	the heap's alone already, or if another task was faster: then the caller
 *	must look it up again
 *
 * Context: Sleeps.  Not under the gate.  The heap is not being cloned.
 * Return: 0, -EFAULT (there is no page), -EHWPOISON (the page may be shared, and has a
 *	memory error) or -ENOMEM.
 */
int pym_page_own(struct pym_heap *heap, u64 offset, const struct pym_mappings *mappings,
		 struct page **fresh)
{
	struct page *page = pym_page_get(heap, offset), *copy;

	*fresh = NULL;
	if (!page)
		return -EFAULT;
	if (!pym_frame_maybe_shared(page)) {
		put_page(page);
		return 0;
	}
	if (PageHWPoison(page)) {
		put_page(page);
		return -EHWPOISON;
	}
	if (settle_page(heap, offset, mappings, page)) {
		*fresh = page;
		return 0;
	}
	copy = replace_page(heap, offset, mappings, page);
	put_page(page);
	if (IS_ERR(copy))
		return PTR_ERR(copy);
	*fresh = copy;
	return 0;
}

static void settle_arena_locked(struct pym_heap *heap, struct pym_arena *arena, u64 offset,
				void *unused)
{
	unsigned int i;

	for (i = 0; i < PYMALLOC_ARENA_POOLS; i++) {
		struct page *page = pym_page_at_locked(arena, i);

		if (page && pym_frame_maybe_shared(page) &&
		    refs_are_explained(page, PYM_REFS_AT_REST))
			frame_own_locked(heap, page);
	}
}

/**
 * pym_pages_settle() - settle all pages that are the heap's alone
 * @heap: the heap
 *
 * Context: Sleeps.  Nobody maps its pages, nor can while this goes on.
 * Return: true if no page of the heap may be shared any more.
 */
bool pym_pages_settle(struct pym_heap *heap)
{
	static const struct pym_visit visit = { .arena_locked = settle_arena_locked };

	pym_arenas_visit(heap, &visit);
	return !READ_ONCE(heap->maybe_shared);
}

static void note_held_locked(struct pym_heap *heap, struct pym_arena *arena, u64 offset,
			     void *held)
{
	unsigned int i;

	for (i = 0; i < PYMALLOC_ARENA_POOLS; i++) {
		struct page *page = pym_page_at_locked(arena, i);

		if (page && pym_frame_heaps(page) == 1 && page_count(page) != PYM_REFS_AT_REST &&
		    !PageHWPoison(page))
			*(bool *)held = true;
	}
}

/**
 * pym_pages_are_held() - has somebody a reference with which he may write to a page?
 * @heap: the heap
 *
 * A page that several heaps have is left out: it had no other reference when fork() came, and
 * nobody has mapped it for writing since.  One that has another reference never gets a second
 * heap: see share_page() in clone.c.  A page with a memory error keeps a reference for good; no
 * fault maps it.
 *
 * Context: Sleeps.  Nobody maps its pages, nor can while this goes on.
 * Return: true if somebody has a reference that is neither the heap's nor a mapping's; he may
 *	only be reading.
 */
bool pym_pages_are_held(struct pym_heap *heap)
{
	bool held = false;
	const struct pym_visit visit = { .arena_locked = note_held_locked, .data = &held };

	pym_arenas_visit(heap, &visit);
	return held;
}
