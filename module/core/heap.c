// SPDX-License-Identifier: GPL-2.0
/*
 * Heaps: how they begin, change and end.
 */
#include <linux/bitops.h>

#include "arena.h"
#include "face.h"
#include "frame.h"
#include "heap.h"
#include "ops.h"
#include "page.h"
#include "pool.h"
#include "quota.h"
#include "region.h"
#include "tenant.h"
#include "trim.h"
#include "typetable.h"

/**
 * pym_heap_init() - make a heap without objects
 * @heap: zeroed memory, with @id, @extent (0 is all of the window), @limit,
 *	@base_bytes, @threshold, @ops, @tenant, @no_mesh and @user set
 * @alignment: 8 or 16
 * @window: bytes of the window, a multiple of the arena's size
 *
 * Context: Sleeps.
 * Return: 0; or -ENOMEM (memory, or the heap's limit) or -EDQUOT (the user's limit):
 *	then the heap needs no pym_heap_destroy().
 */
int pym_heap_init(struct pym_heap *heap, u32 alignment, u64 window)
{
	u32 number, step = alignment / PYMALLOC_BLOCK_MIN;
	int err;

	heap->alignment = alignment;
	heap->window = window;
	heap->extent = heap->extent ?: window;
	heap->quota.max = &heap->limit;
	heap->purse = heap->user;
	spin_lock_init(&heap->lock);
	/*
	 * Also the locks of classes that this heap does not have: a broken pool may name
	 * one of them, and a checker takes the lock of the class that a pool names.
	 */
	for (number = 0; number <= PYMALLOC_NR_CLASSES; number++)
		spin_lock_init(&heap->classes[number].lock);
	for (number = step; number <= PYMALLOC_NR_CLASSES; number += step)
		pym_class_init(&heap->classes[number], number * PYMALLOC_BLOCK_MIN,
			       !heap->no_mesh);

	init_rwsem(&heap->gate);
	err = pym_meta_charge(heap, heap->base_bytes);
	if (err)
		return err;
	err = pym_arenas_init(heap);
	if (err)
		pym_meta_uncharge(heap, heap->base_bytes);
	else
		pym_tenant_begin(heap);
	return err;
}

/**
 * pym_heap_grow() - let arenas lie in more of the window
 * @heap: the heap
 * @extent: bytes of the window, from its start on, a multiple of the arena's size
 *
 * Context: Sleeps.
 * Return: 0; -EINVAL if that is less than the present extent, or more than the window; or
 *	-EPERM if the heap is sealed.
 */
int pym_heap_grow(struct pym_heap *heap, u64 extent)
{
	int err = -EINVAL;

	down_read(&heap->gate);
	spin_lock(&heap->lock);
	if (heap->sealed) {
		err = -EPERM;
	} else if (extent >= heap->extent && extent <= heap->window) {
		pym_regions_extend_locked(heap, extent);
		err = 0;
	}
	spin_unlock(&heap->lock);
	up_read(&heap->gate);
	return err;
}

/* Make the heap pay apart, from now on, for the pages of an arena. */
static void heap_part_arena_locked(struct pym_heap *heap, struct pym_arena *arena,
				   u64 offset, void *unused)
{
	struct pym_span span = { arena, ~arena->apart };
	unsigned int ended = 0, parted = 0;
	struct pym_pool *pool;

	pym_for_each_pool(pool, span) {
		if (pym_pool_is_face(pool))
			continue;
		ended += pym_frame_pay_apart(pool->page);
		parted++;
		arena->apart |= BIT_ULL(pym_pool_index(pool));
	}
	heap->pages_apart += parted;
	pym_quota_uncharge(heap->purse, pym_page_bytes(ended));
	pym_quota_force(heap->user, pym_page_bytes(parted));
}

/*
 * Charge what the heap pays for apart, and its metadata, to another user.  If no page may
 * be shared, all other pages, too.  Returns whether that was all.
 */
