// SPDX-License-Identifier: GPL-2.0
/*
 * Sites: pages in which a heap's library says where its blocks were allocated, and how it
 * is asked to do so.
 *
 * The process writes to them through a mapping, as it likes, and so without a call.  Whoever
 * may open the heap gets copies of them.
 *
 * A thread may write when the pages are just being given back, and the child of a fork()
 * gets none of its parent's.  Neither may end it: where there is no page, a page of the
 * heap's is mapped that nobody reads.
 *
 * Lock order: mmap_lock, page lock, xa_lock.  The other lock is only for the settings.
 */
#include <linux/err.h>
#include <linux/highmem.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "client.h"
#include "service_heap.h"
#include "sites.h"

/* What kmalloc() makes of a struct pym_sites, and the page that comes with it. */
#define SITES_BYTES	(roundup_pow_of_two(sizeof(struct pym_sites)) + PAGE_SIZE)

/* Pages that one fault maps: those with the words of an arena, with an alignment of 16. */
#define FAULT_AROUND	16UL

static void sites_free(struct pym_sites *sites)
{
	if (sites && sites->sink)
		put_page(sites->sink);
	kfree(sites);
}

static struct pym_sites *sites_new(void)
{
	struct pym_sites *sites = kzalloc(sizeof(*sites), PYM_GFP);

	if (!sites)
		return NULL;
	sites->sink = alloc_page(PYM_GFP | __GFP_ZERO);
	if (!sites->sink) {
		sites_free(sites);
		return NULL;
	}
	xa_init_flags(&sites->pages, XA_FLAGS_ACCOUNT);
	mutex_init(&sites->lock);
	return sites;
}

/**
 * pym_sites_of() - the sites of a heap, if it has any
 * @sheap: the heap
 *
 * Context: Any.
 * Return: the sites, which stay as long as the heap; or NULL.
 */
struct pym_sites *pym_sites_of(struct pym_service_heap *sheap)
{
	/* Pairs with the cmpxchg in pym_sites_get(). */
	return smp_load_acquire(&sheap->sites);
}

/**
 * pym_sites_get() - the sites of a heap
 * @sheap: the heap
 *
 * Makes the struct if there is none.
 *
 * Context: Sleeps.
 * Return: the sites; or -ENOMEM or -EDQUOT.
 */
struct pym_sites *pym_sites_get(struct pym_service_heap *sheap)
{
	struct pym_sites *sites = pym_sites_of(sheap), *fresh;
	int err;

	if (sites)
		return sites;
	err = pym_heap_add_meta(&sheap->heap, SITES_BYTES);
	if (err)
		return ERR_PTR(err);
	fresh = sites_new();
	if (fresh)
		sites = cmpxchg(&sheap->sites, NULL, fresh);
	if (fresh && !sites)
		return fresh;
	sites_free(fresh);
	pym_heap_remove_meta(&sheap->heap, SITES_BYTES);
	return sites ?: ERR_PTR(-ENOMEM);
}

/**
 * pym_sites_page() - a page of sites
 * @sites: the sites
 * @number: its number in the file, from PYMALLOC_SITES_OFFSET on
 *
 * Context: Any that may take the lock.
 * Return: the page with a reference; or NULL.
 */
struct page *pym_sites_page(struct pym_sites *sites, unsigned long number)
{
	struct page *page;

	xa_lock(&sites->pages);
	page = xa_load(&sites->pages, number);
	if (page)
		get_page(page);
	xa_unlock(&sites->pages);
	return page;
}

static void sites_free_page(struct pym_service_heap *sheap, struct page *page)
{
	put_page(page);
	pym_heap_remove_meta(&sheap->heap, PAGE_SIZE);
}

/* The process may be writing it. */
static u32 sites_word(struct page *page, unsigned int offset)
{
	const char *memory = kmap_local_page(page);
	u32 word = READ_ONCE(*(const u32 *)(memory + offset));

	kunmap_local(memory);
	return word;
}

