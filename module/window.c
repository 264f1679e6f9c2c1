// SPDX-License-Identifier: GPL-2.0
/*
 * The window: how a heap's pages are mapped, and taken back.
 *
 * Lock order: mmap_lock, page lock, heap->lock.  The fault handler allocates
 * nothing: it looks pages up, locks them and looks again.  Who takes pages
 * back makes their pools busy first, so that no second look succeeds any more,
 * waits for those who have succeeded, and only then unmaps; what it frees has
 * been unmapped before.
 *
 * fork() gives the child a clone of the heap, with the same pages; from then on
 * the windows of both are mapped for reading, and the first write to a page
 * that is still shared copies it.
 */
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/pagemap.h>

#include "compat.h"
#include "service.h"

/*
 * Pages that one fault maps, the touched one included, at most: those behind it
 * in its arena are mostly new as well, and about to be touched.
 */
#define FAULT_AROUND	PYMALLOC_ARENA_POOLS

/*
 * How many pages may be mapped at once.  Without a page table the first one
 * goes the usual way, which brings one along: this handler allocates nothing.
 */
static unsigned int around(const struct vm_fault *vmf)
{
	unsigned long address = vmf->address & PAGE_MASK;
	unsigned long end = min(vmf->vma->vm_end, (address & PMD_MASK) + PMD_SIZE);

	if (pmd_none(*vmf->pmd))
		return 1;
	return min_t(unsigned long, FAULT_AROUND, (end - address) >> PAGE_SHIFT);
}

static void put_pages(struct page **pages, unsigned int nr)
{
	while (nr--)
		put_page(*pages++);
}

static void unlock_pages(struct page **pages, unsigned int nr)
{
	while (nr--)
		unlock_page(*pages++);
}

/*
 * Lock the first page, and those behind it that nobody else has locked.  Who
 * takes a page back waits for its lock after he has made it impossible to
 * find, so that what is still there now stays until it is unlocked.
 */
static unsigned int lock_pages(struct pym_heap *heap, u64 offset, struct page **pages,
			       unsigned int nr)
{
	unsigned int locked = 1, same;

	lock_page(pages[0]);
	while (locked < nr && trylock_page(pages[locked]))
		locked++;
	same = pym_pages_same(heap, offset, pages, locked);
	unlock_pages(pages + same, locked - same);
	return same;
}

static vm_fault_t map_pages(struct vm_fault *vmf, unsigned int room)
{
	struct pym_service_heap *sheap = vmf->vma->vm_private_data;
	u64 offset = (u64)vmf->pgoff << PAGE_SHIFT;
	struct page *pages[FAULT_AROUND];
	unsigned int nr, locked;
	unsigned long left;

	nr = pym_pages_get(&sheap->heap, offset, pages, room);
	/* Nothing is allocated there (any more). */
	if (!nr)
		return VM_FAULT_SIGBUS;

	locked = lock_pages(&sheap->heap, offset, pages, nr);
	if (room == 1 && locked) {
		vmf->page = pages[0];
		return VM_FAULT_LOCKED;
	}
	left = locked;
	/* It stops at the first page that is mapped already. */
	if (locked)
		vm_insert_pages(vmf->vma, vmf->address & PAGE_MASK, pages, &left);
	unlock_pages(pages, locked);
	put_pages(pages, nr);
	return VM_FAULT_NOPAGE;
}

static vm_fault_t window_fault(struct vm_fault *vmf)
{
	return map_pages(vmf, around(vmf));
}

static vm_fault_t own_page(struct vm_fault *vmf)
{
	struct pym_service_heap *sheap = vmf->vma->vm_private_data;

	switch (pym_page_own(&sheap->heap, (u64)vmf->pgoff << PAGE_SHIFT)) {
	case 0:
		return 0;
	case -ENOMEM:
		return VM_FAULT_OOM;
	default:
		return VM_FAULT_SIGBUS;
	}
}

