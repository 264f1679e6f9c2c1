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
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "compat.h"
#include "core/frame.h"
#include "service.h"

/*
 * Pages that one fault maps, the touched one included, at most: those behind it
 * in its arena are mostly new as well, and about to be touched.
 */
#define FAULT_AROUND	PYMALLOC_ARENA_POOLS

static void window_open(struct vm_area_struct *vma);
static void window_close(struct vm_area_struct *vma);
static vm_fault_t window_fault(struct vm_fault *vmf);
static vm_fault_t window_mkwrite(struct vm_fault *vmf);
static vm_fault_t pool_map_fault(struct vm_fault *vmf);
static int window_access(struct vm_area_struct *vma, unsigned long address, void *buffer,
			 int bytes, int write);

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
	.fault	= window_fault,
	.access	= window_access,
	.map_pages = map_nothing,
};

/* Some may be joint, and are mapped for reading: the first write asks. */
static const struct vm_operations_struct watched_window_vm_ops = {
	.open	= window_open,
	.close	= window_close,
	.fault	= window_fault,
	.access	= window_access,
	.map_pages = map_nothing,
	.page_mkwrite = window_mkwrite,
};

/* The same where windows show a page twice: who asks has to look for the others. */
static const struct vm_operations_struct watched_windows_vm_ops = {
	.open	= window_open,
	.close	= window_close,
	.fault	= window_fault,
	.access	= window_access,
	.page_mkwrite = window_mkwrite,
};

static const struct vm_operations_struct pool_map_vm_ops = {
	.open	= window_open,
	.close	= window_close,
	.fault	= pool_map_fault,
};

static bool is_window(const struct vm_area_struct *vma)
{
	return vma->vm_ops == &window_vm_ops || vma->vm_ops == &watched_window_vm_ops ||
	       vma->vm_ops == &watched_windows_vm_ops;
}

/* The heap that a mapping is of, or NULL. */
static struct pym_service_heap *heap_of(const struct vm_area_struct *vma)
{
	if (!is_window(vma) && vma->vm_ops != &pool_map_vm_ops)
		return NULL;
	return vma->vm_private_data;
}

/*
 * The first mapping of a heap at or behind an address, or NULL.  Its process's
 * mmap_lock is held.  Mappings lie between the lowest and the highest address at
 * which there has ever been one.
 */
static struct vm_area_struct *next_mapping(struct pym_service_heap *sheap,
					   unsigned long address)
{
	struct vm_area_struct *vma = find_vma(sheap->mm, max(address, sheap->lowest));

	while (vma && vma->vm_start < sheap->highest) {
		if (heap_of(vma) == sheap)
			return vma;
		vma = find_vma(sheap->mm, vma->vm_end);
	}
	return NULL;
}

/*
 * The operations of a living mapping change here.  Nobody is inside of one, nor
 * can enter: the mmap_lock is held for writing, and so is the mapping's own lock.
 * Both are held until that is done to all windows, and, in fork(), to the end.
 *
 * All windows could ask for writes from the start, but then nobody could pin their
 * pages for long (since Linux 6.5, FOLL_LONGTERM is not for mappings whose owner
 * wants to know of writes): no block could be a buffer of io_uring.
 */
static void set_watched(struct vm_area_struct *vma, bool watched, bool many)
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

static void count_mapping(struct pym_service_heap *sheap, const struct vm_area_struct *vma)
{
	if (!sheap->mappings++) {
		sheap->lowest = vma->vm_start;
		sheap->highest = vma->vm_end;
	}
	sheap->lowest = min(sheap->lowest, vma->vm_start);
	sheap->highest = max(sheap->highest, vma->vm_end);
	if (is_window(vma) && !sheap->windows++)
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
		other = next_mapping(sheap, 0);
	for (; other; other = next_mapping(sheap, other->vm_end))
		if (is_window(other))
			set_watched(other, sheap->watched, true);
	/* Not before: a fault in another one may have begun as in the only one. */
	WRITE_ONCE(sheap->scattered, scattered);
	set_watched(vma, sheap->watched, scattered);
}

