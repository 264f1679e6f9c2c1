// SPDX-License-Identifier: GPL-2.0
/*
 * The window: how a heap's pages are mapped, and taken back.
 *
 * Lock order: mmap_lock, page lock, heap->lock.  A fault looks pages up, locks
 * them and looks again.  Who takes pages back makes their pools busy first, so
 * that no second look succeeds any more, waits for those who have succeeded, and
 * only then unmaps; what it frees has been unmapped before.
 *
 * A heap has one process, whose mappings of it are the only ones: those that a
 * child inherits are mappings of the child's own heap from fork() on, though of
 * the same file.  So pages are taken out of one address space, and the file's
 * list of mappings, which all relatives share, is never walked.
 */
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "client.h"
#include "compat.h"
#include "family.h"
#include "fault.h"
#include "service_heap.h"
#include "window.h"

static void window_open(struct vm_area_struct *vma);
static void window_close(struct vm_area_struct *vma);

/* Handed down from above: what a mapping of the child becomes in fork(). */
static void (*inherit_mapping)(struct vm_area_struct *vma);

/*
 * Nothing is mapped here without a fault of its own kind.  That there is such a
 * function tells the memory management that faults need no mmap_lock.
 */
static vm_fault_t map_nothing(struct vm_fault *vmf, pgoff_t start, pgoff_t end)
{
	return 0;
}

/* All pages are the heap's alone, and mapped as the mapping allows. */
static const struct vm_operations_struct window_vm_ops = {
	.open	= window_open,
	.close	= window_close,
	.fault	= pym_fault,
	.access	= pym_fault_access,
	.map_pages = map_nothing,
};

/* Some may be joint, and are mapped for reading: the first write asks. */
static const struct vm_operations_struct watched_window_vm_ops = {
	.open	= window_open,
	.close	= window_close,
	.fault	= pym_fault,
	.access	= pym_fault_access,
	.map_pages = map_nothing,
	.page_mkwrite = pym_fault_mkwrite,
};

/* The same where windows show a page twice: who asks has to look for the others. */
static const struct vm_operations_struct watched_windows_vm_ops = {
	.open	= window_open,
	.close	= window_close,
	.fault	= pym_fault,
	.access	= pym_fault_access,
	.page_mkwrite = pym_fault_mkwrite,
};

static const struct vm_operations_struct pool_map_vm_ops = {
	.open	= window_open,
	.close	= window_close,
	.fault	= pym_fault_pool_map,
};

/**
 * pym_is_window() - does a mapping show pages of a heap, and not its pool map?
 * @vma: a mapping of a heap
 *
 * Context: Holds the mmap_lock of the mapping's address space.
 * Return: true if so.
 */
bool pym_is_window(const struct vm_area_struct *vma)
{
	return vma->vm_ops == &window_vm_ops || vma->vm_ops == &watched_window_vm_ops ||
	       vma->vm_ops == &watched_windows_vm_ops;
}

/* The heap that a mapping is of, or NULL. */
static struct pym_service_heap *heap_of(const struct vm_area_struct *vma)
{
	if (!pym_is_window(vma) && vma->vm_ops != &pool_map_vm_ops)
		return NULL;
	return vma->vm_private_data;
}

/**
 * pym_window_next() - the first mapping of a heap at or behind an address
 * @sheap: the heap
 * @address: the address
 *
 * Mappings lie between the lowest and the highest address at which there has ever
 * been one.
 *
 * Context: Holds the mmap_lock of the heap's process.
 * Return: the mapping, of the window or of the pool map, or NULL.
 */
struct vm_area_struct *pym_window_next(struct pym_service_heap *sheap, unsigned long address)
{
	struct vm_area_struct *vma = find_vma(sheap->mm, max(address, sheap->lowest));

	while (vma && vma->vm_start < sheap->highest) {
		if (heap_of(vma) == sheap)
			return vma;
		vma = find_vma(sheap->mm, vma->vm_end);
	}
	return NULL;
}

/**
 * pym_window_protect() - protect writes to a window's pages, or end that
 * @vma: a window
 * @watched: writes are protected: the first write to each page is a fault
 * @many: windows of the heap may show a page twice
 *
 * The operations of a living mapping change here.  Nobody is inside one of them, nor
 * can enter one: the mmap_lock is held for writing, and so is the mapping's own lock.
 * Both are held until all windows have been changed, and in fork() until its end.
 *
 * Writes could be protected from the start, but then nobody could pin pages of a
 * window for long: since Linux 6.5, FOLL_LONGTERM refuses mappings whose operations
 * have page_mkwrite.  No block could be a buffer of io_uring.
 *
 * Context: Holds the mmap_lock for writing.  May sleep.
 */
void pym_window_protect(struct vm_area_struct *vma, bool watched, bool many)
{
	unsigned long flags = vma->vm_flags;

	vma_start_write(vma);
	vma->vm_ops = &window_vm_ops;
	if (watched)
		vma->vm_ops = many ? &watched_windows_vm_ops : &watched_window_vm_ops;
	vma->vm_page_prot = vm_get_page_prot(watched ? flags & ~VM_SHARED : flags);
}

