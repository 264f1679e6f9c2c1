// SPDX-License-Identifier: GPL-2.0
/*
 * Faults: how a page of a heap comes into the page tables of its process.
 *
 * Lock order: mmap_lock, page lock, heap->lock.  A fault looks pages up, locks them,
 * and checks again that they are still there.  Whoever takes pages back makes their
 * pools busy first, so that no such second look succeeds any more, waits for the faults
 * whose second look has succeeded, and only then unmaps; what it frees has been
 * unmapped before.
 */
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>

#include "client.h"
#include "compat.h"
#include "core/frame.h"
#include "fault.h"
#include "service_heap.h"

/*
 * Pages that one fault maps, the touched one included, at most: those behind it
 * in its arena are mostly new as well, and about to be touched.
 */
#define FAULT_AROUND	PYMALLOC_ARENA_POOLS

/*
 * How many pages may be mapped at once.  Without a page table the first one
 * goes the usual way, which brings one along.
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

/*
 * Map pages.  One that is there already has been mapped by somebody else, and ends
 * it.  For want of a page table it is SIGBUS as for want of a page: VM_FAULT_OOM
 * would have the access tried again, maybe for ever.
 */
static vm_fault_t insert_pages(struct vm_area_struct *vma, unsigned long address,
			       struct page **pages, unsigned long nr)
{
	unsigned long left = nr;
	int err = vm_insert_pages(vma, address, pages, &left);

	if (!err || err == -EBUSY || left < nr)
		return VM_FAULT_NOPAGE;
	return VM_FAULT_SIGBUS;
}

/*
 * Map pages that are the heap's alone, as the mapping allows.  Where writes are
 * asked for, the memory management sees to it that vm_page_prot allows reading
 * only.  vm_insert_pages() knows no other protection, and what takes one as an
 * argument is for pages without references.  So it gets a copy of the mapping, as
 * TTM gave to vmf_insert_mixed(); it uses no more of it than where it is.
 */
static vm_fault_t insert_alone(struct vm_area_struct *vma, unsigned long address,
			       struct page **pages, unsigned long nr)
{
	struct vm_area_struct writable = *vma;

	writable.vm_page_prot = vm_get_page_prot(vma->vm_flags);
	return insert_pages(&writable, address, pages, nr);
}

/* How many of the pages from the first one on are as joint as that one. */
static unsigned int same_kind(struct page **pages, unsigned int nr)
{
	bool joint = pym_frame_is_joint(pages[0]);
	unsigned int i;

	for (i = 1; i < nr && pym_frame_is_joint(pages[i]) == joint; i++)
		;
	return i;
}

static vm_fault_t insert(struct vm_area_struct *vma, unsigned long address,
			 struct page **pages, unsigned int locked)
{
	unsigned int nr = same_kind(pages, locked);

	if (!vma->vm_ops->page_mkwrite || pym_frame_is_joint(pages[0]))
		return insert_pages(vma, address, pages, nr);
	return insert_alone(vma, address, pages, nr);
}

/* How many of the pages from the first one on have no memory error. */
static unsigned int whole_pages(struct page **pages, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr && !PageHWPoison(pages[i]); i++)
		;
	return i;
}

/*
 * The touched page has a memory error.  The memory management would look for the
 * mappings of such a page in its file, and it has none.
 */
static vm_fault_t refuse_page(struct pym_service_heap *sheap, u64 offset)
{
	pym_pool_withhold(&sheap->heap, offset);
	return VM_FAULT_HWPOISON;
}

static vm_fault_t map_pages(struct vm_fault *vmf, unsigned int room)
{
	struct pym_service_heap *sheap = vmf->vma->vm_private_data;
	u64 offset = (u64)vmf->pgoff << PAGE_SHIFT;
	struct page *pages[FAULT_AROUND];
	vm_fault_t result = VM_FAULT_NOPAGE;
	unsigned int nr, locked, whole;

	nr = pym_pages_get(&sheap->heap, offset, pages, room);
	/* Nothing is allocated there (any more). */
	if (!nr)
		return VM_FAULT_SIGBUS;

	locked = lock_pages(&sheap->heap, offset, pages, nr);
	whole = whole_pages(pages, locked);
	if (room == 1 && whole) {
		vmf->page = pages[0];
		return VM_FAULT_LOCKED;
	}
	if (whole)
		result = insert(vmf->vma, vmf->address & PAGE_MASK, pages, whole);
	unlock_pages(pages, locked);
	put_pages(pages, nr);
	return locked && !whole ? refuse_page(sheap, offset) : result;
}

/*
 * The mappings that a page has to be taken out of before it changes.  Where windows
 * show each page once a fault may hold its mapping's own lock, and not the mmap_lock;
 * before that ends, note_window() has waited for all those locks, and later faults
 * come with the mmap_lock.
 */
static void hold_in_fault(const struct vm_fault *vmf, struct pym_view *view)
{
	struct pym_service_heap *sheap = vmf->vma->vm_private_data;

	view->only = READ_ONCE(sheap->scattered) ? NULL : vmf->vma;
	view->space = sheap->mm;
}

