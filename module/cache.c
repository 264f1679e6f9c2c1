// SPDX-License-Identifier: GPL-2.0
/*
 * Caches: the pages in which threads keep their magazines.
 *
 * A thread's cache is a header page, which says where in the slots each magazine begins
 * and ends, and slot pages.  The process writes to them as it likes: what they say is
 * only believed as far as the caller of pym_free_blocks() believes a ref.
 *
 * They belong to the heap, so that its memory can be found and taken back while the
 * thread sleeps: see steal.c.
 *
 * Lock order: mmap_lock, caches->mutex, page lock, caches->lock.  So nothing is charged
 * with the mutex: at its limit, a heap gives pages back, and needs its mmap_lock for that.
 */
#include <linux/err.h>
#include <linux/highmem.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/pid.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "cache.h"
#include "client.h"
#include "service_heap.h"
#include "upkeep.h"

/* What kmalloc() makes of a struct pym_cache and of a struct pym_caches. */
#define CACHE_BYTES	roundup_pow_of_two(sizeof(struct pym_cache))
#define CACHES_BYTES	roundup_pow_of_two(sizeof(struct pym_caches))
/* Entries of the first table, which doubles when it is full. */
#define TABLE_FIRST	16

static struct pym_caches *caches_new(void)
{
	struct pym_caches *caches = kzalloc(CACHES_BYTES, PYM_GFP);

	if (!caches)
		return NULL;
	mutex_init(&caches->mutex);
	spin_lock_init(&caches->lock);
	return caches;
}

/**
 * pym_caches_get() - the caches of a heap
 * @sheap: the heap, of the caller
 *
 * Makes the struct if there is none.
 *
 * Context: Sleeps.
 * Return: the caches; or -ENOMEM or -EDQUOT.
 */
struct pym_caches *pym_caches_get(struct pym_service_heap *sheap)
{
	/* Pairs with the cmpxchg below. */
	struct pym_caches *caches = smp_load_acquire(&sheap->caches);
	struct pym_caches *fresh;
	int err;

	if (caches)
		return caches;
	err = pym_heap_add_meta(&sheap->heap, CACHES_BYTES);
	if (err)
		return ERR_PTR(err);
	fresh = caches_new();
	if (fresh)
		caches = cmpxchg(&sheap->caches, NULL, fresh);
	if (fresh && !caches)
		return fresh;
	kfree(fresh);
	pym_heap_remove_meta(&sheap->heap, CACHES_BYTES);
	return caches ?: ERR_PTR(-ENOMEM);
}

static unsigned long table_bytes(u32 size)
{
	return size * sizeof(struct pym_cache *);
}

/* A table that may replace that of a heap. */
struct table {
	struct pym_cache **entries;
	u32 size;
};

/* Charge and allocate a table with an entry for a cache; an empty one if there is one. */
static int table_new(struct pym_service_heap *sheap, u32 index, struct table *table)
{
	u32 size = max_t(u32, roundup_pow_of_two(index + 1), TABLE_FIRST);
	int err;

	*table = (struct table) {};
	if (size <= READ_ONCE(sheap->caches->size))
		return 0;
	err = pym_heap_add_meta(&sheap->heap, table_bytes(size));
	if (err)
		return err;
	table->entries = kvzalloc(table_bytes(size), PYM_GFP);
	table->size = size;
	if (table->entries)
		return 0;
	pym_heap_remove_meta(&sheap->heap, table_bytes(size));
	return -ENOMEM;
}

static void table_free(struct pym_service_heap *sheap, struct table *table)
{
	kvfree(table->entries);
	pym_heap_remove_meta(&sheap->heap, table_bytes(table->size));
}

/* Replace the table of the caches if this one is larger; it becomes the one to be freed. */
static void table_use(struct pym_caches *caches, struct table *table)
{
	lockdep_assert_held(&caches->mutex);

	if (table->size <= caches->size)
		return;
	if (caches->size)
		memcpy(table->entries, caches->table, table_bytes(caches->size));
	spin_lock(&caches->lock);
	swap(table->entries, caches->table);
	swap(table->size, caches->size);
	spin_unlock(&caches->lock);
}

/**
 * pym_cache_find() - a cache by index
 * @caches: the caches
 * @index: any index
 *
 * Context: Holds @caches->mutex or @caches->lock.
 * Return: the cache, or NULL.
 */
struct pym_cache *pym_cache_find(const struct pym_caches *caches, u32 index)
{
	return index < caches->size ? caches->table[index] : NULL;
}

static struct page *cache_new_page(struct pym_service_heap *sheap)
{
	struct page *page;
	int err;

	err = pym_heap_add_meta(&sheap->heap, PAGE_SIZE);
	if (err)
		return ERR_PTR(err);
	page = alloc_page(PYM_GFP | __GFP_ZERO);
	if (page)
		return page;
	pym_heap_remove_meta(&sheap->heap, PAGE_SIZE);
	return ERR_PTR(-ENOMEM);
}

