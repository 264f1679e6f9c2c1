/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ioctls that are about who needs which block of a shared heap.
 */
#ifndef PYM_IOCTL_REFS_H
#define PYM_IOCTL_REFS_H

#include <linux/types.h>

struct file;
struct pym_call;
struct pym_service_heap;

void pym_holds_reset(struct pym_call *call);
void pym_clients_reset(struct pym_call *call);
int pym_holds_ioctl(struct pym_call *call);
int pym_roots_ioctl(struct pym_call *call);
int pym_clients_ioctl(struct pym_call *call);
ssize_t pym_inbox_read(struct file *file, struct pym_service_heap *sheap, char __user *buffer,
		       size_t bytes);

#endif /* PYM_IOCTL_REFS_H */