/* Returns 0 if the page is there now, whoever has added it. */
static int sites_add_page(struct pym_service_heap *sheap, unsigned long number)
{
	struct pym_sites *sites = sheap->sites;
	struct page *page;
	int err;

	if (xa_load(&sites->pages, number))
		return 0;
	err = pym_heap_add_meta(&sheap->heap, PAGE_SIZE);
	if (err)
		return err;
	page = alloc_page(PYM_GFP | __GFP_ZERO);
	if (!page) {
		pym_heap_remove_meta(&sheap->heap, PAGE_SIZE);
		return -ENOMEM;
	}
	err = xa_insert(&sites->pages, number, page, PYM_GFP);
	if (err)
		sites_free_page(sheap, page);
	return err == -EBUSY ? 0 : err;
}

/**
 * pym_sites_add() - see that there are pages of sites
 * @sheap: the heap, which has the struct for sites
 * @first: the first of the pages
 * @nr: how many
 * @done: out: how many are there, from the first one on
 *
 * Where the sink is mapped it stays so: see pym_sites_sunk().
 *
 * Context: Sleeps.
 * Return: 0; or -ENOMEM, -EDQUOT or -EINTR.
 */
int pym_sites_add(struct pym_service_heap *sheap, unsigned long first, unsigned long nr,
		  unsigned long *done)
{
	int err = 0;

	for (*done = 0; *done < nr && !err; *done += !err) {
		if (*done && signal_pending(current))
			return -EINTR;
		err = sites_add_page(sheap, first + *done);
		cond_resched();
	}
	return err;
}

/**
 * pym_sites_label() - add to blocks their words
 * @sites: the sites
 * @alignment: that of the heap
 * @blocks: the blocks, in the order of their refs
 * @nr: how many
 *
 * Context: Sleeps.
 */
void pym_sites_label(struct pym_sites *sites, u32 alignment, struct pym_block_info *blocks,
		     unsigned int nr)
{
	u32 unit = READ_ONCE(sites->pool_words) ? PYMALLOC_POOL_SIZE : alignment;
	unsigned long number = 0, wanted;
	struct page *page = NULL;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		u64 offset = PYMALLOC_WORDS_OFFSET - PYMALLOC_SITES_OFFSET +
			     blocks[i].ref / unit * sizeof(u32);

		wanted = offset >> PAGE_SHIFT;
		if (!i || wanted != number) {
			if (page)
				put_page(page);
			page = pym_sites_page(sites, wanted);
			number = wanted;
		}
		blocks[i].site = page ? sites_word(page, offset_in_page(offset)) : 0;
	}
	if (page)
		put_page(page);
}

/**
 * pym_sites_sunk() - may the sink be mapped where there are pages now?
 * @sites: the sites
 *
 * Waits for faults that have found no page and are about to map the sink.
 *
 * Context: Sleeps.
 * Return: true if so.
 */
bool pym_sites_sunk(struct pym_sites *sites)
{
	wait_on_page_locked(sites->sink);
	return READ_ONCE(sites->sunk);
}

/**
 * pym_sites_unlink() - make all pages ones that no fault finds
 * @sites: the sites
 * @gone: out: a list of the pages
 *
 * When it returns, no fault that has found one before can still map it.
 *
 * Context: Sleeps.
 */
void pym_sites_unlink(struct pym_sites *sites, struct list_head *gone)
{
	unsigned long number;
	struct page *page;

	xa_for_each(&sites->pages, number, page) {
		/* Somebody else may be doing the same. */
		if (!xa_erase(&sites->pages, number))
			continue;
		wait_on_page_locked(page);
		list_add(&page->lru, gone);
		cond_resched();
	}
}

/**
 * pym_sites_free_pages() - free pages that are not mapped
 * @sheap: the heap
 * @gone: what pym_sites_unlink() has made
 *
 * Context: Sleeps.
 */
void pym_sites_free_pages(struct pym_service_heap *sheap, struct list_head *gone)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, gone, lru) {
		list_del(&page->lru);
		sites_free_page(sheap, page);
		cond_resched();
	}
}

/**
 * pym_sites_clone() - give the heap of a child the settings of its parent's
 * @sheap: the parent's heap
 * @child: the child's heap, which nobody else knows yet
 *
 * The child has no sites yet.  Its generation is another one, so that its library begins
 * anew.
 *
 * Context: Sleeps.  Both address spaces are locked for writing.
 * Return: 0 or -ENOMEM.
 */