/**
 * pym_cache_free_page() - free a page of a cache
 * @sheap: the heap
 * @page: the page, which nobody can find any more, and which is not mapped; or NULL
 *
 * Context: Sleeps.
 */
void pym_cache_free_page(struct pym_service_heap *sheap, struct page *page)
{
	if (!page)
		return;
	put_page(page);
	pym_heap_remove_meta(&sheap->heap, PAGE_SIZE);
}

/**
 * pym_cache_free() - free a cache
 * @sheap: the heap
 * @cache: the cache, which nobody can find any more, and of which nothing is mapped
 *
 * Context: Sleeps.
 */
void pym_cache_free(struct pym_service_heap *sheap, struct pym_cache *cache)
{
	u32 i;

	for (i = 0; i < PYMALLOC_CACHE_PAGES; i++)
		pym_cache_free_page(sheap, cache->slots[i]);
	pym_cache_free_page(sheap, cache->header);
	put_pid(cache->owner);
	kfree(cache);
	pym_heap_remove_meta(&sheap->heap, CACHE_BYTES);
}

static struct pym_cache *cache_new(struct pym_service_heap *sheap)
{
	struct pym_cache *cache;
	int err;

	err = pym_heap_add_meta(&sheap->heap, CACHE_BYTES);
	if (err)
		return ERR_PTR(err);
	cache = kzalloc(sizeof(*cache), PYM_GFP);
	if (!cache) {
		pym_heap_remove_meta(&sheap->heap, CACHE_BYTES);
		return ERR_PTR(-ENOMEM);
	}
	cache->header = cache_new_page(sheap);
	if (!IS_ERR(cache->header))
		return cache;
	err = PTR_ERR(cache->header);
	cache->header = NULL;
	pym_cache_free(sheap, cache);
	return ERR_PTR(err);
}

/* Give a cache that nobody knows yet so many slot pages. */
static int cache_add_pages(struct pym_service_heap *sheap, struct pym_cache *cache, u32 first,
			   u32 count)
{
	struct page *page;

	for (; count; first++, count--) {
		page = cache_new_page(sheap);
		if (IS_ERR(page))
			return PTR_ERR(page);
		cache->slots[first] = page;
	}
	return 0;
}

static int cache_link(struct pym_caches *caches, u32 index, struct pym_cache *cache)
{
	lockdep_assert_held(&caches->mutex);

	if (pym_cache_find(caches, index))
		return -EEXIST;
	spin_lock(&caches->lock);
	caches->table[index] = cache;
	WRITE_ONCE(caches->nr, caches->nr + 1);
	spin_unlock(&caches->lock);
	return 0;
}

/*
 * Put a new cache into the table.  In fork() the mutex of the parent's caches is held, too:
 * then @depth is 1.
 */
static int cache_install(struct pym_service_heap *sheap, u32 index, struct pym_cache *cache,
			 unsigned int depth)
{
	struct pym_caches *caches = sheap->caches;
	struct table table;
	int err;

	err = table_new(sheap, index, &table);
	if (err)
		return err;
	mutex_lock_nested(&caches->mutex, depth);
	table_use(caches, &table);
	err = cache_link(caches, index, cache);
	mutex_unlock(&caches->mutex);
	table_free(sheap, &table);
	return err;
}

/**
 * pym_cache_make() - make a cache
 * @sheap: the heap, which has the struct for caches
 * @index: its index, below PYMALLOC_CACHES_MAX
 * @first: the first of its slot pages
 * @count: how many; the last one's number is below PYMALLOC_CACHE_PAGES
 *
 * Context: Sleeps.  Not with the mutex of the caches: a heap at its limit gives pages back,
 *	for which it needs the mmap_lock.
 * Return: 0; or -EEXIST, -ENOMEM or -EDQUOT.
 */
int pym_cache_make(struct pym_service_heap *sheap, u32 index, u32 first, u32 count)
{
	struct pym_cache *cache = cache_new(sheap);
	int err;

	if (IS_ERR(cache))
		return PTR_ERR(cache);
	cache->owner = get_pid(task_pid(current));
	err = cache_add_pages(sheap, cache, first, count);
	if (!err)
		err = cache_install(sheap, index, cache, 0);
	if (err)
		pym_cache_free(sheap, cache);
	return err;
}

/* Returns 0, -EEXIST if the cache has this slot page, or -ENOENT if there is no cache. */
static int slots_missing(struct pym_caches *caches, u32 index, u32 number)
{
	struct pym_cache *cache = pym_cache_find(caches, index);

	if (!cache)
		return -ENOENT;
	return cache->slots[number] ? -EEXIST : 0;
}

