// SPDX-License-Identifier: GPL-2.0
/*
 * Sharing: frames that a heap and the clones that fork() makes of it have
 * together until one of them writes.
 *
 * A page is written to in place only by a heap that has it alone and knows of
 * every reference to it.  It is the rule that the memory management has for
 * anonymous pages (do_wp_page(), PG_anon_exclusive), with the means of a driver:
 *
 *  - A frame that one heap alone has had since it was allocated, copied or
 *    settled is not joint.  It may be mapped for writing, and pinned; the kernel
 *    may write to it.
 *  - fork() takes the pages out of the parent's page tables first, and looks at
 *    their references then.  One reference is the pool's.  A pin is somebody who
 *    writes at this moment: the clone gets a copy of the page at once, and the
 *    page stays the parent's alone.  Any other reference may be that of somebody
 *    who reads, and whom the child may know (a pipe): the clone gets a copy, too,
 *    but the page becomes joint, though it has one owner.  All other frames become
 *    joint and are shared, and so are those with a memory error, which nobody may
 *    read, whoever holds them.  GUP-fast is not missed: it takes a reference before it
 *    looks at the page table again.
 *  - A joint frame is mapped for reading only.  Who takes a reference through
 *    such a mapping reads, and must never see what another heap writes later.  So
 *    the heap that wants to write gets a copy, also as the last one that has the
 *    frame, unless that is settled: with the page's lock held, so that no
 *    fault maps it again, and the page out of all page tables, there are two
 *    references left, the pool's and the caller's own.  Then it is no longer
 *    joint.
 *
 * No counter of mappings is compared with a counter of references: both change
 * while one looks at them.
 *
 * A copy takes the place of the original locked, and stays locked until nobody
 * maps the original any more and all is copied.  Whoever finds it meanwhile, in
 * a fault or in a call, waits for the lock.  So all threads go from one to the
 * other at one moment, and nobody writes to the copy before it is whole.
 */
#include <linux/bitops.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched.h>

#include "core.h"
#include "frame.h"

/* References to a page that nobody maps, holds or looks at: the pool's. */
#define REFS_AT_REST	1

/* Whose quota a pool's page counts against. */
static struct pym_quota *payer(struct pym_heap *heap, bool apart)
{
	return apart ? heap->user : heap->purse;
}

/* A pool has a new page, which nobody shares, in the place of another or of none. */
static void pay_locked(struct pym_heap *heap, struct pym_arena *arena, unsigned int index)
{
	bool apart = heap->pays_apart;

	pym_quota_force(payer(heap, apart), PAGE_SIZE);
	if (apart)
		arena->apart |= BIT_ULL(index);
	else
		arena->apart &= ~BIT_ULL(index);
	heap->pages_apart += apart;
}

/* The clone's page: the same one, or a copy of one that somebody holds. */
static struct page *share_page(struct page *page, bool apart)
{
	struct page *copy;

	if (pym_frame_owners(page) > 1 || page_count(page) == REFS_AT_REST ||
	    PageHWPoison(page)) {
		pym_frame_join(page, apart);
		return page;
	}
	copy = alloc_page(PYM_GFP);
	if (!copy)
		return NULL;
	copy_highpage(copy, page);
	if (!folio_maybe_dma_pinned(page_folio(page)))
		WRITE_ONCE(page->private, PYM_FRAME_JOINT);
	return copy;
}

/* Account for what the clone of an arena has got: those of @bits, @copied among them. */
static void count_shared(struct pym_heap *child, struct pym_arena *copy, u64 bits,
			 u64 copied)
{
	u64 rest;

	spin_lock(&child->lock);
	copy->apart &= bits & ~copied;
	child->pages_apart += hweight64(copy->apart);
	child->joint += hweight64(bits & ~copied);
	pym_quota_force(child->user, pym_page_bytes(hweight64(copy->apart)));
	for (rest = copied; rest; rest &= rest - 1)
		pay_locked(child, copy, __ffs64(rest));
	spin_unlock(&child->lock);
	pym_quota_force(&child->quota, pym_page_bytes(hweight64(bits)));
	pym_pages_count_in(child, hweight64(bits));
}

