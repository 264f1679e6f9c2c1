// SPDX-License-Identifier: GPL-2.0
/*
 * Settling: the end of what fork() has begun.
 *
 * Since a fork(), all writes to a window are protected until no page may be shared any more.
 * Pages settle one by one, at the first write to each.  If all relatives have gone, all
 * pages can settle at once: when the heap allocates, and before it is meshed.
 */
#include <linux/mm.h>
#include <linux/sched/mm.h>

#include "client.h"
#include "compat.h"
#include "family.h"
#include "service_heap.h"
#include "settle.h"
#include "window.h"

/**
 * pym_settle_protect() - take all pages out of a client's windows, and protect writes
 * @client: the client
 *
 * No page can come back as long as the locks are held: see pym_window_protect().
 *
 * Context: Sleeps.  Holds the mmap_lock for writing.
 */
void pym_settle_protect(struct pym_client *client)
{
	struct vm_area_struct *vma;

	pym_for_each_window(vma, client) {
		pym_window_protect(vma, true, pym_client_shows_twice(client));
		pym_zap_range(vma, vma->vm_start, vma->vm_end - vma->vm_start);
	}
	client->protected = true;
}

/* No page may be shared: writes need no protection any more. */
static void settle_unprotect(struct pym_client *client)
{
	struct vm_area_struct *vma;

	pym_for_each_window(vma, client)
		pym_window_protect(vma, false, false);
	client->protected = false;
}

/**
 * pym_settle_later() - put off the next look at all pages
 * @sheap: the heap
 *
 * To look at all pages costs as much as a fork().  So it is put off until the heap has
 * been used for as many allocating calls as it has arenas: the cost of a look then is
 * small beside theirs.
 *
 * Context: Holds the mmap_lock for writing.
 */
void pym_settle_later(struct pym_service_heap *sheap)
{
	atomic64_set(&sheap->client.patience,
		     sheap->heap.nr_arenas + sheap->heap.nr_run_arenas);
}

/* No page may be shared, or it is time to find out which ones still are. */
static bool may_settle(struct pym_service_heap *sheap)
{
	return !READ_ONCE(sheap->heap.maybe_shared) ||
	       (pym_family_is_alone(sheap->family) &&
		atomic64_dec_return(&sheap->client.patience) < 0);
}

/* Find out which pages are still shared, and end the protection of writes if none is. */
static void settle_locked(struct pym_service_heap *sheap)
{
	struct pym_client *client = &sheap->client;

	mmap_assert_write_locked(client->mm);
	if (READ_ONCE(sheap->heap.maybe_shared)) {
		pym_settle_protect(client);
		pym_pages_settle(&sheap->heap);
		pym_settle_later(sheap);
	}
	/* No fork() can share pages meanwhile, nor can the heap be sealed: both need this lock. */
	if (!READ_ONCE(sheap->heap.maybe_shared) && !sheap->heap.sealed)
		settle_unprotect(client);
}

/**
 * pym_settle_slow() - end the protection of writes, if that can be
 * @sheap: the caller's heap, which is about to allocate
 *
 * It can when no page may be shared any more.  If all relatives have gone, all pages are
 * looked at, which may find that.
 *
 * Context: Sleeps.  Takes the mmap_lock for writing.
 */
void pym_settle_slow(struct pym_service_heap *sheap)
{
	struct mm_struct *mm = sheap->client.mm;

	if (!may_settle(sheap) || mmap_write_lock_killable(mm))
		return;
	settle_locked(sheap);
	mmap_write_unlock(mm);
}

/* Settle the pages of a heap whose relatives have all gone, if that needs no long wait. */
static void settle_alone(struct pym_service_heap *sheap)
{
	struct pym_client *client = &sheap->client;

	/* What is sealed stays protected. */
	if (READ_ONCE(sheap->heap.sealed) && !READ_ONCE(sheap->heap.maybe_shared))
		return;
	if (!READ_ONCE(client->protected) || !pym_family_is_alone(sheap->family) ||
	    !mmget_not_zero(client->mm))
		return;
	if (!pym_window_lock_for_writing(client->mm)) {
		settle_locked(sheap);
		mmap_write_unlock(client->mm);
	}
	mmput_async(client->mm);
}

/**
 * pym_settle_mesh_begin() - the heap is about to be meshed: .mesh_begin
 * @heap: the heap
 *
 * Pages that may be shared are not meshed.  Without this, those that were shared once would
 * be left out for as long as nobody writes to them.
 *
 * Context: Sleeps.  Takes the client's mmap_lock for writing, the first time, and when the
 *	heap's relatives have gone.
 * Return: 0; or -EINTR or -EAGAIN, as pym_window_hold().
 */
int pym_settle_mesh_begin(struct pym_heap *heap)
{
	settle_alone(pym_service_of(heap));
	return pym_window_mesh_begin(heap);
}
