/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ioctls that move objects.
 */
#ifndef PYM_IOCTL_OBJECT_H
#define PYM_IOCTL_OBJECT_H

#include <linux/pymalloc.h>

struct pym_call;

/* What pymalloc_alloc.flags may have. */
#define PYM_ALLOC_FLAGS	(PYMALLOC_ALLOC_ZERO | PYMALLOC_ALLOC_PINNED | PYMALLOC_ALLOC_TYPE_MASK)

void pym_alloc_reset(struct pym_call *call);
void pym_free_reset(struct pym_call *call);
void pym_usable_reset(struct pym_call *call);
int pym_alloc_ioctl(struct pym_call *call);
int pym_free_ioctl(struct pym_call *call);
int pym_free_until_bad_ref(struct pym_call *call);
int pym_usable_ioctl(struct pym_call *call);
int pym_resize_ioctl(struct pym_call *call);

#endif /* PYM_IOCTL_OBJECT_H */