/* Where the window's start would be, going by a part of it. */
static unsigned long origin_of(const struct vm_area_struct *vma)
{
	return vma->vm_start - (vma->vm_pgoff << PAGE_SHIFT);
}

/**
 * pym_window_count() - one more mapping of a heap
 * @sheap: the heap
 * @vma: the mapping
 *
 * Context: Holds the mmap_lock of the heap's process for writing; in fork() that of
 *	the parent as well, while the child's address space is being made.
 */
void pym_window_count(struct pym_service_heap *sheap, const struct vm_area_struct *vma)
{
	if (!sheap->mappings++) {
		sheap->lowest = vma->vm_start;
		sheap->highest = vma->vm_end;
	}
	sheap->lowest = min(sheap->lowest, vma->vm_start);
	sheap->highest = max(sheap->highest, vma->vm_end);
	if (pym_is_window(vma) && !sheap->windows++)
		sheap->origin = origin_of(vma);
}

/*
 * Windows that all begin at one place show each page once, however many parts they
 * are mapped in.  Until there have been no windows at all, heaps do not go back
 * to that: the others would have to be looked at.
 */
static bool will_scatter(const struct pym_service_heap *sheap, const struct vm_area_struct *vma)
{
	return sheap->windows && (sheap->scattered || origin_of(vma) != sheap->origin);
}

/* A further window: pages of the others may be shown twice from now on. */
static void note_window(struct pym_service_heap *sheap, struct vm_area_struct *vma)
{
	bool scattered = will_scatter(sheap, vma);
	struct vm_area_struct *other = NULL;

	/* Those that are scattered have been told before. */
	if (scattered && !sheap->scattered)
		other = pym_window_next(sheap, 0);
	for (; other; other = pym_window_next(sheap, other->vm_end))
		if (pym_is_window(other))
			pym_window_protect(other, sheap->watched, true);
	/* Not before: a fault in another one may have begun as in the only one. */
	WRITE_ONCE(sheap->scattered, scattered);
	pym_window_protect(vma, sheap->watched, scattered);
}

static void note_mapping(struct pym_service_heap *sheap, struct vm_area_struct *vma)
{
	if (pym_is_window(vma))
		note_window(sheap, vma);
	pym_window_count(sheap, vma);
}

/* Take a part of what a descriptor shows out of one mapping. */
static void zap_part(struct vm_area_struct *vma, u64 offset, u64 bytes)
{
	u64 first = (u64)vma->vm_pgoff << PAGE_SHIFT;
	u64 from = max(offset, first);
	u64 to = min(offset + bytes, first + (vma->vm_end - vma->vm_start));

	if (from < to)
		pym_zap_range(vma, vma->vm_start + (from - first), to - from);
}

/**
 * pym_window_hold() - keep a heap's mappings as they are
 * @heap: the heap
 * @view: out: for pym_window_zap() and pym_window_release()
 *
 * Whoever is not the heap's process may have to wait for it, for as long as that
 * likes, and can be killed meanwhile.
 *
 * Context: Sleeps.  Takes the mmap_lock of the heap's process for reading.
 * Return: 0; or -EINTR for another process, and nothing is held.
 */
int pym_window_hold(struct pym_heap *heap, struct pym_view *view)
{
	struct pym_service_heap *sheap = container_of(heap, struct pym_service_heap, heap);

	bool other = sheap->mm != current->mm;

	if (other && fatal_signal_pending(current))
		return -EINTR;
	view->only = NULL;
	view->space = mmget_not_zero(sheap->mm) ? sheap->mm : NULL;
	if (!view->space)
		return 0;
	if (!other) {
		mmap_read_lock(sheap->mm);
		return 0;
	}
	if (!mmap_read_lock_killable(sheap->mm))
		return 0;
	mmput(sheap->mm);
	return -EINTR;
}

/**
 * pym_window_release() - the reverse of pym_window_hold()
 * @heap: the heap
 * @view: what that has filled in
 *
 * Context: Sleeps.
 */
void pym_window_release(struct pym_heap *heap, struct pym_view *view)
{
	if (!view->space)
		return;
	mmap_read_unlock(view->space);
	mmput(view->space);
}

/*
 * The addresses at which a part of what the descriptor shows may be mapped: anywhere,
 * unless all windows begin at one place, be it below address 0.
 */
static void find_addresses(const struct pym_service_heap *sheap, u64 offset, u64 bytes,
			   unsigned long *from, unsigned long *to)
{
	*from = 0;
	*to = ULONG_MAX;
	if (sheap->scattered || offset >= sheap->heap.window)
		return;
	*to = sheap->origin + offset + bytes;
	if (sheap->origin + offset < *to)
		*from = sheap->origin + offset;
}

/**
 * pym_window_zap() - take pages away from the process that maps them
 * @heap: the heap
 * @view: its mappings, held
 * @offset: where in the descriptor they are
 * @bytes: how many
 *
 * Context: Sleeps.
 */
