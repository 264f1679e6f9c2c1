/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Spares: larger objects that a thread has freed and keeps. */
#ifndef _SHIM_SPARE_H
#define _SHIM_SPARE_H

#include <stddef.h>

#pragma GCC visibility push(hidden)

void *shim_malloc_large(size_t size);
void shim_free_large(void *object);
void shim_free_spares(void);

#pragma GCC visibility pop

#endif /* _SHIM_SPARE_H */