/* Make the touched page the heap's alone.  What that changes is mapped already. */
static vm_fault_t own_page(struct vm_fault *vmf)
{
	struct pym_service_heap *sheap = vmf->vma->vm_private_data;
	u64 offset = (u64)vmf->pgoff << PAGE_SHIFT;
	struct mem_cgroup *memcg;
	struct pym_view view;
	struct page *fresh;
	vm_fault_t result;
	int err;

	if (!READ_ONCE(sheap->heap.joint))
		return 0;
	hold_in_fault(vmf, &view);
	pym_client_follow(sheap);
	memcg = set_active_memcg(sheap->memcg);
	err = pym_page_own(&sheap->heap, offset, &view, &fresh);
	set_active_memcg(memcg);
	if (err == -EHWPOISON)
		return refuse_page(sheap, offset);
	if (err)
		return VM_FAULT_SIGBUS;
	if (!fresh)
		return 0;
	result = insert_alone(vmf->vma, vmf->address & PAGE_MASK, &fresh, 1);
	unlock_page(fresh);
	put_page(fresh);
	return result;
}

/**
 * pym_fault() - a page of a window is not mapped: .fault
 * @vmf: the fault
 *
 * Context: Holds the mmap_lock for reading, or the mapping's own lock.  Sleeps.
 * Return: what the memory management expects.
 */
vm_fault_t pym_fault(struct vm_fault *vmf)
{
	struct pym_service_heap *sheap = vmf->vma->vm_private_data;
	vm_fault_t result = 0;

	/* There was no memory for this child's heap. */
	if (!sheap)
		return VM_FAULT_SIGBUS;
	pym_client_meet(sheap);
	if (vmf->flags & FAULT_FLAG_WRITE)
		result = own_page(vmf);
	return result ?: map_pages(vmf, around(vmf));
}

/**
 * pym_fault_mkwrite() - a page mapped for reading is about to be written to:
 *	.page_mkwrite
 * @vmf: the fault
 *
 * Context: As pym_fault().
 * Return: what the memory management expects.
 */
vm_fault_t pym_fault_mkwrite(struct vm_fault *vmf)
{
	struct pym_service_heap *sheap = vmf->vma->vm_private_data;
	u64 offset = (u64)vmf->pgoff << PAGE_SHIFT;
	vm_fault_t result;

	pym_client_meet(sheap);
	result = own_page(vmf);
	if (result)
		return result;
	lock_page(vmf->page);
	if (!pym_pages_same(&sheap->heap, offset, &vmf->page, 1) ||
	    pym_frame_is_joint(vmf->page))
		/* It has been replaced: touch it again. */
		result = VM_FAULT_NOPAGE;
	else if (PageHWPoison(vmf->page))
		result = refuse_page(sheap, offset);
	else
		return VM_FAULT_LOCKED;
	unlock_page(vmf->page);
	return result;
}

/**
 * pym_fault_access() - a debugger has found no page: .access
 * @vma: the window
 * @address: where it looks
 * @buffer: out: what it reads
 * @bytes: how much of it
 * @write: it wants to write
 *
 * Where there is no page it reads zero, as in a core: gdb's gcore leaves out the rest
 * of a mapping of which it cannot read a byte.
 *
 * Context: Holds the mmap_lock of the heap's process for reading.
 * Return: bytes read, or -EFAULT.
 */
int pym_fault_access(struct vm_area_struct *vma, unsigned long address, void *buffer,
		     int bytes, int write)
{
	struct pym_service_heap *sheap = vma->vm_private_data;
	u64 offset = ((u64)vma->vm_pgoff << PAGE_SHIFT) + (address - vma->vm_start);
	struct page *page = NULL;

	if (write)
		return -EFAULT;
	if (sheap)
		page = pym_page_get(&sheap->heap, offset);
	if (page) {
		put_page(page);
		return -EFAULT;
	}
	bytes = min_t(int, bytes, PAGE_SIZE - offset_in_page(address));
	memset(buffer, 0, bytes);
	return bytes;
}

/**
 * pym_fault_pool_map() - a page of the pool map is not mapped: .fault
 * @vmf: the fault
 *
 * Context: As pym_fault().
 * Return: what the memory management expects.
 */
vm_fault_t pym_fault_pool_map(struct vm_fault *vmf)
{
	struct pym_service_heap *sheap = vmf->vma->vm_private_data;
	unsigned long number = vmf->pgoff - (PYMALLOC_POOL_MAP_OFFSET >> PAGE_SHIFT);
	vm_fault_t result = 0;

	if (!sheap)
		return VM_FAULT_SIGBUS;
	down_read(&sheap->heap.map_gate);
	vmf->page = pym_pool_map_page(&sheap->heap, number);
	if (!vmf->page)
		result = pym_insert_zeroes(vmf->vma, vmf->address & PAGE_MASK);
	up_read(&sheap->heap.map_gate);
	return result;
}
