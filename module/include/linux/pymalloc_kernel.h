/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Heaps for other modules of the kernel: objects of 1 to 512 bytes.
 *
 * A module makes a heap of its own, allocates from it, and frees objects by address alone.
 * The heap has a name, a limit, and figures of its own; the memory cgroup of its maker pays
 * for its pages.  `pymalloc ls`, `show` and `map`, debugfs and the metrics show it as they
 * show the heaps of processes.
 *
 * Contexts: pymalloc_kheap_alloc*() and pymalloc_kheap_free*() may be called in process,
 * softirq and hardirq context, and with spinlocks held, but not in an NMI.  If the gfp flags
 * do not allow to block (GFP_ATOMIC, GFP_NOWAIT), nothing is waited for.  All others sleep.
 *
 * Frees are exact: what is not the start of an allocated object (a double free, a foreign
 * or a misaligned address) is refused, counted, and reported once, by a WARN; nothing changes.
 *
 * Documentation/kernel.rst tells more.
 */
#ifndef _LINUX_PYMALLOC_KERNEL_H
#define _LINUX_PYMALLOC_KERNEL_H

#include <linux/bits.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/types.h>

struct pymalloc_kheap;
struct pymalloc_kreserve;

/* The largest object, in bytes. */
#define PYMALLOC_KHEAP_MAX		512

/* pymalloc_kheap_args.flags */
#define PYMALLOC_KHEAP_CALLERS		BIT(0)	/* note who allocates: 8 bytes an object */
#define PYMALLOC_KHEAP_TYPESAFE		BIT(1)	/* as SLAB_TYPESAFE_BY_RCU */

/**
 * struct pymalloc_kheap_args - which heap is wanted
 * @name: what it is called: printable ASCII, up to 31 characters
 * @limit: most bytes of pages and metadata; 0 is the module's default (none, if that is 0)
 * @alignment: 8 or 16; 0 is 8
 * @flags: PYMALLOC_KHEAP_*
 * @object_size: 0 if sizes are mixed; else all objects have so many bytes
 * @ctor: called once for each object when its page comes to the heap, not at each allocation:
 *	who frees an object leaves it as @ctor has made it.  Needs @object_size; does not
 *	sleep.  May be NULL
 *
 * With PYMALLOC_KHEAP_TYPESAFE, which needs @object_size, the memory of a freed object stays
 * that of an object of this heap for at least a grace period of RCU: it may be allocated
 * again at once, but its page goes to nobody else.
 */
struct pymalloc_kheap_args {
	const char *name;
	u64 limit;
	unsigned int alignment;
	unsigned int flags;
	size_t object_size;
	void (*ctor)(void *object);
};

struct pymalloc_kheap *pymalloc_kheap_make_for(const struct pymalloc_kheap_args *args,
					       struct module *owner);

/* Make a heap of the calling module: see pymalloc_kheap_make_for(). */
#define pymalloc_kheap_make(args)	pymalloc_kheap_make_for(args, THIS_MODULE)

void *pymalloc_kheap_alloc(struct pymalloc_kheap *kheap, size_t size, gfp_t gfp);
unsigned int pymalloc_kheap_alloc_bulk(struct pymalloc_kheap *kheap, size_t size, gfp_t gfp,
				       unsigned int nr, void **objects);
void pymalloc_kheap_free(const void *object);
void pymalloc_kheap_free_bulk(unsigned int nr, void **objects);
void pymalloc_kheap_free_rcu(struct rcu_head *head);
size_t pymalloc_kheap_usable(const void *object);
unsigned long pymalloc_kheap_trim(struct pymalloc_kheap *kheap);
unsigned long pymalloc_kheap_shrink(struct pymalloc_kheap *kheap, unsigned long nr_pages);
unsigned long pymalloc_kheap_end(struct pymalloc_kheap *kheap);

struct pymalloc_kreserve *pymalloc_kreserve_make(struct pymalloc_kheap *kheap, size_t size,
						 unsigned int nr);
void *pymalloc_kreserve_alloc(struct pymalloc_kreserve *reserve);
void pymalloc_kreserve_end(struct pymalloc_kreserve *reserve);

/* A cleared object. */
static inline void *pymalloc_kheap_zalloc(struct pymalloc_kheap *kheap, size_t size, gfp_t gfp)
{
	return pymalloc_kheap_alloc(kheap, size, gfp | __GFP_ZERO);
}

/*
 * An object of the type that a variable, or a type's name, says: the pointer that is returned
 * has its type.  `struct point *p = pymalloc_kheap_alloc_obj(kheap, *p, GFP_KERNEL);`
 */
#define pymalloc_kheap_alloc_obj(kheap, variable_or_type, gfp)				\
	((typeof(variable_or_type) *)							\
	 pymalloc_kheap_alloc(kheap, sizeof(typeof(variable_or_type)), gfp))
#define pymalloc_kheap_zalloc_obj(kheap, variable_or_type, gfp)				\
	pymalloc_kheap_alloc_obj(kheap, variable_or_type, (gfp) | __GFP_ZERO)

#endif /* _LINUX_PYMALLOC_KERNEL_H */