static int slots_look(struct pym_caches *caches, u32 index, u32 number)
{
	int err;

	spin_lock(&caches->lock);
	err = slots_missing(caches, index, number);
	spin_unlock(&caches->lock);
	return err;
}

static int slots_link(struct pym_caches *caches, u32 index, u32 number, struct page *page)
{
	int err;

	mutex_lock(&caches->mutex);
	spin_lock(&caches->lock);
	err = slots_missing(caches, index, number);
	if (!err)
		caches->table[index]->slots[number] = page;
	spin_unlock(&caches->lock);
	mutex_unlock(&caches->mutex);
	return err;
}

/* See that a cache has a slot page. */
static int cache_add_slots(struct pym_service_heap *sheap, u32 index, u32 number)
{
	int err = slots_look(sheap->caches, index, number);
	struct page *page;

	if (err)
		return err;
	page = cache_new_page(sheap);
	if (IS_ERR(page))
		return PTR_ERR(page);
	err = slots_link(sheap->caches, index, number, page);
	if (err)
		pym_cache_free_page(sheap, page);
	return err;
}

/**
 * pym_cache_add_slots() - see that a cache has slot pages
 * @sheap: the heap
 * @index: the cache's index
 * @first: the first of the pages
 * @count: how many; the last one's number is below PYMALLOC_CACHE_PAGES
 *
 * Context: As pym_cache_make().
 * Return: 0; or -ENOENT (no such cache), -ENOMEM or -EDQUOT: some may be there.
 */
int pym_cache_add_slots(struct pym_service_heap *sheap, u32 index, u32 first, u32 count)
{
	int err = slots_look(sheap->caches, index, 0);

	for (; count && (!err || err == -EEXIST); first++, count--)
		err = cache_add_slots(sheap, index, first);
	return err == -EEXIST ? 0 : err;
}

/* Copy the pages of a cache. */
static int cache_copy_pages(struct pym_service_heap *sheap, struct pym_cache *copy,
			    const struct pym_cache *from)
{
	u32 i;

	copy_highpage(copy->header, from->header);
	for (i = 0; i < PYMALLOC_CACHE_PAGES; i++) {
		struct page *page;

		if (!from->slots[i])
			continue;
		page = cache_new_page(sheap);
		if (IS_ERR(page))
			return PTR_ERR(page);
		copy_highpage(page, from->slots[i]);
		copy->slots[i] = page;
	}
	return 0;
}

/**
 * pym_cache_copy() - give the heap of a child a copy of a cache
 * @sheap: the child's heap, which nobody else knows yet
 * @index: the cache's index
 * @from: the parent's cache, of the thread that calls fork()
 *
 * Context: Sleeps.  Both address spaces are locked for writing.
 * Return: 0, or -ENOMEM.
 */
int pym_cache_copy(struct pym_service_heap *sheap, u32 index, const struct pym_cache *from)
{
	struct pym_caches *caches = pym_caches_get(sheap);
	struct pym_cache *copy;
	int err;

	if (IS_ERR(caches))
		return PTR_ERR(caches);
	copy = cache_new(sheap);
	if (IS_ERR(copy))
		return PTR_ERR(copy);
	err = cache_copy_pages(sheap, copy, from);
	if (!err)
		err = cache_install(sheap, index, copy, SINGLE_DEPTH_NESTING);
	if (err)
		pym_cache_free(sheap, copy);
	return err;
}

/**
 * pym_cache_unlink() - make a cache one that no fault finds
 * @caches: the caches
 * @index: the cache's index
 *
 * A fault that has found it before holds the lock of a page until that is mapped.
 *
 * Context: Holds the mutex of the caches.
 * Return: the cache, or NULL if there is none.
 */
struct pym_cache *pym_cache_unlink(struct pym_caches *caches, u32 index)
{
	struct pym_cache *cache = pym_cache_find(caches, index);

	if (!cache)
		return NULL;
	spin_lock(&caches->lock);
	caches->table[index] = NULL;
	WRITE_ONCE(caches->nr, caches->nr - 1);
	spin_unlock(&caches->lock);
	return cache;
}

/**
 * pym_cache_unlink_slots() - make a slot page one that no fault finds
 * @caches: the caches
 * @index: the cache's index
 * @number: the page's number, below PYMALLOC_CACHE_PAGES
 *
 * Context: As pym_cache_unlink().
 * Return: the page, or NULL if there is none.
 */
struct page *pym_cache_unlink_slots(struct pym_caches *caches, u32 index, u32 number)
{
	struct pym_cache *cache = pym_cache_find(caches, index);
	struct page *page;

	if (!cache)
		return NULL;
	spin_lock(&caches->lock);
	page = cache->slots[number];
	cache->slots[number] = NULL;
	spin_unlock(&caches->lock);
	return page;
}

