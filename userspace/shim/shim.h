/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The malloc shim: objects of up to PYMALLOC_BLOCK_MAX bytes come from the service.  All
 * others come from the C library, and these as well if the service has no memory.  An
 * object is the service's if its address lies in the heap's window.
 */
#ifndef _SHIM_SHIM_H
#define _SHIM_SHIM_H

#include "types.h"

/* To what malloc() has to align objects on 64-bit machines: alignof(max_align_t). */
#define SHIM_ALIGNMENT	16
/* The heap's index in pyml_magazines: the shim's own copy of the library has no other. */
#define SHIM_INDEX	0

#pragma GCC visibility push(hidden)

/*
 * The heap's window, as the fast paths see it and as all others see it.  Until there is a
 * heap both are all zero, so that no object is in the window.  That of the fast paths
 * stays so in the debug modes and with MALLOC_PERTURB_: whatever is allocated or freed
 * then takes the slow path, and from there goes to debug.c or perturb.c.
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

/* The acquire pairs with the release in show_in(): the rest of the view is complete. */
static inline bool shim_has_heap(void)
{
	return __atomic_load_n(&shim_window.extent, __ATOMIC_ACQUIRE);
}

/*
 * Usable bytes of an object of the heap: the size of the blocks in its pool.  The kernel knows
 * those that the pool map does not show.  0 if there is none.
 */
static inline size_t shim_usable(const void *object)
{
	size_t class = pyml_pool_class(&shim_window, object);

	if (likely(class))
		return class * PYMALLOC_BLOCK_MIN;
	return pymalloc_usable_size(shim_heap, object);
}

#endif /* _SHIM_SHIM_H */
