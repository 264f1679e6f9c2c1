/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ioctl about types of objects.
 */
#ifndef PYM_IOCTL_TYPES_H
#define PYM_IOCTL_TYPES_H

struct pym_call;

void pym_types_reset(struct pym_call *call);
int pym_types_ioctl(struct pym_call *call);

#endif /* PYM_IOCTL_TYPES_H */
