// SPDX-License-Identifier: GPL-2.0
/*
 * Clones: fork() gives the child a heap of its own, a copy of the parent's with the
 * same pages.
 */
#include <linux/bitops.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "arena.h"
#include "bits.h"
#include "clone.h"
#include "face.h"
#include "frame.h"
#include "pool.h"
#include "quota.h"
#include "record.h"
#include "region.h"
#include "type.h"
#include "typetable.h"

/*
 * Give the clone a page of the parent, or a copy of it.
 *
 * 1. Several heaps have the page already, or the pool's is the only reference: nobody
 *    writes to it.  The clone gets the same page.  This is also done if the page has
 *    a memory error, because it cannot be read to copy it, and if the heap is sealed: who
 *    has a reference only reads.
 * 2. The page is pinned: a device or the kernel may be writing to it.  The clone gets
 *    a copy, and the page stays the parent's alone.
 * 3. There is any other reference: something may still read the page, and the child
 *    may see what it reads (a pipe, for example).  The clone gets a copy, and the page
 *    is marked as one that may be shared, although one heap has it: so the parent
 *    does not write to it in place either.
 *
 * Returns the page or the copy; NULL without memory.
 */
static struct page *share_page(const struct pym_heap *heap, struct page *page, bool apart)
{
	struct page *copy;

	if (pym_frame_heaps(page) > 1 || page_count(page) == PYM_REFS_AT_REST ||
	    PageHWPoison(page) || heap->sealed) {
		pym_frame_share(page, apart);
		return page;
	}
	copy = alloc_page(PYM_GFP);
	if (!copy)
		return NULL;
	copy_highpage(copy, page);
	if (!folio_maybe_dma_pinned(page_folio(page)))
		WRITE_ONCE(page->private, PYM_FRAME_MAYBE_SHARED);
	return copy;
}

/*
 * Count and charge the pages of a cloned arena.  @bits are all pools that have got one;
 * those of @copied, which are part of @bits, have got a copy.
 */
static void count_shared(struct pym_heap *child, struct pym_arena *copy, u64 bits,
			 u64 copied)
{
	unsigned int index;

	spin_lock(&child->lock);
	copy->apart &= bits & ~copied;
	child->pages_apart += hweight64(copy->apart);
	child->maybe_shared += hweight64(bits & ~copied);
	pym_quota_force(child->user, pym_page_bytes(hweight64(copy->apart)));
	pym_for_each_bit(index, copied)
		pym_frame_pay_locked(child, copy, index);
	spin_unlock(&child->lock);
	pym_quota_force(&child->quota, pym_page_bytes(hweight64(bits)));
	pym_pages_count_in(child, hweight64(bits));
}

/* Which pools of an arena have a frame of their own. */
static u64 pools_with_frame(struct pym_arena *arena)
{
	struct pym_span span = { arena, ~0ULL };
	struct pym_pool *pool;
	u64 frames = ~0ULL;

	pym_for_each_pool(pool, span)
		if (pym_pool_is_face(pool))
			frames &= ~BIT_ULL(pym_pool_index(pool));
	return frames;
}

/*
 * Give pools of a cloned arena, those of @bits, the pages of the original or copies.
 * Returns how many pools have got one: all of them, unless there is no memory.
 */
static unsigned int share_pages(struct pym_heap *heap, struct pym_arena *arena,
				struct pym_heap *child, struct pym_arena *copy, u64 bits)
{
	u64 copied = 0;
	unsigned int nr_shared = 0, index;

	pym_for_each_bit(index, bits) {
		struct page *page = pym_pool_in(arena, index)->page, *given;
		bool was_shared = pym_frame_maybe_shared(page);

		given = share_page(heap, page, arena->apart & BIT_ULL(index));
		if (!given) {
			/* Only the pools before this one have got a page. */
			bits &= BIT_ULL(index) - 1;
			break;
		}
		pym_pool_in(copy, index)->page = given;
		if (given != page)
			copied |= BIT_ULL(index);
		nr_shared += pym_frame_maybe_shared(page) && !was_shared;
	}
	spin_lock(&heap->lock);
	heap->maybe_shared += nr_shared;
	spin_unlock(&heap->lock);
	count_shared(child, copy, bits, copied);
	return hweight64(bits);
}

/* Which of an arena's pools, those of @bits, have a bitmap of this length. */
static u64 pools_of_order(struct pym_arena *arena, u64 bits, unsigned int order)
{
	struct pym_span span = { arena, bits };
	struct pym_pool *pool;
	u64 found = 0;

	pym_for_each_pool(pool, span)
		if (pool->order == order)
			found |= BIT_ULL(pym_pool_index(pool));
	return found;
}

/* Copy records of an arena, those of @bits.  The copies are in no list, and have no page. */
static int records_copy(const struct pym_arena *arena, struct pym_heap *child,
			struct pym_arena *copy, u64 bits, unsigned int order)
{
	struct pym_pool *pools[PYMALLOC_ARENA_POOLS] __uninitialized;
	unsigned int nr = 0, index;
	int err;

	if (!bits)
		return 0;
	err = pym_records_new(child, order, pools, hweight64(bits));
	if (err)
		return err;
	pym_for_each_bit(index, bits) {
		struct pym_pool *pool = pools[nr++];

		pym_record_copy(pool, pym_pool_in(arena, index));
		pool->page = NULL;
		pym_pool_publish(copy, pool);
	}
	return 0;
}

