/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The malloc shim: objects of up to PYMALLOC_BLOCK_MAX bytes from the service,
 * all others, and these too when the service has none, from the C library.
 * An object is the service's if its address lies in the heap's window.
 */
#ifndef _PYMALLOC_SHIM_H
#define _PYMALLOC_SHIM_H

#include <stdbool.h>
#include <stddef.h>

#include "call.h"
#include "fd.h"
#include "heap.h"
#include "object.h"
#include "report.h"
#include "thread.h"
#include "window.h"

/* As malloc() must align. */
#define SHIM_ALIGNMENT	16
/* The shim's own copy of the library has this one heap. */
#define SHIM_INDEX	0

#pragma GCC visibility push(hidden)

/*
 * start.c: both views are all zero, so that nothing is in the window, until
 * there is a heap.  That of the fast path stays so in the debug modes and with
 * MALLOC_PERTURB_: all that is allocated or freed comes to the slow path, and from
 * there to debug.c or perturb.c.
 */
extern struct pymalloc_view shim_view;
extern struct pymalloc_view shim_window;
extern struct pymalloc_heap *shim_heap;
bool shim_start(void);

/* debug.c */
extern enum shim_debug {
	SHIM_NO_DEBUG,
	SHIM_GUARDS,
	SHIM_STRICT,
} shim_debug;

void shim_debug_choose(void);
void shim_debug_start(void);
void *shim_debug_malloc(size_t size, size_t alignment);
void shim_debug_free(void *object);
void *shim_debug_realloc(void *object, size_t size);
size_t shim_debug_usable(void *object);

/* fork.c */
void shim_watch_fork(void);

/* lost.c */
void shim_lost_start(void);
void shim_say_lost(void);

/* malloc.c */
void *shim_malloc_slow(size_t size, size_t alignment);

/* perturb.c */
extern __u8 shim_perturb;
void shim_perturb_choose(void);
void *shim_perturb_malloc(size_t size);
void shim_perturb_free(void *object);

/* spare.c */
void *shim_malloc_large(size_t size);
void shim_free_large(void *object);
void shim_free_spares(void);

/* libc.c */
void *shim_libc(const char *name);
typedef size_t (*shim_usable_fn)(void *object);
shim_usable_fn shim_libc_usable(void);

#pragma GCC visibility pop

/* The C library's own, by names that nobody else defines. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *object, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void *__libc_valloc(size_t size);
void *__libc_pvalloc(size_t size);
void __libc_free(void *object);

static inline bool shim_owns(const void *object)
{
	return pymalloc_offset(&shim_window, object) < shim_window.extent;
}

static inline bool shim_has_heap(void)
{
	return __atomic_load_n(&shim_window.extent, __ATOMIC_ACQUIRE);
}

/* Bytes of the blocks where @object is; 0 if there are none. */
static inline size_t shim_usable(const void *object)
{
	return pyml_pool_class(&shim_window, object) * PYMALLOC_BLOCK_MIN;
}

#endif /* _PYMALLOC_SHIM_H */
