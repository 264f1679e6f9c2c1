/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ioctls about traces and sites.
 */
#ifndef PYM_IOCTL_SITES_H
#define PYM_IOCTL_SITES_H

struct pym_call;

int pym_trace_ioctl(struct pym_call *call);
void pym_sites_reset(struct pym_call *call);
int pym_sites_ioctl(struct pym_call *call);

#endif /* PYM_IOCTL_SITES_H */
