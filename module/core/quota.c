// SPDX-License-Identifier: GPL-2.0
/*
 * Quotas: so many pages and no more.
 */
#include <linux/errno.h>

#include "core.h"

/**
 * pym_quota_charge() - take pages from a quota
 * @quota: the quota; NULL is one without a limit
 * @pages: how many
 *
 * Context: Any.
 * Return: 0, or -EDQUOT and nothing is charged.
 */
int pym_quota_charge(struct pym_quota *quota, unsigned long pages)
{
	unsigned long max;

	if (!quota)
		return 0;
	max = READ_ONCE(*quota->max);
	if (atomic_long_add_return(pages, &quota->used) > max >> PYM_POOL_SHIFT && max) {
		atomic_long_sub(pages, &quota->used);
		return -EDQUOT;
	}
	return 0;
}

/**
 * pym_quota_force() - take pages from a quota, beyond its limit, too
 * @quota: the quota; NULL is one without a limit
 * @pages: how many
 *
 * For what cannot be refused any more: a write to memory that a process has.
 *
 * Context: Any.
 */
void pym_quota_force(struct pym_quota *quota, unsigned long pages)
{
	if (quota)
		atomic_long_add(pages, &quota->used);
}

/**
 * pym_quota_uncharge() - give pages back to a quota
 * @quota: the quota; NULL is one without a limit
 * @pages: how many
 *
 * Context: Any.
 */
void pym_quota_uncharge(struct pym_quota *quota, unsigned long pages)
{
	if (quota)
		atomic_long_sub(pages, &quota->used);
}
