/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ioctls that look at a heap.
 */
#ifndef PYM_IOCTL_INSPECT_H
#define PYM_IOCTL_INSPECT_H

struct pym_call;

int pym_stats_ioctl(struct pym_call *call);
int pym_walk_ioctl(struct pym_call *call);
int pym_check_ioctl(struct pym_call *call);

#endif /* PYM_IOCTL_INSPECT_H */
