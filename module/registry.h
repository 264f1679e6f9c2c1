/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The registry: all heaps of the machine by number.
 */
#ifndef PYM_REGISTRY_H
#define PYM_REGISTRY_H

#include <linux/types.h>

struct pym_service_heap;

typedef int (*pym_charged_fn)(struct pym_service_heap *sheap, void *args);

int pym_registry_reserve(struct pym_service_heap *sheap);
void pym_registry_cancel(struct pym_service_heap *sheap);
void pym_registry_add(struct pym_service_heap *sheap);
void pym_registry_remove(struct pym_service_heap *sheap);
void pym_registry_exit(void);
void pym_registry_bury(void);
int pym_registry_charge(struct pym_service_heap *sheap, pym_charged_fn work, void *args);
unsigned long pym_registry_count(void);
u64 pym_registry_sum(u64 (*figure)(struct pym_service_heap *sheap));
struct pym_service_heap *pym_registry_find(u64 id);
struct pym_service_heap *pym_registry_next(u64 after);

#endif /* PYM_REGISTRY_H */