static void note_mapping(struct pym_service_heap *sheap, struct vm_area_struct *vma)
{
	if (is_window(vma))
		note_window(sheap, vma);
	count_mapping(sheap, vma);
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

/* Take a part of what the descriptor shows out of all mappings. */
static void zap_everywhere(struct pym_heap *heap, const struct pym_view *view, u64 offset,
			   u64 bytes)
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
	for (vma = next_mapping(sheap, from); vma && vma->vm_start < to;
	     vma = next_mapping(sheap, vma->vm_end))
		zap_part(vma, offset, bytes);
}

/**
 * pym_window_zap() - take pages away from the process that maps them
 * @heap: the heap
 * @view: its mappings, held
 * @offset: where in the window they are
 * @pages: the pages, which cannot be found there any more
 * @nr: how many
 *
 * Context: Sleeps.
 */
void pym_window_zap(struct pym_heap *heap, const struct pym_view *view, u64 offset,
		    struct page **pages, unsigned int nr)
{
	unsigned int i;

	/* A fault that has rechecked a page holds its lock until the page is mapped. */
	for (i = 0; i < nr; i++)
		wait_on_page_locked(pages[i]);
	zap_everywhere(heap, view, offset, (u64)nr << PAGE_SHIFT);
}

/**
 * pym_window_map_grown() - take zeroes away where the pool map has got a page
 * @heap: the heap
 * @view: its mappings, held
 * @number: the page's number
 *
 * Context: Sleeps.
 */
void pym_window_map_grown(struct pym_heap *heap, const struct pym_view *view,
			  unsigned long number)
{
	struct pym_service_heap *sheap = container_of(heap, struct pym_service_heap, heap);

	/* Wait for the faults that have found no page and are about to map zeroes. */
	down_write(&sheap->map_gate);
	up_write(&sheap->map_gate);
	zap_everywhere(heap, view, PYMALLOC_POOL_MAP_OFFSET + ((u64)number << PYM_POOL_SHIFT),
		       PYMALLOC_POOL_SIZE);
}

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
	bool joint = pym_frame_maybe_shared(pages[0]);
	unsigned int i;

	for (i = 1; i < nr && pym_frame_maybe_shared(pages[i]) == joint; i++)
		;
	return i;
}

static vm_fault_t insert(struct vm_area_struct *vma, unsigned long address,
			 struct page **pages, unsigned int locked)
{
	unsigned int nr = same_kind(pages, locked);

	if (vma->vm_ops == &window_vm_ops || pym_frame_maybe_shared(pages[0]))
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

