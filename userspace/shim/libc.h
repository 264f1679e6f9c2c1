/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The C library's own functions, behind those of the shim. */
#ifndef _SHIM_LIBC_H
#define _SHIM_LIBC_H

#include <stddef.h>

#pragma GCC visibility push(hidden)

typedef size_t (*shim_usable_fn)(void *object);

void *shim_libc(const char *name);
shim_usable_fn shim_libc_usable(void);

#pragma GCC visibility pop

/* The C library's second names for these, which no other allocator defines. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *object, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void *__libc_valloc(size_t size);
void *__libc_pvalloc(size_t size);
void __libc_free(void *object);

#endif /* _SHIM_LIBC_H */