/**
 * pym_pages_share() - give a cloned arena the pages of its original
 * @heap: the original's heap
 * @arena: the original
 * @child: the clone's heap
 * @copy: the clone; its pools have no pages yet
 * @bits: the pools that get one
 *
 * Context: Sleeps.  Holds @heap->gate for writing.  Nobody maps the pages of
 *	@heap, nor can before this and what follows from it is done.
 * Return: how many have got one: all, unless there is no memory.
 */
unsigned int pym_pages_share(struct pym_heap *heap, struct pym_arena *arena,
			     struct pym_heap *child, struct pym_arena *copy, u64 bits)
{
	u64 rest, copied = 0;
	unsigned int joint = 0;

	for (rest = bits; rest; rest &= rest - 1) {
		unsigned int index = __ffs64(rest);
		struct page *page = arena->pools[index].page, *shared;
		bool was_joint = pym_frame_is_joint(page);

		shared = share_page(page, arena->apart & BIT_ULL(index));
		if (!shared)
			break;
		copy->pools[index].page = shared;
		if (shared != page)
			copied |= BIT_ULL(index);
		joint += pym_frame_is_joint(page) && !was_joint;
	}
	spin_lock(&heap->lock);
	heap->joint += joint;
	spin_unlock(&heap->lock);
	count_shared(child, copy, bits & ~rest, copied);
	return hweight64(bits & ~rest);
}

/* The arena of a page that is still joint, and still there. */
static struct pym_arena *joint_arena_locked(struct pym_heap *heap, u64 offset,
					    const struct page *page)
{
	struct pym_arena *arena = pym_arena_find(heap, offset);
	unsigned int index = (offset >> PYM_POOL_SHIFT) % PYMALLOC_ARENA_POOLS;

	if (arena && pym_page_at_locked(arena, index) == page && pym_frame_is_joint(page))
		return arena;
	return NULL;
}

/* Has nobody any reference to a page that has been unmapped, but for @known? */
static bool refs_are_explained(struct page *page, int known)
{
	return pym_frame_owners(page) == 1 && page_count(page) == known;
}

/* A joint page is the heap's alone from now on. */
static void own_locked(struct pym_heap *heap, struct page *page)
{
	WRITE_ONCE(page->private, 0);
	heap->joint--;
	heap->nr_own++;
}

/* A page that refs_are_explained() of is the heap's alone, if it is still there. */
static bool end_joint(struct pym_heap *heap, u64 offset, struct page *page)
{
	bool found;

	spin_lock(&heap->lock);
	found = joint_arena_locked(heap, offset, page);
	if (found)
		own_locked(heap, page);
	spin_unlock(&heap->lock);
	return found;
}

/*
 * Settle that a joint page is the heap's alone, if it is.  Then it is locked, and
 * nobody maps it.  The caller has a reference.
 */
static bool settle_page(struct pym_heap *heap, u64 offset, const struct pym_view *view,
			struct page *page)
{
	bool alone = false;

	if (pym_frame_owners(page) > 1)
		return false;
	lock_page(page);
	if (pym_pages_same(heap, offset, &page, 1)) {
		heap->ops->zap(heap, view, round_down(offset, PAGE_SIZE), PAGE_SIZE);
		alone = refs_are_explained(page, REFS_AT_REST + 1) &&
			end_joint(heap, offset, page);
	}
	if (!alone)
		unlock_page(page);
	return alone;
}

/**
 * struct exchange - a page that has been put in the place of another
 * @payer: who paid for the other one
 * @apart: apart from its family
 */
struct exchange {
	struct pym_quota *payer;
	bool apart;
};

/* Put @new in the place of @old, if that is still there and still joint. */
static bool swap_page(struct pym_heap *heap, u64 offset, struct page *old,
		      struct page *new, struct exchange *exchange)
{
	unsigned int index = (offset >> PYM_POOL_SHIFT) % PYMALLOC_ARENA_POOLS;
	struct pym_arena *arena;

	spin_lock(&heap->lock);
	arena = joint_arena_locked(heap, offset, old);
	if (arena) {
		exchange->apart = arena->apart & BIT_ULL(index);
		exchange->payer = payer(heap, exchange->apart);
		heap->pages_apart -= exchange->apart;
		heap->joint--;
		heap->nr_own++;
		arena->pools[index].page = new;
		pay_locked(heap, arena, index);
	}
	spin_unlock(&heap->lock);
	return arena;
}

