/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The shrinker: heaps give memory back when the machine is short of it.
 */
#ifndef PYM_SHRINKER_H
#define PYM_SHRINKER_H

int pym_shrinker_init(void);
void pym_shrinker_exit(void);
void pym_shrinker_urge(void);

#endif /* PYM_SHRINKER_H */