/* A window whose pages may be shared: they are mapped for reading at first. */
static vm_fault_t shared_window_fault(struct vm_fault *vmf)
{
	struct pym_service_heap *sheap = vmf->vma->vm_private_data;
	vm_fault_t result;

	/* There was no memory when fork() wanted a heap for this child. */
	if (!sheap)
		return VM_FAULT_SIGBUS;
	pym_service_meet(sheap);
	if (!(vmf->flags & FAULT_FLAG_WRITE))
		return map_pages(vmf, around(vmf));
	result = own_page(vmf);
	return result ?: map_pages(vmf, 1);
}

/* A page is about to be written to: copy it if others have it, too. */
static vm_fault_t shared_window_mkwrite(struct vm_fault *vmf)
{
	struct pym_service_heap *sheap = vmf->vma->vm_private_data;
	u64 offset = (u64)vmf->pgoff << PAGE_SHIFT;
	vm_fault_t result;

	pym_service_meet(sheap);
	result = own_page(vmf);
	if (result)
		return result;
	lock_page(vmf->page);
	if (pym_pages_same(&sheap->heap, offset, &vmf->page, 1))
		return VM_FAULT_LOCKED;
	/* It has been replaced: touch it again. */
	unlock_page(vmf->page);
	return VM_FAULT_NOPAGE;
}

static vm_fault_t pool_map_fault(struct vm_fault *vmf)
{
	struct pym_service_heap *sheap = vmf->vma->vm_private_data;
	unsigned long number = vmf->pgoff - (PYMALLOC_POOL_MAP_OFFSET >> PAGE_SHIFT);
	struct page *page, *now;

	if (!sheap)
		return VM_FAULT_SIGBUS;
	page = pym_pool_map_page(&sheap->heap, number);
	lock_page(page);
	now = pym_pool_map_page(&sheap->heap, number);
	put_page(now);
	if (now != page) {
		unlock_page(page);
		put_page(page);
		return VM_FAULT_NOPAGE;
	}
	vmf->page = page;
	return VM_FAULT_LOCKED;
}

static void window_open(struct vm_area_struct *vma);
static void window_close(struct vm_area_struct *vma);

static const struct vm_operations_struct window_vm_ops = {
	.open	= window_open,
	.close	= window_close,
	.fault	= window_fault,
};

static const struct vm_operations_struct shared_window_vm_ops = {
	.open	= window_open,
	.close	= window_close,
	.fault	= shared_window_fault,
	.page_mkwrite = shared_window_mkwrite,
};

static const struct vm_operations_struct pool_map_vm_ops = {
	.open	= window_open,
	.close	= window_close,
	.fault	= pool_map_fault,
};

/* From now on the first write to each page asks. */
static void watch_writes(struct vm_area_struct *vma)
{
	if (vma->vm_ops != &window_vm_ops)
		return;
	vma_start_write(vma);
	vma->vm_ops = &shared_window_vm_ops;
	vma->vm_page_prot = vm_get_page_prot(vma->vm_flags & ~VM_SHARED);
}

/* What is mapped for reading asks once more, and is told to go on. */
static void unwatch_writes(struct vm_area_struct *vma)
{
	if (vma->vm_ops != &shared_window_vm_ops)
		return;
	vma_start_write(vma);
	vma->vm_ops = &window_vm_ops;
	vma->vm_page_prot = vm_get_page_prot(vma->vm_flags);
}

/* All windows of the caller, those that a child will not get included. */
static void change_windows(struct pym_service_heap *sheap,
			   void (*change)(struct vm_area_struct *vma))
{
	struct vm_area_struct *vma;
	unsigned long address = 0;

	while ((vma = find_vma(current->mm, address))) {
		if (vma->vm_private_data == sheap)
			change(vma);
		address = vma->vm_end;
	}
}

static void watch(struct pym_service_heap *sheap)
{
	change_windows(sheap, watch_writes);
	sheap->watched = true;
}

static void unwatch(struct pym_service_heap *sheap)
{
	change_windows(sheap, unwatch_writes);
	sheap->heap.shares = false;
	sheap->watched = false;
}

