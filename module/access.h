/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who may look at another process's heap, and how a heap is shown.
 */
#ifndef PYM_ACCESS_H
#define PYM_ACCESS_H

#include <linux/sched.h>
#include <linux/types.h>

struct pym_service_heap;
struct pymalloc_heap_info;

/* Bytes of a command's name when it is shown: each byte may become four, as \ooo. */
#define PYM_SHOWN_COMM	(4 * TASK_COMM_LEN)

bool pym_may_look(const struct pym_service_heap *sheap);
void pym_access_bury(struct pym_service_heap *sheap);
bool pym_may_look_at_dead(const struct pym_service_heap *sheap);
bool pym_may_list(const struct pym_service_heap *sheap);
int pym_show_heap(struct pym_service_heap *sheap, struct pymalloc_heap_info *info);
void pym_show_comm(char shown[PYM_SHOWN_COMM], const char *comm);

#endif /* PYM_ACCESS_H */