int pym_sites_clone(struct pym_service_heap *sheap, struct pym_service_heap *child)
{
	struct pym_sites *sites = pym_sites_of(sheap), *copy;

	if (!sites)
		return 0;
	/* As in the rest of fork(), no limit makes it fail. */
	child->heap.cloning = true;
	copy = pym_sites_get(child);
	child->heap.cloning = false;
	if (IS_ERR(copy))
		return PTR_ERR(copy);
	mutex_lock(&sites->lock);
	copy->mode = sites->mode;
	copy->python_frames = sites->python_frames;
	copy->native_frames = sites->native_frames;
	copy->interval = sites->interval;
	copy->generation = sites->generation + 1;
	mutex_unlock(&sites->lock);
	return 0;
}

/**
 * pym_sites_destroy() - free the sites of a heap
 * @sheap: the heap, which nobody uses or maps any more
 *
 * What is charged for them is not given back here, but with all that the heap is charged for.
 *
 * Context: Any process, also in memory reclaim.
 */
void pym_sites_destroy(struct pym_service_heap *sheap)
{
	struct pym_sites *sites = sheap->sites;
	unsigned long number;
	struct page *page;

	if (!sites)
		return;
	xa_for_each(&sites->pages, number, page)
		put_page(page);
	xa_destroy(&sites->pages);
	sheap->sites = NULL;
	sites_free(sites);
}

/* The page that is to be mapped, with a reference. */
static struct page *fault_page(struct pym_sites *sites, unsigned long number)
{
	struct page *page = pym_sites_page(sites, number);

	if (page)
		return page;
	WRITE_ONCE(sites->sunk, true);
	get_page(sites->sink);
	return sites->sink;
}

/* Map a page with a reference if it is still where it was found; put it. */
static vm_fault_t fault_map(struct vm_fault *vmf, struct pym_sites *sites,
			    unsigned long number, unsigned long address, struct page *page)
{
	vm_fault_t result = VM_FAULT_NOPAGE;
	int err;

	if ((xa_load(&sites->pages, number) ?: sites->sink) == page) {
		err = vm_insert_page(vmf->vma, address, page);
		if (err && err != -EBUSY)
			result = VM_FAULT_SIGBUS;
	}
	unlock_page(page);
	put_page(page);
	return result;
}

/*
 * Map the pages that lie around, in the same arena's worth of words.  Those that are locked
 * are left out: they are just being taken away, or mapped by somebody else.
 */
static void fault_around(struct vm_fault *vmf, struct pym_sites *sites, unsigned long number)
{
	unsigned long first = round_down(number, FAULT_AROUND), i, address;
	struct page *page;

	for (i = first; i < first + FAULT_AROUND; i++) {
		address = (vmf->address & PAGE_MASK) + ((i - number) << PAGE_SHIFT);
		if (i == number || address < vmf->vma->vm_start || address >= vmf->vma->vm_end)
			continue;
		page = pym_sites_page(sites, i);
		if (!page)
			continue;
		if (trylock_page(page))
			fault_map(vmf, sites, i, address, page);
		else
			put_page(page);
	}
}

/**
 * pym_sites_fault() - a page of sites is not mapped: .fault
 * @vmf: the fault
 *
 * Context: As pym_fault().
 * Return: what the memory management expects.
 */
vm_fault_t pym_sites_fault(struct vm_fault *vmf)
{
	unsigned long number = vmf->pgoff - (PYMALLOC_SITES_OFFSET >> PAGE_SHIFT);
	struct pym_client *client = vmf->vma->vm_private_data;
	struct pym_sites *sites;
	vm_fault_t result;
	struct page *page;

	sites = client ? pym_sites_of(pym_client_heap(client)) : NULL;
	if (!sites)
		return VM_FAULT_SIGBUS;
	pym_client_note_process(client);
	page = fault_page(sites, number);
	lock_page(page);
	result = fault_map(vmf, sites, number, vmf->address & PAGE_MASK, page);
	if (result == VM_FAULT_NOPAGE)
		fault_around(vmf, sites, number);
	return result;
}
