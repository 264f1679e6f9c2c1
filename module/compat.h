/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Every difference between kernel versions, and nothing else.
 */
#ifndef PYM_COMPAT_H
#define PYM_COMPAT_H

#include <linux/mm.h>
#include <linux/pfn_t.h>
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

/*
 * Map the machine's own page of zeroes, without a reference to it: a process can map it
 * at any number of addresses, and its count could overflow.  vm_insert_page() takes a
 * reference before Linux 6.12.
 */
static inline vm_fault_t pym_insert_zeroes(struct vm_area_struct *vma, unsigned long address)
{
	return vmf_insert_mixed(vma, address, pfn_to_pfn_t(my_zero_pfn(address)));
}

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
/* Mappings have no locks of their own yet. */
#define FAULT_FLAG_VMA_LOCK	0

static inline void vma_start_write(struct vm_area_struct *vma) { }
static inline void vma_end_read(struct vm_area_struct *vma) { }
#endif

#endif /* PYM_COMPAT_H */