/*
 * Replace a joint page by a copy, unless somebody else has done so.  Returns the
 * copy locked, with a reference of the caller's own; NULL if there is none to be
 * made any more; or -ENOMEM.
 */
static struct page *replace_page(struct pym_heap *heap, u64 offset,
				 const struct pym_view *view, struct page *old)
{
	struct page *new = alloc_page(PYM_GFP);
	struct exchange exchange;

	if (!new)
		return ERR_PTR(-ENOMEM);
	lock_page(new);
	get_page(new);
	if (!swap_page(heap, offset, old, new, &exchange)) {
		unlock_page(new);
		put_page(new);
		put_page(new);
		return NULL;
	}
	/* Those who map the old one have found it before it was replaced. */
	wait_on_page_locked(old);
	heap->ops->zap(heap, view, round_down(offset, PAGE_SIZE), PAGE_SIZE);
	copy_highpage(new, old);
	/* Not before: whoever is left with it may write to it. */
	if (pym_frame_leave(old, exchange.apart))
		pym_quota_uncharge(exchange.payer, PAGE_SIZE);
	put_page(old);
	return new;
}

/**
 * pym_page_own() - make the page behind an offset the heap's alone
 * @heap: the heap
 * @offset: the offset
 * @view: its mappings, held
 * @fresh: out: the page, locked and with a reference, if it has become so only
 *	now; then nobody maps it.  NULL if there was nothing to be done, or if
 *	somebody else has done it: who maps it must look again
 *
 * Context: Sleeps.  Not under the gate.  The heap is not being cloned.
 * Return: 0, -EFAULT (there is no page), -EHWPOISON (others have it as well, and
 *	it has a memory error) or -ENOMEM.
 */
int pym_page_own(struct pym_heap *heap, u64 offset, const struct pym_view *view,
		 struct page **fresh)
{
	struct page *page = pym_page_get(heap, offset), *copy;

	*fresh = NULL;
	if (!page)
		return -EFAULT;
	if (!pym_frame_is_joint(page)) {
		put_page(page);
		return 0;
	}
	if (PageHWPoison(page)) {
		put_page(page);
		return -EHWPOISON;
	}
	if (settle_page(heap, offset, view, page)) {
		*fresh = page;
		return 0;
	}
	copy = replace_page(heap, offset, view, page);
	put_page(page);
	if (IS_ERR(copy))
		return PTR_ERR(copy);
	*fresh = copy;
	return 0;
}

typedef void (*arena_visit)(struct pym_heap *heap, struct pym_arena *arena, void *data);

/*
 * Call @visit for the first arena from @offset on, under the heap's lock.  It is
 * looked for without that: in a heap that has become empty there is a lot to search.
 * Returns false if there is none.
 */
static bool visit_next(struct pym_heap *heap, u64 *offset, arena_visit visit, void *data)
{
	struct pym_arena *arena;

	rcu_read_lock();
	arena = pym_arena_next(heap, offset, pym_made_bytes(heap));
	if (arena) {
		spin_lock(&heap->lock);
		/* It may have gone meanwhile, and another one come. */
		arena = pym_arena_find(heap, *offset);
		if (arena)
			visit(heap, arena, data);
		spin_unlock(&heap->lock);
		*offset += PYMALLOC_ARENA_SIZE;
	}
	rcu_read_unlock();
	return *offset < pym_made_bytes(heap);
}

/* Call @visit for each arena. */
static void visit_arenas(struct pym_heap *heap, arena_visit visit, void *data)
{
	u64 offset = 0;

	while (visit_next(heap, &offset, visit, data))
		cond_resched();
}

static void settle_arena_locked(struct pym_heap *heap, struct pym_arena *arena, void *unused)
{
	unsigned int i;

	for (i = 0; i < PYMALLOC_ARENA_POOLS; i++) {
		struct page *page = pym_page_at_locked(arena, i);

		if (page && pym_frame_is_joint(page) &&
		    refs_are_explained(page, REFS_AT_REST))
			own_locked(heap, page);
	}
}

/**
 * pym_pages_settle() - settle all pages that are the heap's alone
 * @heap: the heap
 *
 * Context: Sleeps.  Nobody maps its pages, nor can while this goes on.
 * Return: true if the heap has no joint page any more.
 */
