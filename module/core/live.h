/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The checker of a heap that is in use meanwhile: see live.c.
 */
#ifndef PYM_LIVE_H
#define PYM_LIVE_H

#include "check.h"

int pym_check_live(struct pym_heap *heap, struct pym_verdict *verdict);

#endif /* PYM_LIVE_H */
