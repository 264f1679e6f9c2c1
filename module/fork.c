// SPDX-License-Identifier: GPL-2.0
/*
 * fork(): the child gets a heap of its own, whose pages it has together with its
 * parent until one of the two writes to them.
 */
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>

#include "compat.h"
#include "family.h"
#include "fork.h"
#include "owner.h"
#include "service_heap.h"
#include "window.h"

/* Nobody maps any page, nor can as long as the locks are held; see pym_window_protect(). */
static void unmap_windows(struct pym_service_heap *sheap)
{
	struct vm_area_struct *vma;

	for (vma = pym_window_next(sheap, 0); vma; vma = pym_window_next(sheap, vma->vm_end))
		if (pym_is_window(vma)) {
			pym_window_protect(vma, true, sheap->scattered);
			pym_zap_range(vma, vma->vm_start, vma->vm_end - vma->vm_start);
		}
	sheap->watched = true;
}

/* No page is joint: windows need not ask any more. */
static void unwatch(struct pym_service_heap *sheap)
{
	struct vm_area_struct *vma;

	for (vma = pym_window_next(sheap, 0); vma; vma = pym_window_next(sheap, vma->vm_end))
		if (pym_is_window(vma))
			pym_window_protect(vma, false, false);
	sheap->watched = false;
}

/*
 * Looking at all pages costs as much as a fork().  So it is done when the heap is
 * used on for long without one, which pays for it.
 */
static void be_patient(struct pym_service_heap *sheap)
{
	atomic64_set(&sheap->patience, sheap->heap.nr_arenas + sheap->heap.nr_raw_arenas);
}

static bool may_unwatch(struct pym_service_heap *sheap)
{
	return !READ_ONCE(sheap->heap.joint) ||
	       (pym_family_is_alone(sheap->family) &&
		atomic64_dec_return(&sheap->patience) < 0);
}

/**
 * pym_fork_settle() - let the windows be as before fork(), if they can
 * @sheap: the caller's heap, which is about to allocate
 *
 * That is when no page is joint any more, or could be found not to be.
 *
 * Context: Sleeps.  Takes the mmap_lock for writing.
 */
void pym_fork_settle(struct pym_service_heap *sheap)
{
	if (!READ_ONCE(sheap->watched) || !may_unwatch(sheap) ||
	    mmap_write_lock_killable(sheap->mm))
		return;
	if (READ_ONCE(sheap->heap.joint)) {
		unmap_windows(sheap);
		pym_pages_settle(&sheap->heap);
		be_patient(sheap);
	}
	/* Only who holds that lock can fork. */
	if (!READ_ONCE(sheap->heap.joint))
		unwatch(sheap);
	mmap_write_unlock(sheap->mm);
}

/* Does fork() leave a window to the child? */
static bool window_is_inherited(struct pym_service_heap *sheap)
{
	struct vm_area_struct *vma;

	for (vma = pym_window_next(sheap, 0); vma; vma = pym_window_next(sheap, vma->vm_end))
		if (pym_is_window(vma) && !(vma->vm_flags & VM_DONTCOPY))
			return true;
	return false;
}

/* A child has all of its mappings with a heap, or all without. */
static void set_heapless(struct pym_service_heap *sheap, struct mm_struct *mm)
{
	if (sheap->heapless)
		mmdrop(sheap->heapless);
	mmgrab(mm);
	sheap->heapless = mm;
}

/*
 * The heap of a child that fork() is making; both address spaces are locked.
 * Its page tables are copied before or after this, depending on the kernel.  So
 * that this makes no difference, the parent's are empty when this is done, and the
 * child's, too.  What the pages' references say is then final, see core/share.c,
 * and no entry is left that mprotect() could make writable.
 */
static struct pym_service_heap *inherit(struct pym_service_heap *sheap, struct mm_struct *mm)
{
	struct pym_service_heap *child = pym_family_enter(sheap->family, mm);

	if (child)
		return child;
	if (sheap->heapless == mm || !window_is_inherited(sheap))
		return NULL;
	unmap_windows(sheap);
	be_patient(sheap);
	child = pym_service_clone(sheap, mm);
	if (!IS_ERR(child))
		return child;
	set_heapless(sheap, mm);
	return NULL;
}

/**
 * pym_fork_inherit() - fork() has copied a mapping
 * @vma: the child's
 *
 * The child's other mappings cannot be looked for: its address space is not finished,
 * and still has its parent's mappings in it.
 *
 * Context: Sleeps.  Both address spaces are locked for writing.
 */
void pym_fork_inherit(struct vm_area_struct *vma)
{
	struct pym_service_heap *sheap = vma->vm_private_data;
	struct pym_service_heap *child = inherit(sheap, vma->vm_mm);

	vma->vm_private_data = child;
	if (pym_is_window(vma))
		pym_window_protect(vma, true, sheap->scattered);
	else
		/* Whatever madvise() has said; what is copied already goes now. */
		vm_flags_set(vma, VM_WIPEONFORK);
	pym_zap_range(vma, vma->vm_start, vma->vm_end - vma->vm_start);
	if (!child)
		return;
	/* As those of its parent are, which it has all or some of. */
	child->scattered = sheap->scattered;
	pym_window_count(child, vma);
}