/* Free the records of a clone that have not got a page. */
static void records_drop_bare(struct pym_heap *child, struct pym_arena *copy)
{
	struct pym_span span = { copy, ~0ULL };
	struct pym_pool *pool;

	pym_for_each_pool(pool, span) {
		if (pool->page)
			continue;
		RCU_INIT_POINTER(copy->pools[pym_pool_index(pool)], NULL);
		pym_record_retire(child, pool);
	}
}

/* Give pools of a cloned arena, those of @used, their records and pages. */
static int copy_pools(struct pym_heap *heap, struct pym_arena *arena, struct pym_heap *child,
		      struct pym_arena *copy, u64 used)
{
	unsigned int order;
	int err = 0;
	u64 frames;

	for (order = 0; order < PYM_RECORD_ORDERS && !err; order++)
		err = records_copy(arena, child, copy, pools_of_order(arena, used, order),
				   order);
	if (err)
		goto drop;
	copy->apart = arena->apart;
	frames = used & pools_with_frame(arena);
	if (share_pages(heap, arena, child, copy, frames) == hweight64(frames))
		return 0;
	err = -ENOMEM;
drop:
	records_drop_bare(child, copy);
	return err;
}

/* Put the pools of blocks into the lists of their classes. */
static void link_pools(struct pym_heap *child, struct pym_span span)
{
	struct pym_pool *pool;

	pym_for_each_pool(pool, span)
		if (pym_class_is_of_blocks(pool->class))
			pym_class_link(pym_class_of(child, pool->class), pool);
}

/* Make the regions of a clone up to @number.  No process has its pool map mapped yet. */
static int clone_regions(struct pym_heap *child, unsigned long number)
{
	while (child->made_regions <= number) {
		struct pym_region *region = pym_region_new(child, child->made_regions);

		if (IS_ERR(region))
			return PTR_ERR(region);
		pym_region_open(child, region);
	}
	return 0;
}

/*
 * Clone the pools of an arena that are in use; empty pools stay with the original.  A type's
 * arena has its place in the clone even if none is.
 */
static int clone_arena(struct pym_heap *heap, struct pym_arena *arena, struct pym_heap *child)
{
	u64 used = ~(arena->free | arena->busy);
	struct pym_arena *copy;
	int err;

	if (!used && !arena->type)
		return 0;
	err = clone_regions(child, arena->number / PYM_REGION_ARENAS);
	if (err)
		return err;
	copy = pym_arena_new(child, arena->runs);
	if (IS_ERR(copy))
		return PTR_ERR(copy);

	spin_lock(&child->lock);
	pym_arena_insert_locked(child, copy, arena->number);
	copy->type = arena->type;
	if (copy->type)
		pym_type_find(child, copy->type)->nr_arenas++;
	pym_pools_release_locked(child, (struct pym_span) { copy, ~used });
	spin_unlock(&child->lock);

	err = copy_pools(heap, arena, child, copy, used);
	if (err)
		return err;
	copy->busy = 0;
	memcpy(copy->map, arena->map, PYMALLOC_ARENA_POOLS);
	link_pools(child, (struct pym_span) { copy, used });
	return 0;
}

/* Give faces their frame.  Their rings have been copied with them. */
static void clone_faces(struct pym_heap *child)
{
	struct pym_span span = { .bits = ~0ULL };
	struct pym_pool *pool;
	u64 offset;

	pym_for_each_arena(span.arena, offset, child) {
		rcu_read_lock();
		pym_for_each_pool(pool, span)
			if (pym_pool_is_face(pool))
				pool->page = pym_face_primary(child, pool)->page;
		rcu_read_unlock();
	}
}

/* Clone all arenas of a heap at rest. */
static int clone_arenas(struct pym_heap *heap, struct pym_heap *child)
{
	struct pym_arena *arena;
	u64 offset;
	int err;

	pym_for_each_arena(arena, offset, heap) {
		err = clone_arena(heap, arena, child);
		if (err)
			return err;
	}
	clone_faces(child);
	return 0;
}

static int clone_contents(struct pym_heap *heap, struct pym_heap *child)
{
	u32 number;
	int err;

	for (number = 1; number <= PYMALLOC_NR_CLASSES; number++)
		pym_class_clone(&heap->classes[number], &child->classes[number]);
	err = pym_types_clone(heap, child);
	if (err)
		return err;
	child->top = heap->top;
	child->runs = heap->runs;
	child->run_pages = heap->run_pages;
	child->nr_run_allocs = heap->nr_run_allocs;
	child->nr_run_frees = heap->nr_run_frees;
	return clone_arenas(heap, child);
}

/**
 * pym_heap_clone() - make a heap a copy of another, with the same pages
 * @heap: the heap; from now on its pages may be shared
 * @child: a new heap, initialised like @heap but without a user, that no other task
 *	can find yet
 *
 * Before anything writes to a page of one of the two, it must call pym_page_own().
 *
 * Context: Sleeps.  Nobody maps pages of @heap, nor can before this has returned.
 * Return: 0 or -ENOMEM; then @child must be destroyed.
 */
int pym_heap_clone(struct pym_heap *heap, struct pym_heap *child)
{
	int err;

	down_write(&heap->gate);
	child->purse = heap->purse;
	child->user = heap->user;
	child->pays_apart = heap->pays_apart;
	child->extent = heap->extent;
	pym_quota_move_meta(NULL, child->user, atomic_long_read(&child->quota.meta));
	child->cloning = true;
	err = clone_contents(heap, child);
	child->cloning = false;
	up_write(&heap->gate);
	return err;
}
