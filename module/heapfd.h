/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A heap's descriptor.
 */
#ifndef PYM_HEAPFD_H
#define PYM_HEAPFD_H

#include <linux/types.h>

struct file;
struct pym_service_heap;

struct file *pym_heapfd_open(struct pym_service_heap *sheap, bool read_only);
struct file *pym_heapfd_open_dead(u64 id);

#endif /* PYM_HEAPFD_H */
