/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Upkeep: when a heap is looked after.
 */
#ifndef PYM_UPKEEP_H
#define PYM_UPKEEP_H

#include "params.h"
#include "service_heap.h"

int pym_upkeep_init(void (*round)(struct pym_service_heap *sheap, bool urgent));
void pym_upkeep_exit(void);
int pym_upkeep_create(struct pym_service_heap *sheap);
void pym_upkeep_inherit(struct pym_service_heap *child, struct pym_service_heap *sheap);
void pym_upkeep_cancel(struct pym_service_heap *sheap);
void pym_upkeep_free(struct pym_service_heap *sheap);
void pym_upkeep_arm_slow(struct pym_service_heap *sheap);
void pym_upkeep_urge(struct pym_service_heap *sheap);
bool pym_upkeep_is_urgent(void);
bool pym_upkeep_is_current(void);
struct pym_policy pym_upkeep_policy(struct pym_service_heap *sheap);
void pym_upkeep_set_policy(struct pym_service_heap *sheap, const struct pym_policy *policy);

/**
 * pym_upkeep_arm() - have a round of upkeep begin after the heap's interval
 * @sheap: the heap; the caller has a reference
 *
 * To be called when something has changed that may let the heap give memory back.  An
 * idle heap that has nothing to give has no rounds.
 *
 * Context: Any but interrupts.
 */
static inline void pym_upkeep_arm(struct pym_service_heap *sheap)
{
	/* Pairs with the barrier in upkeep_work(): if that misses the change, this arms. */
	smp_mb();
	if (!READ_ONCE(sheap->upkeep->armed))
		pym_upkeep_arm_slow(sheap);
}

#endif /* PYM_UPKEEP_H */
