/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Mappings of a shared heap: see shared_window.c.
 */
#ifndef PYM_SHARED_WINDOW_H
#define PYM_SHARED_WINDOW_H

#include <linux/types.h>

struct pym_heap_ops;
struct pym_service_heap;
struct vm_area_struct;

extern const struct pym_heap_ops pym_shared_heap_ops;

int pym_shared_mmap(struct pym_service_heap *sheap, struct vm_area_struct *vma, bool may_write);
struct pym_service_heap *pym_shared_find(u64 address);

#endif /* PYM_SHARED_WINDOW_H */
