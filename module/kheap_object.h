/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Objects of other modules' heaps: see kheap_object.c.
 */
#ifndef PYM_KHEAP_OBJECT_H
#define PYM_KHEAP_OBJECT_H

#include "kheap_types.h"

void pym_kheap_finish(const struct pymalloc_kheap *kheap, void *object, u32 number, gfp_t gfp,
		      unsigned long caller);
unsigned long pym_kheap_caller(const struct pymalloc_kheap *kheap, const void *object, u32 number);
u32 pym_kheap_number(const struct pymalloc_kheap *kheap, size_t size);

#endif /* PYM_KHEAP_OBJECT_H */
