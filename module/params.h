/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The module's parameters.
 *
 * They change at any time through /sys/module/pymalloc/parameters/, so that they are
 * read with READ_ONCE(), once a call.
 */
#ifndef PYM_PARAMS_H
#define PYM_PARAMS_H

#include <linux/types.h>

extern unsigned long pym_default_limit;
extern unsigned long pym_default_window;
extern unsigned long pym_user_bytes;
extern unsigned int pym_user_heaps;
extern bool pym_check_at_end;
extern unsigned int pym_keep_dead;
extern unsigned long pym_dead_bytes;
extern unsigned long pym_mesh_bytes;

/**
 * struct pym_policy - how a heap gives memory back by itself
 * @decay_ms: milliseconds from a round of upkeep to the next
 * @off: PYMALLOC_POLICY_NO_*: what it does not do
 * @keep_bytes: bytes of empty pools that decay leaves
 */
struct pym_policy {
	u32 decay_ms;
	u32 off;
	u64 keep_bytes;
};

void pym_params_init(void);
bool pym_window_is_valid(u64 window);
bool pym_decay_is_valid(unsigned int ms);
struct pym_policy pym_default_policy(void);

#endif /* PYM_PARAMS_H */
