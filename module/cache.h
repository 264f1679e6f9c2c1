/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Caches: the pages in which threads keep their magazines.
 */
#ifndef PYM_CACHE_H
#define PYM_CACHE_H

#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/pymalloc.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct pid;
struct pym_service_heap;
struct vm_fault;

/**
 * struct pym_cache - one thread's cache of a heap
 * @owner: the thread that has made it; NULL in a child of fork() until it is used there
 * @parked: the header page has been unmapped, and nobody has touched it since.  Changes
 *	with that page locked
 * @emptied: all that can be taken has been taken since it was parked
 * @header: the header page
 * @slots: the slot pages; NULL where there is none
 */
struct pym_cache {
	struct pid *owner;
	bool parked;
	bool emptied;
	struct page *header;
	struct page *slots[PYMALLOC_CACHE_PAGES];
};

/**
 * struct pym_caches - the caches of a heap
 * @mutex: held to add caches and pages, to take them away, and to park and steal
 * @lock: held, with @mutex, to change @table and the pages of a cache; alone it is
 *	enough to look a page up
 * @table: the caches by index; NULL where there is none
 * @size: entries of @table
 * @nr: how many caches there are
 * @next: where the next round begins, modulo @size
 * @threads: threads of the process that have magazines, as the process says
 * @bytes_max: most bytes of blocks in the magazines of each of them
 */
struct pym_caches {
	/* Protects what follows up to @next against changes. */
	struct mutex mutex;
	/* With it, what is looked up: @table, and the pages of each cache. */
	spinlock_t lock;
	struct pym_cache **table;
	u32 size;
	u32 nr;
	u32 next;
	u64 threads;
	u64 bytes_max;
};

/* Where in the file a cache's header page is. */
static inline u64 pym_cache_header_offset(u32 index)
{
	return PYMALLOC_CACHES_OFFSET + (u64)index * PYMALLOC_POOL_SIZE;
}

/* Where in the file one of its slot pages is. */
static inline u64 pym_cache_slot_offset(u32 index, u32 number)
{
	return PYMALLOC_SLOTS_OFFSET +
	       ((u64)index * PYMALLOC_CACHE_PAGES + number) * PYMALLOC_POOL_SIZE;
}

/* Bytes of the file in which pages of caches may be. */
#define PYM_CACHES_BYTES	((u64)PYMALLOC_CACHES_MAX * (1 + PYMALLOC_CACHE_PAGES) * \
				 PYMALLOC_POOL_SIZE)

struct pym_caches *pym_caches_get(struct pym_service_heap *sheap);
void pym_caches_destroy(struct pym_service_heap *sheap);
struct pym_cache *pym_cache_find(const struct pym_caches *caches, u32 index);
int pym_cache_make(struct pym_service_heap *sheap, u32 index, u32 first, u32 count);
int pym_cache_add_slots(struct pym_service_heap *sheap, u32 index, u32 first, u32 count);
int pym_cache_copy(struct pym_service_heap *sheap, u32 index, const struct pym_cache *from);
struct pym_cache *pym_cache_unlink(struct pym_caches *caches, u32 index);
struct page *pym_cache_unlink_slots(struct pym_caches *caches, u32 index, u32 number);
void pym_cache_free(struct pym_service_heap *sheap, struct pym_cache *cache);
void pym_cache_free_page(struct pym_service_heap *sheap, struct page *page);
void pym_caches_tell(struct pym_service_heap *sheap, u32 generation);
vm_fault_t pym_cache_fault(struct vm_fault *vmf);

#endif /* PYM_CACHE_H */
