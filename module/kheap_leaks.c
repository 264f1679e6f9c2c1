// SPDX-License-Identifier: GPL-2.0
/*
 * Leaks: which objects another module's heap still has when it is to end.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bitops.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/rwsem.h>

#include "kheap_leaks.h"
#include "kheap_object.h"
#include "kpage.h"
#include "service_heap.h"

/* So many places that have allocated them are told apart. */
#define LEAK_SITES	16

/**
 * struct leak_site - objects that one place has allocated
 * @caller: the place; 0 is not known
 * @size: the bytes of each, with what their class rounds up
 * @nr: how many
 */
struct leak_site {
	unsigned long caller;
	u32 size;
	unsigned long nr;
};

/**
 * struct leaks - all that are left
 * @nr: how many
 * @others: those of @nr that are in no site
 * @sites: where they come from
 */
struct leaks {
	unsigned long nr;
	unsigned long others;
	struct leak_site sites[LEAK_SITES];
};

static void leaks_add(struct leaks *leaks, unsigned long caller, u32 size)
{
	struct leak_site *site = leaks->sites;

	leaks->nr++;
	for (; site < leaks->sites + LEAK_SITES; site++) {
		if (!site->nr)
			*site = (struct leak_site) { .caller = caller, .size = size };
		if (site->caller == caller && site->size == size) {
			site->nr++;
			return;
		}
	}
	leaks->others++;
}

static void leaks_add_pool(const struct pymalloc_kheap *kheap, const struct pym_pool *pool,
			   struct leaks *leaks)
{
	const struct pym_class *class = &kheap->heap->classes[pool->class];
	const void *start = page_address(pool->page);
	unsigned int index;

	for (index = 0; index < class->capacity; index++)
		if (!test_bit(index, pool->free))
			leaks_add(leaks, pym_kheap_caller(kheap, start + index * class->size,
							  pool->class), class->size);
}

/* Pools for which the window has no place (any more): their pages are linked. */
static void leaks_find_orphans(const struct pymalloc_kheap *kheap, struct leaks *leaks)
{
	const struct llist_node *node = READ_ONCE(kheap->orphans.first);

	for (; node; node = node->next)
		leaks_add_pool(kheap, pym_kpage_orphan(node), leaks);
}

static void leaks_find(struct pymalloc_kheap *kheap, struct leaks *leaks)
{
	struct pym_span span;
	struct pym_pool *pool;
	u64 offset;

	leaks_find_orphans(kheap, leaks);

	down_write(&kheap->heap->gate);
	pym_for_each_arena(span.arena, offset, kheap->heap) {
		span.bits = ~0ULL;
		pym_for_each_pool(pool, span)
			if (pym_class_is_of_blocks(pool->class))
				leaks_add_pool(kheap, pool, leaks);
	}
	up_write(&kheap->heap->gate);
}

static void leaks_report(const struct pymalloc_kheap *kheap, const struct leaks *leaks)
{
	const struct leak_site *site = leaks->sites;

	pr_err("heap %llu \"%s\" has ended with %lu objects in use; it stays until they are freed\n",
	       kheap->heap->id, kheap->sheap->name, leaks->nr);
	for (; site < leaks->sites + LEAK_SITES && site->nr; site++) {
		if (site->caller)
			pr_err("  %lu of %u bytes, allocated by %pS\n", site->nr, site->size,
			       (void *)site->caller);
		else
			pr_err("  %lu of %u bytes\n", site->nr, site->size);
	}
	if (leaks->others)
		pr_err("  %lu others\n", leaks->others);
}

/**
 * pym_kheap_leaks() - count the objects of a heap
 * @kheap: the heap; nobody allocates from it, and its work does not run, or calls this
 * @report: print what they are, and who has allocated them
 *
 * Context: Sleeps.  Takes the heap's gate for writing.
 * Return: how many there are.
 */
unsigned long pym_kheap_leaks(struct pymalloc_kheap *kheap, bool report)
{
	struct leaks leaks = {};

	leaks_find(kheap, &leaks);
	if (report && leaks.nr)
		leaks_report(kheap, &leaks);
	return leaks.nr;
}
