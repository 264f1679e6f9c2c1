/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The malloc shim: objects of up to PYMALLOC_BLOCK_MAX bytes from the service,
 * all others, and these too when the service has none, from the C library.
 * An object is the service's if its address lies in the heap's window.
 */
#ifndef _SHIM_SHIM_H
#define _SHIM_SHIM_H

#include "types.h"

/* As malloc() must align. */
#define SHIM_ALIGNMENT	16
/* The shim's own copy of the library has this one heap. */
#define SHIM_INDEX	0

#pragma GCC visibility push(hidden)

/*
 * Both views are all zero, so that nothing is in the window, until
 * there is a heap.  That of the fast path stays so in the debug modes and with
 * MALLOC_PERTURB_: all that is allocated or freed comes to the slow path, and from
 * there to debug.c or perturb.c.
 */
extern struct pymalloc_view shim_view;
extern struct pymalloc_view shim_window;
extern struct pymalloc_heap *shim_heap;

void shim_show_window(const struct pymalloc_heap *heap);
void shim_show_all(const struct pymalloc_heap *heap);

#pragma GCC visibility pop

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

#endif /* _SHIM_SHIM_H */
