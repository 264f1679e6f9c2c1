/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ioctls that control a heap.
 */
#ifndef PYM_IOCTL_CONTROL_H
#define PYM_IOCTL_CONTROL_H

struct pym_call;

int pym_trim_ioctl(struct pym_call *call);
int pym_notify_ioctl(struct pym_call *call);
int pym_caches_ioctl(struct pym_call *call);
int pym_grow_ioctl(struct pym_call *call);
int pym_end_ioctl(struct pym_call *call);

#endif /* PYM_IOCTL_CONTROL_H */
