/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Out of memory: before the machine kills a process, heaps give back what they can.
 */
#ifndef PYM_OOM_H
#define PYM_OOM_H

int pym_oom_init(void);
void pym_oom_exit(void);

#endif /* PYM_OOM_H */
