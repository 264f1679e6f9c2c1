/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Heaps of other modules: the structs.
 */
#ifndef PYM_KHEAP_TYPES_H
#define PYM_KHEAP_TYPES_H

#include <linux/list.h>
#include <linux/llist.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/pymalloc_kernel.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "core/core.h"

struct pym_service_heap;

/**
 * struct pym_kcpu - what a CPU has of a heap
 * @pools: of each class the pool that it allocates from; NULL is none
 * @allocs: of each class the objects allocated here so far
 * @frees: those freed here so far
 *
 * Any CPU may take a pool away by xchg().
 */
struct pym_kcpu {
	struct pym_pool *pools[PYMALLOC_NR_CLASSES + 1];
	u64 allocs[PYMALLOC_NR_CLASSES + 1];
	u64 frees[PYMALLOC_NR_CLASSES + 1];
};

/**
 * struct pym_kclass - one size class
 * @lock: protects the lists of its pools, see struct pym_klist, and a pool's tenancy
 *	against all changes but the one from PYM_KPOOL_HELD by who holds it
 * @inverse: as of struct pym_class; 0 for none
 * @end: where in a pool the last block ends
 */
struct pym_kclass {
	raw_spinlock_t lock;
	u32 inverse;
	u32 end;
};

/**
 * struct pym_klist - pools of one class and node that have a free block and are nobody's
 * @pools: those that were put here last serve first: they are likely to be the fullest
 * @nr: how many
 */
struct pym_klist {
	struct list_head pools;
	unsigned int nr;
};

/* pool->tenancy.  All from PYM_KPOOL_FULL on make a free take the slow path. */
#define PYM_KPOOL_HELD		0	/* of a CPU, of a reservation, or on its way */
#define PYM_KPOOL_LISTED	1	/* in a list of its class */
#define PYM_KPOOL_FULL		2	/* nobody's, and in no list: the next free puts it there */
#define PYM_KPOOL_CLOSED	3	/* about to be given back: no block is in use */

/**
 * struct pymalloc_kheap - a heap of another module
 * @cpu: what each CPU has of it
 * @add: what is added to the bytes asked for, and
 * @mask: how that is rounded to the size of a class
 * @plain: sizes up to this one need nothing else; 0 if all do: see @flags and @object_size
 * @ctor: as of struct pymalloc_kheap_args
 * @flags: PYMALLOC_KHEAP_*
 * @object_size: as of struct pymalloc_kheap_args
 * @sheap: its place among all heaps
 * @heap: the heap of the core, which gives pools and takes them back
 * @classes: the size classes
 * @lists: for each node and class the pools that are nobody's
 * @orphans: pools that have no place in the window yet, linked by the @private of their page
 * @nr_orphans: how many, those that are just being made included
 * @work: gives orphans a place, and pools without blocks back
 * @rcu: frees its memory when no bad free that has found it still looks at it
 * @ended: its module has ended it: a free does not begin the work any more
 * @owner: the module that it is one of
 * @of_owners: its place among the heaps that have not ended: see kheap.c
 * @leaky: it has ended with objects in use; the work lets it go after the last one
 */
struct pymalloc_kheap {
	struct pym_kcpu __percpu *cpu;
	u32 add;
	u32 mask;
	u32 plain;
	bool ended;
	bool leaky;
	u32 flags;
	void (*ctor)(void *object);
	size_t object_size;
	struct pym_service_heap *sheap;
	struct pym_heap *heap;
	struct pym_kclass classes[PYMALLOC_NR_CLASSES + 1];
	struct pym_klist *lists;
	struct llist_head orphans;
	atomic_t nr_orphans;
	struct delayed_work work;
	struct rcu_head rcu;
	struct module *owner;
	struct list_head of_owners;
};

#endif /* PYM_KHEAP_TYPES_H */
