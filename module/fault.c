// SPDX-License-Identifier: GPL-2.0
/*
 * Faults: how a page of a heap comes into the page tables of its client.
 *
 * Lock order: mmap_lock, page lock, heap->lock.
 *
 * A fault looks pages up, takes references, locks them, and rechecks that they are
 * still where it found them.  Whoever takes pages back does it in this order:
 *
 * 1. make their pools busy, so that no recheck succeeds any more;
 * 2. wait for the page locks, that is for the faults whose recheck has succeeded;
 * 3. unmap the pages;
 * 4. free them.
 */
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/pfn_t.h>
#include <linux/sched/mm.h>

#include "client.h"
#include "core/frame.h"
#include "fault.h"
#include "idle.h"
#include "service_heap.h"

/*
 * Pages that one fault maps at most, the touched one included.  The pages behind it in
 * its arena are mostly new as well, and about to be touched.  No more than an arena,
 * because pages are looked up in one arena at a time; with fewer, a program that fills
 * an arena would take more faults.
 */
#define FAULT_AROUND	PYMALLOC_ARENA_POOLS

/* Where in the window a fault is. */
static u64 fault_offset(const struct vm_fault *vmf)
{
	return (u64)vmf->pgoff << PAGE_SHIFT;
}

/*
 * How many pages may be mapped at once.  Without a page table it is only the touched
 * one, in the usual way: the memory management then makes the page table.
 */
static unsigned int fault_room(const struct vm_fault *vmf)
{
	unsigned long address = vmf->address & PAGE_MASK;
	unsigned long end = min(vmf->vma->vm_end, (address & PMD_MASK) + PMD_SIZE);

	if (pmd_none(*vmf->pmd))
		return 1;
	return min_t(unsigned long, FAULT_AROUND, (end - address) >> PAGE_SHIFT);
}

/* Any of the pages may be NULL, here and below: a place of the window without one. */
static void fault_put_pages(struct page **pages, unsigned int nr)
{
	for (; nr--; pages++)
		if (*pages)
			put_page(*pages);
}

/* Unlock those of @nr pages that have a bit in @locks. */
static void fault_unlock_pages(struct page **pages, unsigned int nr, u64 locks)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (locks & BIT_ULL(i))
			unlock_page(pages[i]);
}

/* Is a page among the @nr before it?  Several pools may have one page. */
static bool fault_has_page(struct page **pages, unsigned int nr, const struct page *page)
{
	while (nr--)
		if (pages[nr] == page)
			return true;
	return false;
}

/*
 * Lock the first page, and those behind it that nobody else has locked.  Only the first
 * lock is waited for, as page locks have no order among each other.  A page that is there
 * twice is locked once: *@locks gets a bit for each that was.  Returns how many pages, from
 * the first one on, are locked.
 */
static unsigned int fault_lock_pages(struct page **pages, unsigned int nr, u64 *locks)
{
	unsigned int locked = 1;

	lock_page(pages[0]);
	*locks = 1;
	for (; locked < nr; locked++) {
		if (!pages[locked])
			continue;
		if (trylock_page(pages[locked]))
			*locks |= BIT_ULL(locked);
		else if (!fault_has_page(pages, locked, pages[locked]))
			break;
	}
	return locked;
}

/*
 * Map pages.  At the first one that is mapped already this ends, *@all is false, and if it
 * was the touched one, the access tries again.  Without memory for a page table it is SIGBUS, as
 * without memory for a page: VM_FAULT_OOM would repeat the access, maybe for ever.
 */
static vm_fault_t fault_insert_pages(struct vm_area_struct *vma, unsigned long address,
				     struct page **pages, unsigned long nr, bool *all)
{
	unsigned long left = nr;
	int err = vm_insert_pages(vma, address, pages, &left);

	*all = !err;
	if (!err || err == -EBUSY || left < nr)
		return VM_FAULT_NOPAGE;
	return VM_FAULT_SIGBUS;
}

