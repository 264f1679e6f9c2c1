/* SPDX-License-Identifier: GPL-2.0 */
/*
 * debugfs: the machine and its heaps as text.
 */
#ifndef PYM_DEBUGFS_H
#define PYM_DEBUGFS_H

struct pym_service_heap;

void pym_debugfs_init(void);
void pym_debugfs_exit(void);
void pym_debugfs_add(struct pym_service_heap *sheap);
void pym_debugfs_remove(struct pym_service_heap *sheap);

#endif /* PYM_DEBUGFS_H */
