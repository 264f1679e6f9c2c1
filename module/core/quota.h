/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Quotas: see quota.c.
 */
#ifndef PYM_QUOTA_H
#define PYM_QUOTA_H

#include <linux/errno.h>

#include "types.h"

/* Pages that a quota has been charged. */
static inline unsigned long pym_quota_pages(const struct pym_quota *quota)
{
	return (atomic_long_read(&quota->used) - atomic_long_read(&quota->meta)) >> PYM_POOL_SHIFT;
}

/*
 * May an allocation have failed because of a limit?  -ENOSPC is none: the process can have
 * more of the window.
 */
static inline bool pym_error_is_limit(int err)
{
	return err == -ENOMEM || err == -EDQUOT;
}

int pym_quota_charge(struct pym_quota *quota, unsigned long bytes);
void pym_quota_force(struct pym_quota *quota, unsigned long bytes);
void pym_quota_uncharge(struct pym_quota *quota, unsigned long bytes);
void pym_quota_move_meta(struct pym_quota *from, struct pym_quota *to, unsigned long bytes);
int pym_pages_charge(struct pym_heap *heap, unsigned int nr);
void pym_pages_uncharge(struct pym_heap *heap, unsigned int nr);
void pym_pages_force(struct pym_heap *heap, unsigned int nr);
void pym_meta_force(struct pym_heap *heap, unsigned long bytes);
int pym_meta_charge(struct pym_heap *heap, unsigned long bytes);
void pym_meta_uncharge(struct pym_heap *heap, unsigned long bytes);

#endif /* PYM_QUOTA_H */