/*
 * Map pages that are the heap's alone, with write permission if the mapping has it.
 *
 * Where writes are protected, vm_page_prot allows only reading, and vm_insert_pages()
 * knows no other protection; the functions that take one as an argument are for pages
 * without references.  So it gets a copy of the mapping, as TTM once did for
 * vmf_insert_mixed().  It reads from the copy only where the mapping is, and how.
 */
static vm_fault_t fault_insert_alone(struct vm_area_struct *vma, unsigned long address,
				     struct page **pages, unsigned long nr, bool *all)
{
	struct vm_area_struct writable = *vma;

	writable.vm_page_prot = vm_get_page_prot(vma->vm_flags);
	return fault_insert_pages(&writable, address, pages, nr, all);
}

/* How many pages, from the first one on, may all be shared, or are all the heap's alone. */
static unsigned int fault_same_kind(struct page **pages, unsigned int nr)
{
	bool maybe_shared = pym_frame_maybe_shared(pages[0]);
	unsigned int i;

	for (i = 1; i < nr && pages[i] && pym_frame_maybe_shared(pages[i]) == maybe_shared; i++)
		;
	return i;
}

static bool fault_is_in_sealed_heap(const struct vm_area_struct *vma)
{
	return READ_ONCE(pym_client_heap(vma->vm_private_data)->heap.sealed);
}

static vm_fault_t fault_insert_same_kind(struct vm_area_struct *vma, unsigned long address,
					 struct page **pages, unsigned int nr, bool *all)
{
	/* Writes are not protected, or have to be for these pages. */
	if (!vma->vm_ops->page_mkwrite || pym_frame_maybe_shared(pages[0]) ||
	    fault_is_in_sealed_heap(vma))
		return fault_insert_pages(vma, address, pages, nr, all);
	return fault_insert_alone(vma, address, pages, nr, all);
}

/*
 * Map the first page, and those of the others that can be mapped.  Returns what became of
 * the first.
 */
static vm_fault_t fault_insert(struct vm_area_struct *vma, unsigned long address,
			       struct page **pages, unsigned int locked)
{
	vm_fault_t first = 0, result;
	unsigned int i, nr;
	bool all = true;

	for (i = 0; i < locked && all; i += nr) {
		nr = 1;
		if (!pages[i])
			continue;
		nr = fault_same_kind(pages + i, locked - i);
		result = fault_insert_same_kind(vma, address + (i << PAGE_SHIFT), pages + i, nr,
						&all);
		first = first ?: result;
	}
	return first;
}

/* How many places from the first one on have no page with a memory error. */
static unsigned int fault_good_pages(struct page **pages, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr && !(pages[i] && PageHWPoison(pages[i])); i++)
		;
	return i;
}

/*
 * The touched page has a memory error.  The memory management finds the mappings of
 * such a page through its file, but these pages belong to none: so the fault says it.
 */
static vm_fault_t fault_refuse_page(struct pym_service_heap *sheap, u64 offset)
{
	pym_pool_withhold(&sheap->heap, offset);
	return VM_FAULT_HWPOISON;
}

/*
 * Pages of a shared heap have a place in its file: see shared_window.c.  They are locked, and are
 * the heap's.
 */
static void fault_place_pages(const struct vm_fault *vmf, struct page **pages, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (!pages[i] || pages[i]->mapping)
			continue;
		pages[i]->index = vmf->pgoff + i;
		WRITE_ONCE(pages[i]->mapping, vmf->vma->vm_file->f_mapping);
	}
}

static vm_fault_t fault_map_pages(struct vm_fault *vmf, struct pym_service_heap *sheap,
				  unsigned int room)
{
	u64 offset = fault_offset(vmf);
	struct page *pages[FAULT_AROUND];
	vm_fault_t result = VM_FAULT_NOPAGE;
	unsigned int nr, locked, same, good;
	u64 locks;

	nr = pym_pages_get(&sheap->heap, offset, pages, pym_idle_room(sheap, offset, room));
	/* Nothing is allocated there (any more): the program's bug. */
	if (!nr)
		return VM_FAULT_SIGBUS;

	locked = fault_lock_pages(pages, nr, &locks);
	/* What is still there now stays until it is unlocked: see the top of this file. */
	same = pym_pages_same(&sheap->heap, offset, pages, locked);
	good = fault_good_pages(pages, same);
	if (good)
		good = pym_idle_touch(sheap, offset, good);
	if (sheap->flags & PYMALLOC_CREATE_SHARED)
		fault_place_pages(vmf, pages, good);
	if (room == 1 && good) {
		vmf->page = pages[0];
		return VM_FAULT_LOCKED;
	}
	if (good)
		result = fault_insert(vmf->vma, vmf->address & PAGE_MASK, pages, good);
	fault_unlock_pages(pages, locked, locks);
	fault_put_pages(pages, nr);
	return same && !good ? fault_refuse_page(sheap, offset) : result;
}

