// SPDX-License-Identifier: GPL-2.0
/*
 * Mappings of a shared heap: many processes have some, all of one file, which has them in its
 * list.  So pages are taken out of them as those of any file are.
 *
 * Pages are those of the file, in which a page of the window has the place that its offset
 * says.  So get_user_pages_fast() works, and process-shared futexes do, whose key is that place.
 *
 * Nothing here needs an mmap_lock: whoever holds one may use the heap.  Lock order: mmap_lock,
 * lock of the counts, heap->gate, i_mmap_rwsem; and page lock, i_mmap_rwsem.
 */
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>

#include "compat.h"
#include "family.h"
#include "fault.h"
#include "service_heap.h"
#include "sharer.h"
#include "shared_window.h"
#include "window.h"

static struct pym_sharer *sharer_of(const struct vm_area_struct *vma)
{
	return vma->vm_private_data;
}

/* A mapping is split, moved, or copied by fork(). */
static void shared_open(struct vm_area_struct *vma)
{
	struct pym_sharer *sharer = sharer_of(vma);

	if (!sharer)
		return;
	if (vma->vm_mm == sharer->mm) {
		pym_sharer_map(sharer);
		return;
	}
	vma->vm_private_data = pym_sharer_fork(sharer, vma->vm_mm);
	/* Who is no client sees nothing: fork() copies no page tables then. */
	if (!vma->vm_private_data)
		vm_flags_set(vma, VM_WIPEONFORK);
}

static void shared_close(struct vm_area_struct *vma)
{
	if (sharer_of(vma))
		pym_sharer_unmap(sharer_of(vma));
}

static vm_fault_t shared_fault(struct vm_fault *vmf)
{
	struct pym_sharer *sharer = sharer_of(vmf->vma);

	/* A child of fork() for which there was no memory. */
	return sharer ? pym_fault_window(vmf, sharer->sheap) : VM_FAULT_SIGBUS;
}

static int shared_access(struct vm_area_struct *vma, unsigned long address, void *buffer,
			 int bytes, int write)
{
	struct pym_sharer *sharer = sharer_of(vma);

	return pym_fault_read(sharer ? sharer->sheap : NULL, vma, address, buffer, bytes, write);
}

static vm_fault_t shared_fault_pool_map(struct vm_fault *vmf)
{
	struct pym_sharer *sharer = sharer_of(vmf->vma);

	return sharer ? pym_fault_zeroes(vmf, sharer->sheap) : VM_FAULT_SIGBUS;
}

static const struct vm_operations_struct shared_window_vm_ops = {
	.open	= shared_open,
	.close	= shared_close,
	.fault	= shared_fault,
	.access	= shared_access,
	.map_pages = pym_window_map_pages,
};

static const struct vm_operations_struct shared_pool_map_vm_ops = {
	.open	= shared_open,
	.close	= shared_close,
	.fault	= shared_fault_pool_map,
};

/**
 * pym_shared_mmap() - map a shared heap's window, or its pool map
 * @sheap: the heap
 * @vma: the new mapping
 * @may_write: the descriptor is not a reader's
 *
 * Context: Holds the caller's mmap_lock for writing.  Sleeps.
 * Return: 0; or -EINVAL (not MAP_SHARED, or out of range), -EACCES (executable, or writable
 *	where it must not be), -ENOMEM or -EDQUOT.
 */
int pym_shared_mmap(struct pym_service_heap *sheap, struct vm_area_struct *vma, bool may_write)
{
	struct pym_sharer *sharer;
	u64 window = sheap->heap.window;

	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (pym_window_lies_within(vma, 0, window)) {
		vma->vm_ops = &shared_window_vm_ops;
	} else if (pym_window_lies_within(vma, PYMALLOC_POOL_MAP_OFFSET,
					  window >> PYM_POOL_SHIFT)) {
		vma->vm_ops = &shared_pool_map_vm_ops;
		may_write = false;
	} else {
		return -EINVAL;
	}
	if (vma->vm_flags & VM_EXEC || (!may_write && vma->vm_flags & VM_WRITE))
		return -EACCES;
	sharer = pym_sharer_join(sheap);
	if (IS_ERR(sharer))
		return PTR_ERR(sharer);
	vma->vm_private_data = sharer;
	vm_flags_set(vma, VM_MIXEDMAP | VM_DONTEXPAND);
	vm_flags_clear(vma, may_write ? VM_MAYEXEC : VM_MAYEXEC | VM_MAYWRITE);
	return 0;
}

static struct pym_service_heap *shared_heap(const struct vm_area_struct *vma)
{
	if (vma->vm_ops != &shared_window_vm_ops && vma->vm_ops != &shared_pool_map_vm_ops)
		return NULL;
	return sharer_of(vma) ? sharer_of(vma)->sheap : NULL;
}

/**
 * pym_shared_find() - the shared heap that the caller has mapped at an address
 * @address: the address
 *
 * Context: Sleeps.  Takes the caller's mmap_lock for reading.
 * Return: the heap, with a reference, or NULL.
 */
struct pym_service_heap *pym_shared_find(u64 address)
{
	return pym_window_find_by(address, shared_heap);
}

/* What the core asks: see struct pym_heap_ops. */

static void shared_zap_file(struct pym_heap *heap, u64 offset, u64 bytes)
{
	struct inode *inode = pym_service_of(heap)->family->inode;

	unmap_mapping_range(inode->i_mapping, offset, bytes, 1);
}

static void shared_zap(struct pym_heap *heap, const struct pym_mappings *held, u64 offset,
		       struct page **pages, unsigned int nr)
{
	unsigned int i;

	/* As in pym_window_zap(). */
	for (i = 0; pages && i < nr && !held->nowait; i++)
		wait_on_page_locked(pages[i]);
	shared_zap_file(heap, offset, (u64)nr << PAGE_SHIFT);
}

static void shared_map_grown(struct pym_heap *heap, const struct pym_mappings *mappings,
			     unsigned long number)
{
	struct pym_service_heap *sheap = pym_service_of(heap);

	/* As in pym_window_map_grown(). */
	down_write(&sheap->map_gate);
	up_write(&sheap->map_gate);
	shared_zap_file(heap, PYMALLOC_POOL_MAP_OFFSET + ((u64)number << PYM_POOL_SHIFT),
			PYMALLOC_POOL_SIZE);
}

static int shared_pause(struct pym_heap *heap)
{
	return fatal_signal_pending(current) ? -EINTR : 0;
}

static void shared_page_goes(struct page *page)
{
	page->mapping = NULL;
}

/* A shared heap is not meshed, and takes nothing back from caches. */
const struct pym_heap_ops pym_shared_heap_ops = {
	.hold	= pym_window_hold_nothing,
	.release = pym_window_release_nothing,
	.zap	= shared_zap,
	.map_grown = shared_map_grown,
	.threshold_passed = pym_family_threshold_passed,
	.pause	= shared_pause,
	.page_goes = shared_page_goes,
};
