/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Heaps of other modules: what is left when one goes.
 */
#ifndef PYM_KHEAP_H
#define PYM_KHEAP_H

int pym_kheap_init(void);
void pym_kheap_exit(void);

#endif /* PYM_KHEAP_H */