/*
 * The mappings that a page has to be taken out of before it changes.
 *
 * - Windows that show each page once: only this one can show the page.  The fault may
 *   hold just this mapping's own lock, and not the mmap_lock.
 * - Otherwise all of them.  The fault holds the mmap_lock, because windows of this kind
 *   have no map_pages, without which the memory management takes it.
 *
 * The first kind cannot become the second during the fault: before that, window_note_window()
 * or pym_window_mesh_begin() in window.c has waited for all the mappings' own locks.
 */
static void fault_hold(const struct vm_fault *vmf, struct pym_mappings *mappings)
{
	struct pym_client *client = vmf->vma->vm_private_data;

	mappings->only = pym_client_shows_twice(client) ? NULL : vmf->vma;
	mappings->space = client->mm;
	mappings->nowait = false;
}

/*
 * Make the touched page the heap's alone before it is written to.  If that replaced
 * the page, the new one is mapped here.  Returns 0 if the fault is not yet served.
 */
static vm_fault_t fault_own_page(struct vm_fault *vmf)
{
	struct pym_service_heap *sheap = pym_client_heap(vmf->vma->vm_private_data);
	u64 offset = fault_offset(vmf);
	struct mem_cgroup *memcg;
	struct pym_mappings mappings;
	struct page *fresh;
	vm_fault_t result;
	bool all;
	int err;

	if (!READ_ONCE(sheap->heap.maybe_shared))
		return 0;
	fault_hold(vmf, &mappings);
	pym_client_update_user(sheap);
	memcg = set_active_memcg(sheap->memcg);
	err = pym_page_own(&sheap->heap, offset, &mappings, &fresh);
	set_active_memcg(memcg);
	if (err == -EHWPOISON)
		return fault_refuse_page(sheap, offset);
	if (err)
		return VM_FAULT_SIGBUS;
	if (!fresh)
		return 0;
	pym_idle_touch(sheap, offset, 1);
	result = fault_insert_alone(vmf->vma, vmf->address & PAGE_MASK, &fresh, 1, &all);
	pym_frame_done(fresh);
	return result;
}

/**
 * pym_fault_window() - map what a fault needs, and pages behind it
 * @vmf: the fault, in a window
 * @sheap: the window's heap
 *
 * Context: As pym_fault().
 * Return: what the memory management expects.
 */
vm_fault_t pym_fault_window(struct vm_fault *vmf, struct pym_service_heap *sheap)
{
	return fault_map_pages(vmf, sheap, fault_room(vmf));
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
	struct pym_client *client = vmf->vma->vm_private_data;
	vm_fault_t result = 0;

	/* A child whose heap could not be made in fork() for want of memory. */
	if (!client)
		return VM_FAULT_SIGBUS;
	pym_client_note_process(client);
	if (vmf->flags & FAULT_FLAG_WRITE && fault_is_in_sealed_heap(vmf->vma))
		return VM_FAULT_SIGSEGV;
	if (vmf->flags & FAULT_FLAG_WRITE)
		result = fault_own_page(vmf);
	return result ?: pym_fault_window(vmf, pym_client_heap(client));
}

/**
 * pym_fault_mkwrite() - a page that is mapped for reading is about to be written to:
 *	.page_mkwrite
 * @vmf: the fault
 *
 * Context: As pym_fault().
 * Return: what the memory management expects.
 */
