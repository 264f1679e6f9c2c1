/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Faults in a heap's mappings.
 */
#ifndef PYM_FAULT_H
#define PYM_FAULT_H

#include <linux/mm_types.h>

struct pym_service_heap;
struct vm_fault;

vm_fault_t pym_fault(struct vm_fault *vmf);
vm_fault_t pym_fault_mkwrite(struct vm_fault *vmf);
vm_fault_t pym_fault_pool_map(struct vm_fault *vmf);
vm_fault_t pym_fault_window(struct vm_fault *vmf, struct pym_service_heap *sheap);
vm_fault_t pym_fault_zeroes(struct vm_fault *vmf, struct pym_service_heap *sheap);
int pym_fault_read(struct pym_service_heap *sheap, struct vm_area_struct *vma,
		   unsigned long address, void *buffer, int bytes, int write);
int pym_fault_access(struct vm_area_struct *vma, unsigned long address, void *buffer,
		     int bytes, int write);

#endif /* PYM_FAULT_H */