void pym_window_zap(struct pym_heap *heap, const struct pym_view *view, u64 offset, u64 bytes)
{
	struct pym_service_heap *sheap = container_of(heap, struct pym_service_heap, heap);
	struct vm_area_struct *vma;
	unsigned long from, to;

	if (view->only) {
		zap_part(view->only, offset, bytes);
		return;
	}
	if (!view->space)
		return;
	find_addresses(sheap, offset, bytes, &from, &to);
	for (vma = pym_window_next(sheap, from); vma && vma->vm_start < to;
	     vma = pym_window_next(sheap, vma->vm_end))
		zap_part(vma, offset, bytes);
}

/* A mapping is split, moved, or inherited. */
static void window_open(struct vm_area_struct *vma)
{
	struct pym_service_heap *sheap = vma->vm_private_data;

	if (!sheap)
		return;
	if (vma->vm_mm != sheap->mm) {
		inherit_mapping(vma);
		return;
	}
	kref_get(&sheap->ref);
	note_mapping(sheap, vma);
}

static void window_close(struct vm_area_struct *vma)
{
	struct pym_service_heap *sheap = vma->vm_private_data;

	if (!sheap)
		return;
	sheap->windows -= pym_is_window(vma);
	WRITE_ONCE(sheap->mappings, sheap->mappings - 1);
	if (pym_service_is_dead(sheap) || (!sheap->mappings && sheap->inherited))
		pym_family_forget(sheap->family, sheap);
	pym_service_put_later(sheap);
}

/* Does the mapping lie in @bytes of the descriptor from @start on? */
static bool lies_within(struct vm_area_struct *vma, u64 start, u64 bytes)
{
	u64 first = start >> PAGE_SHIFT;
	u64 nr = DIV_ROUND_UP_ULL(bytes, PAGE_SIZE);

	return vma->vm_pgoff >= first && vma->vm_pgoff - first <= nr &&
	       vma_pages(vma) <= nr - (vma->vm_pgoff - first);
}

static int map_heap(struct pym_service_heap *sheap, struct vm_area_struct *vma)
{
	u64 window = sheap->heap.window;

	if (vma->vm_mm != sheap->mm)
		return -EPERM;
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EACCES;

	if (lies_within(vma, 0, window)) {
		vma->vm_ops = &window_vm_ops;
		/*
		 * For vm_insert_pages(); and a child's page tables start empty,
		 * as they do for other files' mappings.
		 */
		vm_flags_set(vma, VM_MIXEDMAP | VM_WIPEONFORK);
	} else if (lies_within(vma, PYMALLOC_POOL_MAP_OFFSET, window >> PYM_POOL_SHIFT)) {
		if (vma->vm_flags & VM_WRITE)
			return -EACCES;
		vm_flags_clear(vma, VM_MAYWRITE);
		vma->vm_ops = &pool_map_vm_ops;
		/* For pym_insert_zeroes(); the rest as above. */
		vm_flags_set(vma, VM_MIXEDMAP | VM_WIPEONFORK);
	} else {
		return -EINVAL;
	}
	vm_flags_set(vma, VM_DONTEXPAND);
	vm_flags_clear(vma, VM_MAYEXEC);
	return 0;
}

/**
 * pym_window_mmap() - map a heap's window, or its pool map
 * @file: the heap's descriptor
 * @vma: the new mapping
 *
 * Return: 0; or -ESTALE (the heap has ended), -EPERM (not the heap's process),
 *	-EINVAL (not MAP_SHARED, or out of range), -EACCES (executable, or the pool
 *	map writable).
 */
int pym_window_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct pym_service_heap *sheap = pym_client_enter(file);
	int err;

	if (IS_ERR(sheap))
		return PTR_ERR(sheap);
	err = map_heap(sheap, vma);
	if (err) {
		pym_service_put_later(sheap);
		return err;
	}
	vma->vm_private_data = sheap;
	note_mapping(sheap, vma);
	return 0;
}

/**
 * pym_window_find() - the heap that the caller has mapped at an address
 * @address: the address
 *
 * Context: Sleeps.  Takes the mmap_lock for reading.
 * Return: the heap, with a reference, or NULL.
 */
struct pym_service_heap *pym_window_find(u64 address)
{
	struct pym_service_heap *sheap = NULL;
	struct vm_area_struct *vma;

	if (address != (unsigned long)address || mmap_read_lock_killable(current->mm))
		return NULL;
	vma = vma_lookup(current->mm, address);
	if (vma)
		sheap = heap_of(vma);
	if (sheap && READ_ONCE(sheap->ended))
		sheap = NULL;
	if (sheap)
		kref_get(&sheap->ref);
	mmap_read_unlock(current->mm);
	return sheap;
}

/**
 * pym_window_init() - prepare for mappings
 * @inherit: called in fork() for each copy of a heap's mapping, with both address
 *	spaces locked
 *
 * Context: Process context, while the module is being loaded.
 */
void pym_window_init(void (*inherit)(struct vm_area_struct *vma))
{
	inherit_mapping = inherit;
}
