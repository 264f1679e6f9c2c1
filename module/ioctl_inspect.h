/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ioctls that look at a heap.
 */
#ifndef PYM_IOCTL_INSPECT_H
#define PYM_IOCTL_INSPECT_H

struct pym_call;
struct pym_service_heap;
struct pymalloc_list;

void pym_list_reset(struct pym_call *call);
int pym_list_check(const struct pymalloc_list *list);
int pym_list_entry(struct pymalloc_list *list, struct pym_service_heap *sheap);
int pym_list_ioctl(struct pym_call *call);
void pym_walk_reset(struct pym_call *call);
int pym_stats_ioctl(struct pym_call *call);
int pym_walk_ioctl(struct pym_call *call);
int pym_check_ioctl(struct pym_call *call);

#endif /* PYM_IOCTL_INSPECT_H */
