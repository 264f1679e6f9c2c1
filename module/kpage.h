/* SPDX-License-Identifier: GPL-2.0 */
/*
 * From an address to the pool and the heap of another module.
 *
 * Of struct page, such a heap uses beside what the core does (core/frame.c)
 *
 *	lru.next	PYM_KPAGE_NAME: a heap of a module has the page
 *	lru.prev	its struct pym_pool
 *	index		its struct pymalloc_kheap
 *
 * All others who have a page either use these fields for lists, or leave them as the page
 * allocator's own lists have left them: so the name is found in no other page.  The name is
 * taken back before the page goes, and is looked at last: what was read before it was
 * right then.
 */
#ifndef PYM_KPAGE_H
#define PYM_KPAGE_H

#include <linux/mm.h>
#include <linux/uaccess.h>

#include "kheap_types.h"

extern const char pym_kpage_name[8];

#define PYM_KPAGE_NAME	((struct list_head *)pym_kpage_name)

static inline bool pym_kpage_is_named(const struct page *page)
{
	return READ_ONCE(page->lru.next) == PYM_KPAGE_NAME;
}

static inline void pym_kpage_unname(struct page *page)
{
	WRITE_ONCE(page->lru.next, NULL);
	/* Pairs with the barrier in pym_kpage_pool(). */
	smp_wmb();
}

static inline void pym_kpage_set_name(struct page *page, struct pymalloc_kheap *kheap,
				      struct pym_pool *pool)
{
	pym_kpage_unname(page);
	WRITE_ONCE(page->lru.prev, (struct list_head *)pool);
	WRITE_ONCE(page->index, (unsigned long)kheap);
	/* Pairs with the acquire in pym_kpage_pool(). */
	smp_store_release(&page->lru.next, PYM_KPAGE_NAME);
}

/* Where the page of a pool is linked that has no place in the window yet. */
static inline struct llist_node *pym_kpage_node(struct page *page)
{
	return (struct llist_node *)&page->private;
}

/* The page that is linked by this. */
static inline struct page *pym_kpage_of_node(const struct llist_node *node)
{
	return container_of((unsigned long *)node, struct page, private);
}

/* Its pool. */
static inline struct pym_pool *pym_kpage_orphan(const struct llist_node *node)
{
	return (struct pym_pool *)pym_kpage_of_node(node)->lru.prev;
}

/*
 * The page of an address in the kernel's map of all memory, or NULL if there is none, and what
 * may be its pool.  Where struct pages lie in an array with holes, a read in a hole fails.
 */
static __always_inline struct page *pym_kpage_find(const void *object, unsigned long *pool)
{
	struct page *page;

	if (unlikely((unsigned long)object < PAGE_OFFSET || object >= high_memory))
		return NULL;
#ifdef CONFIG_SPARSEMEM_VMEMMAP
	page = virt_to_page(object);
	__get_kernel_nofault(pool, &page->lru.prev, unsigned long, absent);
	return page;
absent:
	return NULL;
#else
	if (!pfn_valid(PHYS_PFN(__pa(object))))
		return NULL;
	page = virt_to_page(object);
	*pool = (unsigned long)READ_ONCE(page->lru.prev);
	return page;
#endif
}

/*
 * The pool of an address, which may be any, and its heap; or NULL if no heap of a module has its
 * page.
 *
 * Context: Under RCU, or with preemption off: the pool's record and the heap stay.
 */
static __always_inline struct pym_pool *
pym_kpage_pool(const void *object, struct pymalloc_kheap **kheap)
{
	unsigned long pool;
	struct page *page = pym_kpage_find(object, &pool);

	if (unlikely(!page))
		return NULL;
	*kheap = (struct pymalloc_kheap *)READ_ONCE(page->index);
	/* Pairs with the barriers above: what is read before the name is a pool, and its heap. */
	smp_rmb();
	return likely(pym_kpage_is_named(page)) ? (struct pym_pool *)pool : NULL;
}

#endif /* PYM_KPAGE_H */
