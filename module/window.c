// SPDX-License-Identifier: GPL-2.0
/*
 * Windows: the mappings of a heap, and how pages are taken out of them.
 *
 * A heap has one client, whose mappings of it are the only ones: those that a child
 * inherits are mappings of the child's own heap from fork() on, though of the same
 * file.  So pages are taken out of one address space, and the file's list of mappings,
 * which all relatives share, is never walked.
 *
 * vm_private_data of a mapping is its client, or NULL in a child whose heap could not
 * be made for want of memory.  A mapping holds a reference to the heap.
 *
 * Who keeps a client's address space may be its last user, if the process is killed
 * meanwhile.  It ends it by mmput_async(): to take an address space down can take as long
 * as a file system likes that still has requests of it.
 */
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "cache.h"
#include "client.h"
#include "compat.h"
#include "family.h"
#include "fault.h"
#include "service_heap.h"
#include "sites.h"
#include "window.h"

static void window_open(struct vm_area_struct *vma);
static void window_close(struct vm_area_struct *vma);

/* Set once, when the module is loaded: what is done with a copy that fork() makes. */
static void (*window_inherit)(struct vm_area_struct *vma);

/**
 * pym_window_map_pages() - map nothing: .map_pages
 * @vmf: the fault
 * @start: not used
 * @end: not used
 *
 * The memory management serves faults without the mmap_lock where there is such a
 * function.  .fault, which comes next, maps pages by the run.
 *
 * Return: 0.
 */
vm_fault_t pym_window_map_pages(struct vm_fault *vmf, pgoff_t start, pgoff_t end)
{
	return 0;
}

/* All pages are the heap's alone, and mapped as the mapping allows. */
static const struct vm_operations_struct window_vm_ops = {
	.open	= window_open,
	.close	= window_close,
	.fault	= pym_fault,
	.access	= pym_fault_access,
	.map_pages = pym_window_map_pages,
};

/*
 * Writes are protected: pages that may be shared are mapped for reading, and the first
 * write to one is a fault.
 */
static const struct vm_operations_struct protected_window_vm_ops = {
	.open	= window_open,
	.close	= window_close,
	.fault	= pym_fault,
	.access	= pym_fault_access,
	.map_pages = pym_window_map_pages,
	.page_mkwrite = pym_fault_mkwrite,
};

/*
 * The same where a page may be shown twice.  A fault looks for the other places, so that
 * it needs the mmap_lock, which it has without .map_pages.
 */