/**
 * pym_caches_tell() - tell all threads that have a cache that the trace has been set
 * @sheap: the heap
 * @generation: that of struct pymalloc_trace
 *
 * Context: Sleeps.
 */
void pym_caches_tell(struct pym_service_heap *sheap, u32 generation)
{
	/* Pairs with pym_caches_get(). */
	struct pym_caches *caches = smp_load_acquire(&sheap->caches);
	struct pymalloc_cache_header *header;
	u32 i;

	if (!caches)
		return;
	mutex_lock(&caches->mutex);
	for (i = 0; i < caches->size; i++) {
		if (!caches->table[i] || PageHWPoison(caches->table[i]->header))
			continue;
		header = page_address(caches->table[i]->header);
		WRITE_ONCE(header->generation, generation);
	}
	mutex_unlock(&caches->mutex);
}

/**
 * pym_caches_destroy() - free the caches of a heap
 * @sheap: the heap, which nobody uses or maps any more
 *
 * Context: Sleeps.
 */
void pym_caches_destroy(struct pym_service_heap *sheap)
{
	struct pym_caches *caches = sheap->caches;
	u32 i;

	if (!caches)
		return;
	for (i = 0; i < caches->size; i++)
		if (caches->table[i])
			pym_cache_free(sheap, caches->table[i]);
	pym_heap_remove_meta(&sheap->heap, table_bytes(caches->size));
	kvfree(caches->table);
	pym_heap_remove_meta(&sheap->heap, CACHES_BYTES);
	sheap->caches = NULL;
	kfree(caches);
}

/* Where a page of the file is: in which cache, and which slot page; or the header. */
struct place {
	u32 index;
	u32 number;
	bool header;
};

static struct place fault_place(const struct vm_fault *vmf)
{
	unsigned long page = vmf->pgoff - (PYMALLOC_CACHES_OFFSET >> PAGE_SHIFT);

	if (page < PYMALLOC_CACHES_MAX)
		return (struct place) { .index = page, .header = true };
	page -= PYMALLOC_CACHES_MAX;
	return (struct place) {
		.index = page / PYMALLOC_CACHE_PAGES,
		.number = page % PYMALLOC_CACHE_PAGES,
	};
}

static struct page *page_at_locked(const struct pym_caches *caches, struct place place)
{
	const struct pym_cache *cache = pym_cache_find(caches, place.index);

	if (!cache)
		return NULL;
	return place.header ? cache->header : cache->slots[place.number];
}

/* The page with a reference, or NULL. */
static struct page *page_get(struct pym_caches *caches, struct place place)
{
	struct page *page;

	spin_lock(&caches->lock);
	page = page_at_locked(caches, place);
	if (page)
		get_page(page);
	spin_unlock(&caches->lock);
	return page;
}

/* The header page is about to be mapped, by a thread of the client or for another process. */
static void cache_unpark_locked(struct pym_cache *cache, const struct pym_client *client)
{
	WRITE_ONCE(cache->parked, false);
	WRITE_ONCE(cache->emptied, false);
	if (!cache->owner && current->mm == client->mm)
		cache->owner = get_pid(task_pid(current));
}

/* With the page locked: is it still where it was found?  Then it is about to be mapped. */
static bool page_recheck(struct pym_caches *caches, struct place place, struct page *page,
			 const struct pym_client *client)
{
	bool same;

	spin_lock(&caches->lock);
	same = page_at_locked(caches, place) == page;
	if (same && place.header)
		cache_unpark_locked(caches->table[place.index], client);
	spin_unlock(&caches->lock);
	return same;
}

/**
 * pym_cache_fault() - a page of a cache is not mapped: .fault
 * @vmf: the fault
 *
 * Waits, by the lock of the page, for whoever takes blocks from the cache.
 *
 * Context: As pym_fault().
 * Return: what the memory management expects.
 */
vm_fault_t pym_cache_fault(struct vm_fault *vmf)
{
	struct pym_client *client = vmf->vma->vm_private_data;
	struct place place = fault_place(vmf);
	struct pym_caches *caches;
	struct page *page = NULL;

	if (!client)
		return VM_FAULT_SIGBUS;
	pym_client_note_process(client);
	/* Pairs with pym_caches_get(). */
	caches = smp_load_acquire(&pym_client_heap(client)->caches);
	if (caches)
		page = page_get(caches, place);
	if (!page)
		return VM_FAULT_SIGBUS;
	lock_page(page);
	if (!page_recheck(caches, place, page, client)) {
		unlock_page(page);
		put_page(page);
		return VM_FAULT_NOPAGE;
	}
	/* A thread that goes on may soon have something again. */
	if (place.header)
		pym_upkeep_arm(pym_client_heap(client));
	vmf->page = page;
	return VM_FAULT_LOCKED;
}
