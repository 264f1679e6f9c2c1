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

void pym_params_init(void);
bool pym_window_is_valid(u64 window);

#endif /* PYM_PARAMS_H */
