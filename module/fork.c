// SPDX-License-Identifier: GPL-2.0
/*
 * fork(): a child gets a heap of its own.  It shares each page with its parent until one
 * of the two writes to the page.
 *
 * fork() copies an address space mapping by mapping, and calls .open of each copy.
 * With the first one of a heap:
 *
 * 1. all windows of the parent are unmapped, and their writes protected;
 * 2. the heap is cloned: pools and counts are copied, pages become shared;
 * 3. the copy of the mapping, and each later copy, becomes one of the child's heap.
 *
 * From then on the first write to a page is a fault, in which the heap gets the page
 * for itself, or a copy of it (pym_page_own()).  See settle.c for how that ends.
 */
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>

#include "client.h"
#include "compat.h"
#include "family.h"
#include "fork.h"
#include "owner.h"
#include "service_heap.h"
#include "settle.h"
#include "window.h"

/* Does fork() leave a window to the child? */
static bool fork_copies_window(struct pym_client *client)
{
	struct vm_area_struct *vma;

	pym_for_each_window(vma, client)
		if (!(vma->vm_flags & VM_DONTCOPY))
			return true;
	return false;
}

/* Note that the child @mm gets no heap: none of its further mappings may get one. */
static void fork_set_heapless(struct pym_client *client, struct mm_struct *mm)
{
	if (client->heapless)
		mmdrop(client->heapless);
	mmgrab(mm);
	client->heapless = mm;
}

/*
 * The heap of a child that fork() is making, with both address spaces locked.
 *
 * fork() copies page tables before or after it calls .open, depending on the kernel.
 * So that this makes no difference, the parent's are emptied here, and the child's in
 * pym_fork_inherit().  The references of the pages are then exact (core/clone.c
 * relies on that), and no entry is left that mprotect() could make writable.
 */
static struct pym_service_heap *fork_child_heap(struct pym_service_heap *sheap,
						struct mm_struct *mm)
{
	struct pym_service_heap *child = pym_family_enter(sheap->family, mm);

	/* It got its heap with an earlier mapping. */
	if (child)
		return child;
	/* It got none then, or needs none: it inherits at most the pool map. */
	if (sheap->client.heapless == mm || !fork_copies_window(&sheap->client))
		return NULL;
	pym_settle_protect(&sheap->client);
	pym_window_stop_caches(&sheap->client);
	pym_settle_later(sheap);
	child = pym_service_clone(sheap, mm);
	if (!IS_ERR(child))
		return child;
	/* Memory may be free again at its next mapping: too late for this one. */
	fork_set_heapless(&sheap->client, mm);
	return NULL;
}

/**
 * pym_fork_inherit() - fork() has copied a mapping of a heap: make it the child's
 * @vma: the copy
 *
 * The child's other mappings cannot be looked for: its address space is not finished,
 * and may still show its parent's mappings.
 *
 * Context: Sleeps.  Both address spaces are locked for writing.
 */
void pym_fork_inherit(struct vm_area_struct *vma)
{
	struct pym_client *client = vma->vm_private_data;
	struct pym_service_heap *child = fork_child_heap(pym_client_heap(client), vma->vm_mm);

	vma->vm_private_data = child ? &child->client : NULL;
	if (pym_is_window(vma))
		pym_window_protect(vma, true, pym_client_shows_twice(client));
	else
		/* Whatever madvise() has said.  Page tables copied already go below. */
		vm_flags_set(vma, VM_WIPEONFORK);
	pym_zap_range(vma, vma->vm_start, vma->vm_end - vma->vm_start);
	if (!child)
		return;
	/* The child has some of its parent's windows, at the same addresses. */
	child->client.scattered = client->scattered;
	child->client.meshed = client->meshed;
	pym_window_count(&child->client, vma);
}
