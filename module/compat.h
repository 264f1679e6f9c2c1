/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Every difference between kernel versions, and nothing else.
 */
#ifndef PYM_COMPAT_H
#define PYM_COMPAT_H

#include <linux/list_lru.h>
#include <linux/mm.h>
#include <linux/shrinker.h>
#include <linux/slab.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
static inline void vm_flags_set(struct vm_area_struct *vma, unsigned long flags)
{
	vma->vm_flags |= flags;
}

static inline void vm_flags_clear(struct vm_area_struct *vma, unsigned long flags)
{
	vma->vm_flags &= ~flags;
}
#endif

/* Take a part of a mapping out of the page tables. */
static inline void pym_zap_range(struct vm_area_struct *vma, unsigned long address,
				 unsigned long size)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
	zap_page_range(vma, address, size);
#else
	zap_page_range_single(vma, address, size, NULL);
#endif
}

/* Linux 6.5 has removed mmap_write_trylock(), for want of users.  It was this. */
static inline bool pym_mmap_write_trylock(struct mm_struct *mm)
{
	return down_write_trylock(&mm->mmap_lock);
}

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
/* Mappings have no locks of their own yet. */
static inline void vma_start_write(struct vm_area_struct *vma) { }
#endif

/* An object that was allocated with kmem_cache_alloc_lru(), and its memory cgroup's list. */
static inline void pym_list_lru_add(struct list_lru *lru, struct list_head *item)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
	list_lru_add(lru, item);
#else
	list_lru_add_obj(lru, item);
#endif
}

static inline void pym_list_lru_del(struct list_lru *lru, struct list_head *item)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
	list_lru_del(lru, item);
#else
	list_lru_del_obj(lru, item);
#endif
}

/* A shrinker.  Without @flags it is one of the whole machine.  Returns NULL without memory. */
static inline struct shrinker *
pym_shrinker_register(const char *name, unsigned int flags,
		      unsigned long (*count)(struct shrinker *, struct shrink_control *),
		      unsigned long (*scan)(struct shrinker *, struct shrink_control *))
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 7, 0)
	struct shrinker *shrinker = kzalloc(sizeof(*shrinker), GFP_KERNEL);
#else
	struct shrinker *shrinker = shrinker_alloc(flags, "%s", name);
#endif

	if (!shrinker)
		return NULL;
	shrinker->count_objects = count;
	shrinker->scan_objects = scan;
	shrinker->seeks = DEFAULT_SEEKS;
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 7, 0)
	shrinker->flags = flags;
	if (register_shrinker(shrinker, "%s", name)) {
		kfree(shrinker);
		return NULL;
	}
#else
	shrinker_register(shrinker);
#endif
	return shrinker;
}

static inline void pym_shrinker_unregister(struct shrinker *shrinker)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 7, 0)
	unregister_shrinker(shrinker);
	kfree(shrinker);
#else
	shrinker_free(shrinker);
#endif
}

#endif /* PYM_COMPAT_H */
