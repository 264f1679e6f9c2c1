/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ioctls that control a heap.
 */
#ifndef PYM_IOCTL_CONTROL_H
#define PYM_IOCTL_CONTROL_H

struct pym_call;

/* What PYMALLOC_IOC_COMPACT can do. */
#define PYM_COMPACT_ALL	(PYMALLOC_COMPACT_STOCK | PYMALLOC_COMPACT_CACHES | \
			 PYMALLOC_COMPACT_MESH)

void pym_trim_reset(struct pym_call *call);
int pym_trim_ioctl(struct pym_call *call);
int pym_notify_ioctl(struct pym_call *call);
int pym_caches_ioctl(struct pym_call *call);
int pym_grow_ioctl(struct pym_call *call);
void pym_compact_reset(struct pym_call *call);
int pym_compact_ioctl(struct pym_call *call);
int pym_policy_ioctl(struct pym_call *call);
int pym_end_ioctl(struct pym_call *call);
int pym_seal_ioctl(struct pym_call *call);

#endif /* PYM_IOCTL_CONTROL_H */
