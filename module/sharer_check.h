/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The proof that counts are right: see sharer_check.c.
 */
#ifndef PYM_SHARER_CHECK_H
#define PYM_SHARER_CHECK_H

#include "core/check.h"

struct pym_service_heap;

int pym_sharer_check(struct pym_service_heap *sheap, struct pym_verdict *verdict);

#endif /* PYM_SHARER_CHECK_H */
