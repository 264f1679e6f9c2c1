/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Objects that are left in another module's heap: see kheap_leaks.c.
 */
#ifndef PYM_KHEAP_LEAKS_H
#define PYM_KHEAP_LEAKS_H

#include "kheap_types.h"

unsigned long pym_kheap_leaks(struct pymalloc_kheap *kheap, bool report);

#endif /* PYM_KHEAP_LEAKS_H */
