/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The slow paths of malloc() and free(). */
#ifndef _SHIM_SLOW_H
#define _SHIM_SLOW_H

#include <stddef.h>

#pragma GCC visibility push(hidden)

void *shim_malloc_slow(size_t size, size_t alignment);
void *shim_malloc_elsewhere(size_t class_size);
void shim_free_slow(void *object);

#pragma GCC visibility pop

#endif /* _SHIM_SLOW_H */