bool pym_pages_settle(struct pym_heap *heap)
{
	visit_arenas(heap, settle_arena_locked, NULL);
	return !READ_ONCE(heap->joint);
}

/* What pages have been found to be shared. */
struct shares {
	u64 pages;
	u64 shared;
	u64 parts;	/* of pages, in 1/PAGE_SIZE of a byte */
};

static void count_arena_locked(struct pym_heap *heap, struct pym_arena *arena, void *data)
{
	struct shares *shares = data;
	unsigned int i;

	for (i = 0; i < PYMALLOC_ARENA_POOLS; i++) {
		unsigned long owners;

		if (!arena->pools[i].page)
			continue;
		owners = pym_frame_owners(arena->pools[i].page);
		shares->pages++;
		shares->shared += owners > 1;
		shares->parts += owners > 1 ? PAGE_SIZE * PAGE_SIZE / owners :
					      PAGE_SIZE * PAGE_SIZE;
	}
}

/**
 * pym_pages_shared() - how much of its pages a heap shares
 * @heap: the heap
 * @shared_bytes: out: bytes of pages that other heaps have as well
 * @pss_bytes: out: bytes of all its pages, each divided by the number of its heaps
 *
 * Context: Sleeps.
 * Return: 0, or why pym_pause() has ended it, and then nothing is known.
 */
int pym_pages_shared(struct pym_heap *heap, u64 *shared_bytes, u64 *pss_bytes)
{
	struct shares shares = {};
	u64 offset = 0;
	int err = 0;

	if (!READ_ONCE(heap->joint)) {
		*shared_bytes = 0;
		*pss_bytes = READ_ONCE(heap->pages) << PYM_POOL_SHIFT;
		return 0;
	}
	while (!err && visit_next(heap, &offset, count_arena_locked, &shares))
		err = pym_pause(heap);
	*shared_bytes = shares.shared << PYM_POOL_SHIFT;
	*pss_bytes = shares.parts >> PYM_POOL_SHIFT;
	return err;
}

/* From now on the heap pays apart for the pages of an arena. */
static void part_arena_locked(struct pym_heap *heap, struct pym_arena *arena, void *unused)
{
	unsigned int i, ended = 0, parted = 0;

	for (i = 0; i < PYMALLOC_ARENA_POOLS; i++) {
		struct page *page = arena->pools[i].page;

		if (!page || arena->apart & BIT_ULL(i))
			continue;
		ended += pym_frame_part(page);
		parted++;
		arena->apart |= BIT_ULL(i);
	}
	heap->pages_apart += parted;
	pym_quota_uncharge(heap->purse, pym_page_bytes(ended));
	pym_quota_force(heap->user, pym_page_bytes(parted));
}

/* What the heap pays for apart goes to another user.  Returns if that is all. */
static bool change_user(struct pym_heap *heap, struct pym_quota *user)
{
	unsigned long apart;
	bool all;

	spin_lock(&heap->lock);
	apart = pym_page_bytes(heap->pages_apart);
	pym_quota_move_meta(heap->user, user, atomic_long_read(&heap->quota.meta));
	pym_quota_uncharge(heap->user, apart);
	pym_quota_force(user, apart);
	heap->user = user;
	all = !heap->joint;
	if (all) {
		unsigned long together = pym_page_bytes(heap->pages) - apart;

		pym_quota_uncharge(heap->purse, together);
		pym_quota_force(user, together);
		heap->purse = user;
	}
	heap->pays_apart = !all;
	spin_unlock(&heap->lock);
	return all;
}

/**
 * pym_heap_move() - have a heap's pages and metadata count against another user
 * @heap: the heap
 * @user: the user's quota; may be exceeded
 *
 * If it has pages together with others, it leaves their purse, and pays from now
 * on for each of its pages apart, whoever else has it: so neither of the two users
 * can spend what is the other's.
 *
 * Context: Sleeps.  Takes @heap->gate for writing.
 */
void pym_heap_move(struct pym_heap *heap, struct pym_quota *user)
{
	down_write(&heap->gate);
	if (!change_user(heap, user))
		visit_arenas(heap, part_arena_locked, NULL);
	up_write(&heap->gate);
}