static bool heap_change_user(struct pym_heap *heap, struct pym_quota *user)
{
	unsigned long apart;
	bool all;

	spin_lock(&heap->lock);
	apart = pym_page_bytes(heap->pages_apart);
	pym_quota_move_meta(heap->user, user, atomic_long_read(&heap->quota.meta));
	pym_quota_uncharge(heap->user, apart);
	pym_quota_force(user, apart);
	heap->user = user;
	all = !heap->maybe_shared;
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
 * pym_heap_change_user() - charge a heap's pages and metadata to another user
 * @heap: the heap
 * @user: the user's quota; its limit may be exceeded
 *
 * If it may share pages with other heaps, it stops to pay from their common purse.  From
 * then on it pays apart for each of its pages, even for one that other heaps have as
 * well.  So neither of the two users can use up the quota of the other.
 *
 * Context: Sleeps.  Takes @heap->gate for writing.
 */
void pym_heap_change_user(struct pym_heap *heap, struct pym_quota *user)
{
	static const struct pym_visit visit = { .arena_locked = heap_part_arena_locked };

	down_write(&heap->gate);
	if (!heap_change_user(heap, user))
		pym_arenas_visit(heap, &visit);
	up_write(&heap->gate);
}

static void heap_count_base(struct pym_heap *heap, long bytes)
{
	spin_lock(&heap->lock);
	heap->base_bytes += bytes;
	spin_unlock(&heap->lock);
}

/**
 * pym_heap_add_meta() - charge memory that the maker of a heap is about to allocate for it
 * @heap: the heap
 * @bytes: what it takes, with what the kernel's allocators round up
 *
 * It becomes a part of @base_bytes.
 *
 * At a limit the heap takes memory back, as for objects.  A heap that fork() is making
 * meets no limit.
 *
 * Context: Sleeps.  Takes @heap->gate for reading.  Not with an mmap_lock held, unless
 *	fork() is making the heap.
 * Return: 0; or -ENOMEM (the heap's limit) or -EDQUOT (the user's), and nothing is
 *	charged.
 */
int pym_heap_add_meta(struct pym_heap *heap, unsigned long bytes)
{
	int err;

	down_read(&heap->gate);
	err = pym_meta_charge(heap, bytes);
	if (err && pym_trim_gated(heap, 0))
		err = pym_meta_charge(heap, bytes);
	if (err && pym_reclaim(heap))
		err = pym_meta_charge(heap, bytes);
	if (!err)
		heap_count_base(heap, bytes);
	up_read(&heap->gate);
	return err;
}

/**
 * pym_heap_try_add_meta() - pym_heap_add_meta() that waits for nothing, and takes nothing back
 * @heap: the heap
 * @bytes: as there
 *
 * Context: Any process.  Tries to take @heap->gate for reading.
 * Return: as pym_heap_add_meta(); or -EAGAIN (it would have to wait).
 */
int pym_heap_try_add_meta(struct pym_heap *heap, unsigned long bytes)
{
	int err;

	if (!down_read_trylock(&heap->gate))
		return -EAGAIN;
	err = pym_meta_charge(heap, bytes);
	if (!err)
		heap_count_base(heap, bytes);
	up_read(&heap->gate);
	return err;
}

/**
 * pym_heap_remove_meta() - uncharge what pym_heap_add_meta() has charged
 * @heap: the heap
 * @bytes: as many as were charged
 *
 * Context: Sleeps.  Takes @heap->gate for reading.
 */
void pym_heap_remove_meta(struct pym_heap *heap, unsigned long bytes)
{
	down_read(&heap->gate);
	pym_meta_uncharge(heap, bytes);
	heap_count_base(heap, -bytes);
	up_read(&heap->gate);
}

/**
 * pym_heap_destroy() - free all memory of a heap, but not the struct itself
 * @heap: the heap; nobody uses or maps it any more
 *
 * Context: Sleeps.
 */
void pym_heap_destroy(struct pym_heap *heap)
{
	pym_pages_destroy(heap);
	pym_arenas_destroy(heap);
	pym_typetable_destroy(heap);
	pym_meta_uncharge(heap, heap->base_bytes);
	pym_tenant_end(heap);
}