	if (!READ_ONCE(sheap->heap.maybe_shared))
		return 0;
	hold_in_fault(vmf, &view);
	pym_service_follow(sheap);
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

static vm_fault_t window_fault(struct vm_fault *vmf)
{
	struct pym_service_heap *sheap = vmf->vma->vm_private_data;
	vm_fault_t result = 0;

	/* There was no memory for this child's heap. */
	if (!sheap)
		return VM_FAULT_SIGBUS;
	pym_service_meet(sheap);
	if (vmf->flags & FAULT_FLAG_WRITE)
		result = own_page(vmf);
	return result ?: map_pages(vmf, around(vmf));
}

/* A page that is mapped for reading is about to be written to. */
static vm_fault_t window_mkwrite(struct vm_fault *vmf)
{
	struct pym_service_heap *sheap = vmf->vma->vm_private_data;
	u64 offset = (u64)vmf->pgoff << PAGE_SHIFT;
	vm_fault_t result;

	pym_service_meet(sheap);
	result = own_page(vmf);
	if (result)
		return result;
	lock_page(vmf->page);
	if (!pym_pages_same(&sheap->heap, offset, &vmf->page, 1) ||
	    pym_frame_maybe_shared(vmf->page))
		/* It has been replaced: touch it again. */
		result = VM_FAULT_NOPAGE;
	else if (PageHWPoison(vmf->page))
		result = refuse_page(sheap, offset);
	else
		return VM_FAULT_LOCKED;
	unlock_page(vmf->page);
	return result;
}

/*
 * What a debugger reads where the memory management has found no page for it.  Where
 * there is none, it reads zero, as in a core: gdb's gcore leaves out the rest of a
 * mapping of which it cannot read a byte.
 */
static int window_access(struct vm_area_struct *vma, unsigned long address, void *buffer,
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

static vm_fault_t pool_map_fault(struct vm_fault *vmf)
{
	struct pym_service_heap *sheap = vmf->vma->vm_private_data;
	unsigned long number = vmf->pgoff - (PYMALLOC_POOL_MAP_OFFSET >> PAGE_SHIFT);
	vm_fault_t result = 0;

	if (!sheap)
		return VM_FAULT_SIGBUS;
	down_read(&sheap->map_gate);
	vmf->page = pym_pool_map_page(&sheap->heap, number);
	if (!vmf->page)
		result = pym_insert_zeroes(vmf->vma, vmf->address & PAGE_MASK);
	up_read(&sheap->map_gate);
	return result;
}

/* Nobody maps any page, nor can as long as the locks are held; see set_watched(). */
static void unmap_windows(struct pym_service_heap *sheap)
{
	struct vm_area_struct *vma;

	for (vma = next_mapping(sheap, 0); vma; vma = next_mapping(sheap, vma->vm_end))
		if (is_window(vma)) {
			set_watched(vma, true, sheap->scattered);
			pym_zap_range(vma, vma->vm_start, vma->vm_end - vma->vm_start);
		}
	sheap->watched = true;
}

/* No page is joint: windows need not ask any more. */
static void unwatch(struct pym_service_heap *sheap)
{
	struct vm_area_struct *vma;

	for (vma = next_mapping(sheap, 0); vma; vma = next_mapping(sheap, vma->vm_end))
		if (is_window(vma))
			set_watched(vma, false, false);
	sheap->watched = false;
}

/*
 * Looking at all pages costs as much as a fork().  So it is done when the heap is
 * used on for long without one, which pays for it.
 */
static void be_patient(struct pym_service_heap *sheap)
{
	atomic64_set(&sheap->patience, sheap->heap.nr_arenas + sheap->heap.nr_run_arenas);
}

static bool may_unwatch(struct pym_service_heap *sheap)
{
	return !READ_ONCE(sheap->heap.maybe_shared) ||
	       (pym_family_is_alone(sheap->family) &&
		atomic64_dec_return(&sheap->patience) < 0);
}

/**
 * pym_window_settle() - let the windows be as before fork(), if they can
 * @sheap: the caller's heap, which is about to allocate
 *
 * That is when no page is joint any more, or could be found not to be.
 *
 * Context: Sleeps.  Takes the mmap_lock for writing.
 */
void pym_window_settle(struct pym_service_heap *sheap)
{
	if (!READ_ONCE(sheap->watched) || !may_unwatch(sheap) ||
	    mmap_write_lock_killable(sheap->mm))
		return;
	if (READ_ONCE(sheap->heap.maybe_shared)) {
		unmap_windows(sheap);
		pym_pages_settle(&sheap->heap);
		be_patient(sheap);
	}
	/* Only who holds that lock can fork. */
	if (!READ_ONCE(sheap->heap.maybe_shared))
		unwatch(sheap);
	mmap_write_unlock(sheap->mm);
}

/* Does fork() leave a window to the child? */
static bool window_is_inherited(struct pym_service_heap *sheap)
{
	struct vm_area_struct *vma;

	for (vma = next_mapping(sheap, 0); vma; vma = next_mapping(sheap, vma->vm_end))
		if (is_window(vma) && !(vma->vm_flags & VM_DONTCOPY))
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

/*
 * A mapping that fork() has copied.  The child's other mappings cannot be looked
 * for: where its address space is not finished, it has its parent's.
 */
static void open_inherited(struct vm_area_struct *vma)
{
	struct pym_service_heap *sheap = vma->vm_private_data;
	struct pym_service_heap *child = inherit(sheap, vma->vm_mm);

	vma->vm_private_data = child;
	if (is_window(vma))
		set_watched(vma, true, sheap->scattered);
	else
		/* Whatever madvise() has said; what is copied already goes now. */
		vm_flags_set(vma, VM_WIPEONFORK);
	pym_zap_range(vma, vma->vm_start, vma->vm_end - vma->vm_start);
	if (!child)
		return;
	/* As those of its parent are, which it has all or some of. */
	child->scattered = sheap->scattered;
	count_mapping(child, vma);
}

/* A mapping is split, moved, or inherited. */
static void window_open(struct vm_area_struct *vma)
{
	struct pym_service_heap *sheap = vma->vm_private_data;

	if (!sheap)
		return;
	if (vma->vm_mm != sheap->mm) {
		open_inherited(vma);
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
	sheap->windows -= is_window(vma);
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
	struct pym_service_heap *sheap = pym_heap_enter(file);
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
