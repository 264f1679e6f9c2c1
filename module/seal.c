// SPDX-License-Identifier: GPL-2.0
/*
 * Sealed heaps: built once, and then for reading only.
 *
 * The protection of writes is that of fork(): all pages are mapped for reading, and the first
 * write to one is a fault.  In a sealed heap this fault is refused, whatever mprotect() has
 * said, and so is every call that would allocate or free.  As nobody writes, no page is ever
 * copied for a child of fork().
 */
#include <linux/mm.h>

#include "client.h"
#include "seal.h"
#include "settle.h"

/* No fault can map a page: all mappings are locked. */
static int seal_locked(struct pym_service_heap *sheap)
{
	int err = 0;

	pym_settle_protect(&sheap->client);
	down_write(&sheap->heap.gate);
	if (pym_pages_are_held(&sheap->heap))
		err = -EBUSY;
	else
		WRITE_ONCE(sheap->heap.sealed, true);
	up_write(&sheap->heap.gate);
	return err;
}

/**
 * pym_seal() - seal a heap for good
 * @sheap: the caller's heap
 *
 * A call that has begun to allocate or to free may still come to its end; no other begins.  If
 * it fails, writes stay protected as after a fork(), until the heap next allocates.
 *
 * Context: Sleeps.  Takes the mmap_lock and the heap's gate for writing.
 * Return: 0, also if it is sealed; -EBUSY if somebody else has a reference to a page, with which
 *	he could write to it; or -EINTR (the caller is being killed).
 */
int pym_seal(struct pym_service_heap *sheap)
{
	struct mm_struct *mm = sheap->client.mm;
	int err;

	if (mmap_write_lock_killable(mm))
		return -EINTR;
	err = sheap->heap.sealed ? 0 : seal_locked(sheap);
	mmap_write_unlock(mm);
	return err;
}
