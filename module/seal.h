/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sealed heaps.
 */
#ifndef PYM_SEAL_H
#define PYM_SEAL_H

struct pym_service_heap;

int pym_seal(struct pym_service_heap *sheap);

#endif /* PYM_SEAL_H */
