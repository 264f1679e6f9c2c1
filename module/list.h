/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Lists of heaps.
 */
#ifndef PYM_LIST_H
#define PYM_LIST_H

struct pym_service_heap;
struct pymalloc_list;

int pym_list_entry(struct pymalloc_list *list, struct pym_service_heap *sheap);
int pym_list_check(const struct pymalloc_list *list);

#endif /* PYM_LIST_H */
