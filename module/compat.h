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

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
/* A mapping has no lock of its own yet. */
static inline void vma_start_write(struct vm_area_struct *vma) { }
#endif

/*
 * See to it that the first write to each page of a shared mapping faults.  Where
 * the kernel cannot do that, so does the first access.
 */
static inline void pym_protect_mapping(struct address_space *mapping, u64 offset, u64 bytes)
{
#ifdef CONFIG_MAPPING_DIRTY_HELPERS
	wp_shared_mapping_range(mapping, offset >> PAGE_SHIFT, bytes >> PAGE_SHIFT);
#else
	unmap_mapping_range(mapping, offset, bytes, 1);
#endif
}

#endif /* PYM_COMPAT_H */
