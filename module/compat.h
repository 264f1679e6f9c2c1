/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Every difference between kernel versions, and nothing else.
 */
#ifndef PYM_COMPAT_H
#define PYM_COMPAT_H

#include <linux/mm.h>
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

#endif /* PYM_COMPAT_H */
