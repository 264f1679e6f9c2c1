/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* MALLOC_PERTURB_ in the environment. */
#ifndef _SHIM_PERTURB_H
#define _SHIM_PERTURB_H

#include "shim.h"

#pragma GCC visibility push(hidden)

extern __u8 shim_perturb;

void shim_perturb_choose(void);
void *shim_perturb_malloc(size_t size);
void shim_perturb_free(void *object);

#pragma GCC visibility pop

#endif /* _SHIM_PERTURB_H */