/**
 * pym_window_unwatch() - let the windows be as before fork(), if they can
 * @sheap: the caller's heap
 *
 * When all relatives have gone, no page is shared, and pages can be mapped
 * many at a time again, ready to be written to.
 *
 * Context: Sleeps.  Takes the mmap_lock for writing.
 */
void pym_window_unwatch(struct pym_service_heap *sheap)
{
	if (!READ_ONCE(sheap->watched) || !pym_family_is_alone(sheap->family) ||
	    mmap_write_lock_killable(current->mm))
		return;
	/* Only who holds that lock can fork. */
	if (pym_family_is_alone(sheap->family))
		unwatch(sheap);
	mmap_write_unlock(current->mm);
}

/*
 * The heap of a child that fork() is making; both address spaces are locked.
 * Its page tables are copied before or after this, depending on the kernel:
 * what is done to both gives the same either way, as nothing can be faulted in
 * before fork() is done.  What both heaps have stays mapped, for reading.
 */
static struct pym_service_heap *inherit(struct pym_service_heap *sheap, struct mm_struct *mm)
{
	struct pym_service_heap *child = pym_family_find(sheap->family, mm);
	struct address_space *mapping = sheap->family->inode->i_mapping;
	u64 window = sheap->heap.window;

	if (child)
		return child;
	watch(sheap);
	child = pym_service_clone(sheap, mm);
	if (IS_ERR(child)) {
		unmap_mapping_range(mapping, 0, window, 1);
		return NULL;
	}
	pym_protect_mapping(mapping, 0, window);
	return child;
}

/* A mapping is split, moved, or inherited. */
static void window_open(struct vm_area_struct *vma)
{
	struct pym_service_heap *sheap = vma->vm_private_data;

	if (!sheap)
		return;
	if (vma->vm_mm == sheap->mm) {
		kref_get(&sheap->ref);
	} else {
		sheap = inherit(sheap, vma->vm_mm);
		vma->vm_private_data = sheap;
		watch_writes(vma);
	}
	if (sheap)
		sheap->mappings++;
}

static void window_close(struct vm_area_struct *vma)
{
	struct pym_service_heap *sheap = vma->vm_private_data;

	if (!sheap)
		return;
	if (!--sheap->mappings && sheap->inherited)
		pym_family_remove(sheap->family, sheap);
	pym_service_put(sheap);
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
		vma->vm_ops = sheap->watched ? &shared_window_vm_ops : &window_vm_ops;
		/* For vm_insert_pages(). */
		vm_flags_set(vma, VM_MIXEDMAP);
	} else if (lies_within(vma, PYMALLOC_POOL_MAP_OFFSET, window >> PYM_POOL_SHIFT)) {
		if (vma->vm_flags & VM_WRITE)
			return -EACCES;
		vm_flags_clear(vma, VM_MAYWRITE);
		vma->vm_ops = &pool_map_vm_ops;
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
 * Return: 0; or -EPERM (not the heap's process), -EINVAL (not MAP_SHARED, or
 *	out of range), -EACCES (executable, or the pool map writable).
 */
int pym_window_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct pym_service_heap *sheap = pym_heap_enter(file);
	int err = map_heap(sheap, vma);

	if (!err) {
		kref_get(&sheap->ref);
		sheap->mappings++;
		vma->vm_private_data = sheap;
	}
	pym_heap_leave(file, sheap);
	return err;
}

/**
 * pym_window_zap() - take pages away from all who map them
 * @heap: the heap
 * @offset: where in the window they are
 * @bytes: how many
 *
 * Context: Sleeps.  Takes i_mmap_rwsem.
 */
void pym_window_zap(struct pym_heap *heap, u64 offset, u64 bytes)
{
	struct pym_service_heap *sheap = container_of(heap, struct pym_service_heap, heap);

	unmap_mapping_range(sheap->family->inode->i_mapping, offset, bytes, 1);
}