vm_fault_t pym_fault_mkwrite(struct vm_fault *vmf)
{
	struct pym_client *client = vmf->vma->vm_private_data;
	struct pym_service_heap *sheap = pym_client_heap(client);
	u64 offset = fault_offset(vmf);
	vm_fault_t result;

	pym_client_note_process(client);
	if (fault_is_in_sealed_heap(vmf->vma))
		return VM_FAULT_SIGSEGV;
	result = fault_own_page(vmf);
	if (result)
		return result;
	lock_page(vmf->page);
	if (!pym_pages_same(&sheap->heap, offset, &vmf->page, 1) ||
	    pym_frame_maybe_shared(vmf->page))
		/* It has been replaced, or may be shared again: the access tries again. */
		result = VM_FAULT_NOPAGE;
	else if (PageHWPoison(vmf->page))
		result = fault_refuse_page(sheap, offset);
	if (result) {
		unlock_page(vmf->page);
		return result;
	}
	/* After .fault it was unlocked for a moment, and is not mapped yet. */
	pym_idle_touch(sheap, offset, 1);
	return VM_FAULT_LOCKED;
}

/**
 * pym_fault_read() - a debugger reads where it has found no page
 * @sheap: the window's heap; may be NULL
 * @vma: the window
 * @address: where it looks
 * @buffer: out: what it reads
 * @bytes: how much of it
 * @write: it wants to write
 *
 * Where there is no page it reads zero, as in a core dump: gdb's gcore leaves out the
 * rest of a mapping of which it cannot read a byte.
 *
 * Context: Holds the mmap_lock of the window's address space for reading.
 * Return: bytes read, or -EFAULT.
 */
int pym_fault_read(struct pym_service_heap *sheap, struct vm_area_struct *vma,
		   unsigned long address, void *buffer, int bytes, int write)
{
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
 * pym_fault_access() - pym_fault_read() of a private heap: .access
 * @vma: the window
 * @address: as there
 * @buffer: as there
 * @bytes: as there
 * @write: as there
 *
 * Context: As pym_fault_read().
 * Return: as pym_fault_read().
 */
int pym_fault_access(struct vm_area_struct *vma, unsigned long address, void *buffer,
		     int bytes, int write)
{
	struct pym_client *client = vma->vm_private_data;

	return pym_fault_read(client ? pym_client_heap(client) : NULL, vma, address, buffer,
			      bytes, write);
}

/*
 * Map the machine's own page of zeroes, without a reference to it: a process can map it
 * at any number of addresses, and its count could overflow.  vm_insert_page() takes a
 * reference before Linux 6.12.
 */
static vm_fault_t fault_insert_zeroes(struct vm_area_struct *vma, unsigned long address)
{
	return vmf_insert_mixed(vma, address, pfn_to_pfn_t(my_zero_pfn(address)));
}

/**
 * pym_fault_zeroes() - map a page of the pool map, or zeroes where there is none
 * @vmf: the fault, in a pool map
 * @sheap: its heap
 *
 * Context: As pym_fault().
 * Return: what the memory management expects.
 */
vm_fault_t pym_fault_zeroes(struct vm_fault *vmf, struct pym_service_heap *sheap)
{
	unsigned long number = vmf->pgoff - (PYMALLOC_POOL_MAP_OFFSET >> PAGE_SHIFT);
	vm_fault_t result = 0;

	down_read(&sheap->map_gate);
	vmf->page = pym_pool_map_page(&sheap->heap, number);
	if (!vmf->page)
		result = fault_insert_zeroes(vmf->vma, vmf->address & PAGE_MASK);
	up_read(&sheap->map_gate);
	return result;
}

/**
 * pym_fault_pool_map() - a page of a private heap's pool map is not mapped: .fault
 * @vmf: the fault
 *
 * Context: As pym_fault().
 * Return: what the memory management expects.
 */
vm_fault_t pym_fault_pool_map(struct vm_fault *vmf)
{
	struct pym_client *client = vmf->vma->vm_private_data;

	return client ? pym_fault_zeroes(vmf, pym_client_heap(client)) : VM_FAULT_SIGBUS;
}
