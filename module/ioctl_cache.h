/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ioctl about the caches of threads.
 */
#ifndef PYM_IOCTL_CACHE_H
#define PYM_IOCTL_CACHE_H

struct pym_call;

void pym_cache_reset(struct pym_call *call);
int pym_cache_ioctl(struct pym_call *call);

#endif /* PYM_IOCTL_CACHE_H */