static const struct vm_operations_struct protected_windows_vm_ops = {
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

/* Pages of caches are not shared, and a core dump has no use for them. */
static const struct vm_operations_struct caches_vm_ops = {
	.open	= window_open,
	.close	= window_close,
	.fault	= pym_cache_fault,
	.map_pages = pym_window_map_pages,
};

/* The same of pages of sites. */
static const struct vm_operations_struct sites_vm_ops = {
	.open	= window_open,
	.close	= window_close,
	.fault	= pym_sites_fault,
	.map_pages = pym_window_map_pages,
};

/**
 * pym_is_window() - does a mapping show pages of a heap?
 * @vma: any mapping
 *
 * Context: Holds the mmap_lock of the mapping's address space.
 * Return: true if so; false for a pool map or pages of caches, and for mappings of
 *	other files.
 */
bool pym_is_window(const struct vm_area_struct *vma)
{
	return vma->vm_ops == &window_vm_ops || vma->vm_ops == &protected_window_vm_ops ||
	       vma->vm_ops == &protected_windows_vm_ops;
}

/* The client that a mapping belongs to; NULL if it is not of a heap, or has none. */
static struct pym_client *window_client(const struct vm_area_struct *vma)
{
	if (!pym_is_window(vma) && vma->vm_ops != &pool_map_vm_ops &&
	    vma->vm_ops != &caches_vm_ops && vma->vm_ops != &sites_vm_ops)
		return NULL;
	return vma->vm_private_data;
}

/*
 * A client's first mapping at or behind an address, of the window or of the pool map, or
 * NULL.  The mmap_lock is held.  Mappings lie between the lowest and the highest address
 * at which there has ever been one.
 */
static struct vm_area_struct *window_next_mapping(struct pym_client *client,
						  unsigned long address)
{
	struct vm_area_struct *vma = find_vma(client->mm, max(address, client->lowest));

	while (vma && vma->vm_start < client->highest) {
		if (window_client(vma) == client)
			return vma;
		vma = find_vma(client->mm, vma->vm_end);
	}
	return NULL;
}

/**
 * pym_window_next() - a client's first window at or behind an address
 * @client: the client
 * @address: the address
 *
 * Context: Holds the client's mmap_lock.
 * Return: the mapping, or NULL.
 */
struct vm_area_struct *pym_window_next(struct pym_client *client, unsigned long address)
{
	struct vm_area_struct *vma = window_next_mapping(client, address);

	while (vma && !pym_is_window(vma))
		vma = window_next_mapping(client, vma->vm_end);
	return vma;
}

/**
 * pym_window_protect() - protect writes to a window's pages, or end that
 * @vma: a window
 * @protect: the first write to each page is to be a fault
 * @twice: a page may be shown at more than one address
 *
 * The operations of a living mapping change here.  Nobody is inside one of them, nor
 * can enter one: the mmap_lock is held for writing, and so is the mapping's own lock.
 * Both are held until all windows have been changed, and in fork() until its end.
 *
 * Writes could be protected from the start, but then nobody could pin pages of a
 * window for long: since Linux 6.5, FOLL_LONGTERM refuses mappings whose operations
 * have page_mkwrite.  No block could be a buffer of io_uring.
 *
 * Context: Holds the mmap_lock for writing.  Sleeps.
 */
void pym_window_protect(struct vm_area_struct *vma, bool protect, bool twice)
{
	unsigned long flags = vma->vm_flags;

	vma_start_write(vma);
	vma->vm_ops = &window_vm_ops;
	if (protect)
		vma->vm_ops = twice ? &protected_windows_vm_ops :
				      &protected_window_vm_ops;
	vma->vm_page_prot = vm_get_page_prot(protect ? flags & ~VM_SHARED : flags);
}

/* Where the window's start would be, judged by the part of it that is mapped. */
static unsigned long window_origin(const struct vm_area_struct *vma)
{
	return vma->vm_start - (vma->vm_pgoff << PAGE_SHIFT);
}

/**
 * pym_window_count() - a client has one more mapping
 * @client: the client
 * @vma: the mapping
 *
 * Context: Holds the client's mmap_lock for writing.
 */
void pym_window_count(struct pym_client *client, const struct vm_area_struct *vma)
{
	if (!client->mappings++) {
		client->lowest = vma->vm_start;
		client->highest = vma->vm_end;
	}
	client->lowest = min(client->lowest, vma->vm_start);
	client->highest = max(client->highest, vma->vm_end);
	if (pym_is_window(vma) && !client->windows++)
		client->origin = window_origin(vma);
}

/*
 * Will a client's windows be able to show a page twice, with this one?
 *
 * Not if all of them have the window's start at one address, however many parts they
 * are mapped in.  Once scattered, windows stay so until there are none: to see earlier
 * that they are not any more, all would have to be looked at.
 */
static bool window_will_scatter(const struct pym_client *client,
				const struct vm_area_struct *vma)
{
	return client->windows &&
	       (client->scattered || window_origin(vma) != client->origin);
}

/* One more window, because of which pages of the others may be shown twice. */
static void window_note_window(struct pym_client *client, struct vm_area_struct *vma)
{
	bool scattered = window_will_scatter(client, vma);
	struct vm_area_struct *other;

	/* The first time, the others' operations have to change. */
	if (scattered && !client->scattered) {
		pym_for_each_window(other, client)
			pym_window_protect(other, client->protected, true);
	}
	/*
	 * Only now: a fault that began in another window before its operations changed
	 * has found itself in the only place that shows the page.  vma_start_write() has
	 * waited for its end.  See fault_hold() in fault.c.
	 */
	WRITE_ONCE(client->scattered, scattered);
	pym_window_protect(vma, client->protected, pym_client_shows_twice(client));
}

/**
 * pym_window_lock_for_writing() - lock an address space for writing, if one may wait for it
 * @mm: the address space
 *
 * Context: Sleeps.
 * Return: 0; or -EINTR (the caller is being killed) or -EAGAIN (it is a kernel thread, which
 *	has other heaps to look after, and would have to wait).
 */
int pym_window_lock_for_writing(struct mm_struct *mm)
{
	if (current->flags & PF_KTHREAD)
		return pym_mmap_write_trylock(mm) ? 0 : -EAGAIN;
	return mmap_write_lock_killable(mm);
}

/**
 * pym_window_mesh_begin() - a page may be shown at several addresses from now on
 * @heap: the heap
 *
 * As for scattered windows: a fault that began before has found itself in the only place
 * that shows the page, and vma_start_write() waits for its end.
 *
 * Context: Sleeps.  Takes the client's mmap_lock for writing, the first time.
 * Return: 0; or -EINTR or -EAGAIN, as pym_window_hold().
 */
int pym_window_mesh_begin(struct pym_heap *heap)
{
	struct pym_client *client = &pym_service_of(heap)->client;
	struct vm_area_struct *vma;
	int err;

	if (READ_ONCE(client->meshed) || !mmget_not_zero(client->mm))
		return 0;
	err = pym_window_lock_for_writing(client->mm);
	if (!err) {
		pym_for_each_window(vma, client)
			pym_window_protect(vma, client->protected, true);
		WRITE_ONCE(client->meshed, true);
		mmap_write_unlock(client->mm);
	}
	mmput_async(client->mm);
	return err;
}

static void window_note_mapping(struct pym_client *client, struct vm_area_struct *vma)
{
	if (pym_is_window(vma))
		window_note_window(client, vma);
	pym_window_count(client, vma);
}

/* Take what one mapping shows of a part of the file out of the page tables. */
static void window_zap_part(struct vm_area_struct *vma, u64 offset, u64 bytes)
{
	u64 first = (u64)vma->vm_pgoff << PAGE_SHIFT;
	u64 from = max(offset, first);
	u64 to = min(offset + bytes, first + (vma->vm_end - vma->vm_start));

	if (from < to)
		pym_zap_range(vma, vma->vm_start + (from - first), to - from);
}

/*
 * To take a page out of scattered windows, all of them are looked at.  The thread that looks
 * after all heaps, and tasks that reclaim memory, do not do that for more than so many.
 */
#define SCATTERED_MAX	64

static bool window_trylock(struct pym_client *client)
{
	if (!mmap_read_trylock(client->mm))
		return false;
	if (!client->scattered || client->mappings <= SCATTERED_MAX)
		return true;
	mmap_read_unlock(client->mm);
	return false;
}

/*
 * Keep mappings as they are, if that needs no waiting and they are not too many.  Returns
 * false if it does.
 */
static bool window_try_hold(struct pym_client *client, struct pym_mappings *mappings)
{
	mappings->only = NULL;
	mappings->nowait = false;
	mappings->try_gate = true;
	mappings->space = mmget_not_zero(client->mm) ? client->mm : NULL;
	if (!mappings->space || window_trylock(client))
		return true;
	mmput_async(client->mm);
	return false;
}

/*
 * The heap's process can rely on getting the lock.  Another one may have to wait for as
 * long as that process likes: so it can be killed meanwhile.
 */
static int window_lock_for_reading(struct mm_struct *mm)
{
	if (mm == current->mm) {
		mmap_read_lock(mm);
		return 0;
	}
	if (fatal_signal_pending(current))
		return -EINTR;
	return mmap_read_lock_killable(mm);
}

/**
 * pym_window_hold() - keep a heap's mappings as they are: .hold of its operations
 * @heap: the heap
 * @mappings: out: for pym_window_zap() and pym_window_release()
 *
 * Context: Sleeps.  Takes the client's mmap_lock for reading.
 * Return: 0; or -EINTR for another process that is being killed, or -EAGAIN for a worker,
 *	which never waits; then nothing is held.
 */
int pym_window_hold(struct pym_heap *heap, struct pym_mappings *mappings)
{
	struct mm_struct *mm = pym_service_of(heap)->client.mm;
	int err;

	/* A worker has other heaps to look after: it comes again. */
	if (current->flags & PF_KTHREAD)
		return window_try_hold(&pym_service_of(heap)->client, mappings) ? 0 : -EAGAIN;
	mappings->only = NULL;
	mappings->nowait = false;
	mappings->try_gate = false;
	mappings->space = mmget_not_zero(mm) ? mm : NULL;
	if (!mappings->space)
		return 0;
	err = window_lock_for_reading(mm);
	if (err)
		mmput_async(mm);
	return err;
}

/**
 * pym_window_try_hold() - keep a heap's mappings as they are, and wait for nothing
 * @heap: the heap
 * @mappings: out: for pym_window_zap() and pym_window_release(), neither of which then
 *	waits for anything
 *
 * Context: Any task that reclaims memory.  Takes the client's mmap_lock for reading.
 * Return: false if this is not possible now: then nothing is held.
 */
bool pym_window_try_hold(struct pym_heap *heap, struct pym_mappings *mappings)
{
	if (!window_try_hold(&pym_service_of(heap)->client, mappings))
		return false;
	mappings->nowait = true;
	return true;
}

/**
 * pym_window_release() - the reverse of pym_window_hold(): .release
 * @heap: the heap
 * @mappings: what that has filled in
 *
 * Context: Sleeps.
 */
void pym_window_release(struct pym_heap *heap, struct pym_mappings *mappings)
{
	if (!mappings->space)
		return;
	mmap_read_unlock(mappings->space);
	mmput_async(mappings->space);
}

/**
 * pym_window_hold_nothing() - .hold of heaps whose pages go without that mappings are held
 * @heap: the heap
 * @mappings: out: none
 *
 * Context: Any.
 * Return: 0.
 */
int pym_window_hold_nothing(struct pym_heap *heap, struct pym_mappings *mappings)
{
	*mappings = (struct pym_mappings) {};
	return 0;
}

/**
 * pym_window_release_nothing() - the reverse of pym_window_hold_nothing(): .release
 * @heap: the heap
 * @mappings: none
 *
 * Context: Any.
 */
void pym_window_release_nothing(struct pym_heap *heap, struct pym_mappings *mappings)
{
}

/**
 * pym_window_is_abandoned() - has the process ended whose mappings are held?
 * @mappings: its mappings, held
 *
 * Then none of its memory is freed until they are released.
 *
 * Context: Any that holds the mappings.
 * Return: true if so.
 */
bool pym_window_is_abandoned(const struct pym_mappings *mappings)
{
	const struct mm_struct *mm = mappings->space;

	return mm && atomic_read(&mm->mm_users) == 1;
}

/**
 * pym_window_is_wanted() - does a thread wait for the mappings?: .wanted
 * @heap: the heap
 * @mappings: its mappings, held
 *
 * Context: Any that holds the mappings.
 * Return: true if so, or if the process has ended.
 */
bool pym_window_is_wanted(struct pym_heap *heap, const struct pym_mappings *mappings)
{
	struct mm_struct *mm = mappings->space;

	return mm && (pym_window_is_abandoned(mappings) || mmap_lock_is_contended(mm));
}

/*
 * The addresses at which a part of the file may be mapped: anywhere, unless all
 * windows have the window's start at one place.  That place may be below address 0,
 * if only a later part is mapped, so that the sum may wrap.
 */
static void window_find_addresses(const struct pym_service_heap *sheap, u64 offset, u64 bytes,
				  unsigned long *from, unsigned long *to)
{
	const struct pym_client *client = &sheap->client;

	*from = 0;
	*to = ULONG_MAX;
	if (client->scattered || offset >= sheap->heap.window)
		return;
	*to = client->origin + offset + bytes;
	if (client->origin + offset < *to)
		*from = client->origin + offset;
}

/* Take a part of the file out of all mappings, which are held. */
static void window_zap_everywhere(struct pym_service_heap *sheap,
				  const struct pym_mappings *mappings, u64 offset, u64 bytes)
{
	struct pym_client *client = &sheap->client;
	struct vm_area_struct *vma;
	unsigned long from, to;

	if (mappings->only) {
		window_zap_part(mappings->only, offset, bytes);
		return;
	}
	if (!mappings->space)
		return;
	window_find_addresses(sheap, offset, bytes, &from, &to);
	for (vma = window_next_mapping(client, from); vma && vma->vm_start < to;
	     vma = window_next_mapping(client, vma->vm_end))
		window_zap_part(vma, offset, bytes);
}

/**
 * pym_window_zap() - take pages away from the client: .zap
 * @heap: the heap
 * @mappings: its mappings, held
 * @offset: where in the window they are
 * @pages: the pages, which cannot be found there any more; NULL if the caller has locked
 *	them
 * @nr: how many
 *
 * Context: Sleeps.
 */
void pym_window_zap(struct pym_heap *heap, const struct pym_mappings *mappings, u64 offset,
		    struct page **pages, unsigned int nr)
{
	unsigned int i;

	/*
	 * A fault that has rechecked a page holds its lock until the page is mapped.  A task
	 * that may not wait has left out the pages that were locked.
	 */
	for (i = 0; pages && i < nr && !mappings->nowait; i++)
		wait_on_page_locked(pages[i]);
	window_zap_everywhere(pym_service_of(heap), mappings, offset, (u64)nr << PAGE_SHIFT);
}

/**
 * pym_window_map_grown() - take zeroes away where the pool map has got a page: .map_grown
 * @heap: the heap
 * @mappings: its mappings, held
 * @number: the page's number
 *
 * Context: Sleeps.
 */
void pym_window_map_grown(struct pym_heap *heap, const struct pym_mappings *mappings,
			  unsigned long number)
{
	struct pym_service_heap *sheap = pym_service_of(heap);

	/* Wait for the faults that have found no page and are about to map zeroes. */
	down_write(&sheap->map_gate);
	up_write(&sheap->map_gate);
	window_zap_everywhere(sheap, mappings,
			      PYMALLOC_POOL_MAP_OFFSET + ((u64)number << PYM_POOL_SHIFT),
			      PYMALLOC_POOL_SIZE);
}

/**
 * pym_window_zap_file() - take pages of caches or sites away from the client
 * @sheap: the heap
 * @mappings: its mappings, held
 * @offset: where in the file they are
 * @nr: how many.  Their locks are held, or no fault can find them any more, or they may be
 *	mapped again at once
 *
 * Context: Sleeps.
 */
void pym_window_zap_file(struct pym_service_heap *sheap, const struct pym_mappings *mappings,
			 u64 offset, unsigned long nr)
{
	window_zap_everywhere(sheap, mappings, offset, (u64)nr << PAGE_SHIFT);
}

/**
 * pym_window_stop_caches() - let no thread go on that has a cache, until fork() has ended
 * @client: the client
 *
 * All header pages are unmapped, and no fault can map one: see pym_window_protect().
 *
 * Context: Holds the client's mmap_lock for writing.  Sleeps.
 */
void pym_window_stop_caches(struct pym_client *client)
{
	const u64 bytes = PYMALLOC_SLOTS_OFFSET - PYMALLOC_CACHES_OFFSET;
	struct vm_area_struct *vma;

	for (vma = window_next_mapping(client, 0); vma;
	     vma = window_next_mapping(client, vma->vm_end)) {
		if (vma->vm_ops != &caches_vm_ops)
			continue;
		vma_start_write(vma);
		window_zap_part(vma, PYMALLOC_CACHES_OFFSET, bytes);
	}
}

/* A mapping is split, moved, or copied by fork(). */
static void window_open(struct vm_area_struct *vma)
{
	struct pym_client *client = vma->vm_private_data;

	if (!client)
		return;
	if (vma->vm_mm != client->mm) {
		window_inherit(vma);
		return;
	}
	kref_get(&pym_client_heap(client)->ref);
	window_note_mapping(client, vma);
}

static void window_close(struct vm_area_struct *vma)
{
	struct pym_client *client = vma->vm_private_data;
	struct pym_service_heap *sheap;

	if (!client)
		return;
	sheap = pym_client_heap(client);
	client->windows -= pym_is_window(vma);
	WRITE_ONCE(client->mappings, client->mappings - 1);
	if (pym_service_is_dead(sheap))
		pym_client_note_death(client);
	if (pym_service_is_dead(sheap) || (!client->mappings && sheap->inherited))
		pym_family_forget(sheap->family, sheap);
	pym_service_put_later(sheap);
}

/**
 * pym_window_lies_within() - does a mapping lie in a part of its file?
 * @vma: the mapping
 * @start: where that begins
 * @bytes: of the part
 *
 * Return: true if so.
 */
bool pym_window_lies_within(struct vm_area_struct *vma, u64 start, u64 bytes)
{
	u64 first = start >> PAGE_SHIFT;
	u64 nr = DIV_ROUND_UP_ULL(bytes, PAGE_SIZE);

	return vma->vm_pgoff >= first && vma->vm_pgoff - first <= nr &&
	       vma_pages(vma) <= nr - (vma->vm_pgoff - first);
}

static int window_set_up(struct pym_service_heap *sheap, struct vm_area_struct *vma)
{
	u64 window = sheap->heap.window;

	if (vma->vm_mm != sheap->client.mm)
		return -EPERM;
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EACCES;

	if (pym_window_lies_within(vma, 0, window)) {
		vma->vm_ops = &window_vm_ops;
	} else if (pym_window_lies_within(vma, PYMALLOC_POOL_MAP_OFFSET,
					  window >> PYM_POOL_SHIFT)) {
		if (vma->vm_flags & VM_WRITE)
			return -EACCES;
		vm_flags_clear(vma, VM_MAYWRITE);
		vma->vm_ops = &pool_map_vm_ops;
	} else if (pym_window_lies_within(vma, PYMALLOC_CACHES_OFFSET, PYM_CACHES_BYTES)) {
		vma->vm_ops = &caches_vm_ops;
		vm_flags_set(vma, VM_DONTDUMP);
	} else if (pym_window_lies_within(vma, PYMALLOC_SITES_OFFSET, PYM_SITES_BYTES)) {
		vma->vm_ops = &sites_vm_ops;
		/* VM_IO: mlockall() shall not populate so long a mapping, with the sink. */
		vm_flags_set(vma, VM_DONTDUMP | VM_IO);
	} else {
		return -EINVAL;
	}
	/*
	 * VM_MIXEDMAP: for vm_insert_pages(), and for fault_insert_zeroes() in the pool map.
	 * VM_WIPEONFORK: a child's page tables start empty, as for other files' mappings.
	 */
	vm_flags_set(vma, VM_MIXEDMAP | VM_WIPEONFORK | VM_DONTEXPAND);
	vm_flags_clear(vma, VM_MAYEXEC);
	return 0;
}

/**
 * pym_window_mmap() - map a heap's window, its pool map, or pages of caches or sites
 * @file: the heap's descriptor
 * @vma: the new mapping
 *
 * Context: Holds the caller's mmap_lock for writing.  Sleeps.
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
	err = window_set_up(sheap, vma);
	if (err) {
		pym_service_put_later(sheap);
		return err;
	}
	vma->vm_private_data = &sheap->client;
	window_note_mapping(&sheap->client, vma);
	return 0;
}

/**
 * pym_window_find_by() - the heap that the caller has mapped at an address
 * @address: the address
 * @heap_of: the heap that a mapping is of, or NULL
 *
 * Context: Sleeps.  Takes the caller's mmap_lock for reading.
 * Return: the heap, with a reference, or NULL.
 */
struct pym_service_heap *
pym_window_find_by(u64 address,
		   struct pym_service_heap *(*heap_of)(const struct vm_area_struct *vma))
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

static struct pym_service_heap *window_heap(const struct vm_area_struct *vma)
{
	struct pym_client *client = window_client(vma);

	return client ? pym_client_heap(client) : NULL;
}

/**
 * pym_window_find() - the private heap that the caller has mapped at an address
 * @address: the address
 *
 * Context: Sleeps.  Takes the caller's mmap_lock for reading.
 * Return: the heap, with a reference, or NULL.
 */
struct pym_service_heap *pym_window_find(u64 address)
{
	return pym_window_find_by(address, window_heap);
}

/**
 * pym_window_init() - prepare for mappings
 * @inherit: called in fork() for each copy of a heap's mapping, with both address
 *	spaces locked for writing
 *
 * Context: Process context, while the module is being loaded.
 */
void __init pym_window_init(void (*inherit)(struct vm_area_struct *vma))
{
	window_inherit = inherit;
}
