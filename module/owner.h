/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Heaps with an owner: how they are made, and how they end.
 */
#ifndef PYM_OWNER_H
#define PYM_OWNER_H

#include <linux/types.h>

struct mm_struct;
struct pym_service_heap;
struct pym_tenant_ops;
struct pymalloc_create;

int pym_owner_init(void);
void pym_owner_exit(void);
struct pym_service_heap *pym_service_create(struct pymalloc_create *create);
struct pym_service_heap *
pym_service_create_for_module(struct pymalloc_create *create,
			      const struct pym_tenant_ops *tenant,
			      void *tenancy, unsigned long bytes,
			      const char *module);
struct pym_service_heap *pym_service_clone(struct pym_service_heap *sheap,
					   struct mm_struct *mm);
bool pym_name_is_valid(const char *name);
void pym_service_end(struct pym_service_heap *sheap);

#endif /* PYM_OWNER_H */
