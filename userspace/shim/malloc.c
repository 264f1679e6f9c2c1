// SPDX-License-Identifier: LGPL-2.1-or-later
/* malloc(), free(), and what is built on the two. */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "count.h"
#include "debug.h"
#include "libc.h"
#include "object.h"
#include "shim.h"
#include "slow.h"
#include "spare.h"
#include "thread.h"

PYMALLOC_API void *malloc(size_t size)
{
	size_t mask = SHIM_ALIGNMENT - 1;
	void *object;

	if (unlikely(size > PYMALLOC_BLOCK_MAX))
		return shim_malloc_large(size);
	object = shim_pop((size + mask) & ~mask);
	return likely(object) ? object : shim_malloc_slow(size, SHIM_ALIGNMENT);
}

PYMALLOC_API void free(void *object)
{
	if (unlikely(!pymalloc_push(pyml_magazines[SHIM_INDEX], &shim_view,
				    object)))
		shim_free_slow(object);
}

/* Programs linked before glibc 2.26 may call it. */
PYMALLOC_API void cfree(void *object)
{
	free(object);
}

PYMALLOC_API void *calloc(size_t count, size_t size)
{
	size_t bytes;
	void *object;

	if (__builtin_mul_overflow(count, size, &bytes) ||
	    bytes > PYMALLOC_BLOCK_MAX)
		return __libc_calloc(count, size);
	object = malloc(bytes);
	return object ? memset(object, 0, bytes) : NULL;
}

/* In the debug modes it always moves, so that uses of the old address are found. */
static __attribute_noinline__ void *realloc_guarded(void *object, size_t size)
{
	struct guarded *block = shim_debug_check("realloc", object);
	size_t old_size = block->size;
	void *moved = malloc(size);

	if (!moved)
		return NULL;
	memcpy(moved, object, size < old_size ? size : old_size);
	shim_debug_release(object, block);
	return moved;
}

static inline void *resize(void *object, size_t usable, size_t size)
{
	void *moved;

	if (pyml_stays(usable, size))
		return object;
	moved = malloc(size);
	if (moved) {
		memcpy(moved, object, size < usable ? size : usable);
		free(object);
	}
	return moved;
}

/* Of a pool that the pool map does not show. */
static __attribute_noinline__ void *resize_hidden(void *object, size_t size)
{
	return resize(object, pymalloc_usable_size(shim_heap, object), size);
}

PYMALLOC_API void *realloc(void *object, size_t size)
{
	size_t usable;

	if (!object)
		return malloc(size);
	if (!shim_owns(object))
		return __libc_realloc(object, size);
	if (!size) {
		free(object);
		return NULL;
	}
	if (shim_debug)
		return realloc_guarded(object, size);
	usable = pyml_pool_class(&shim_window, object) * PYMALLOC_BLOCK_MIN;
	if (unlikely(!usable))
		return resize_hidden(object, size);
	if (unlikely(pymalloc_is_marked(&shim_window, object)))
		pyml_report_free(shim_heap, object, usable / PYMALLOC_BLOCK_MIN);
	return resize(object, usable, size);
}

/*
 * The C library's reallocarray() calls realloc() by its name, so that a program with a
 * realloc() of its own gets that one, and so does this: see libpymalloc-malloc.list.
 */
PYMALLOC_API void *reallocarray(void *object, size_t count, size_t size)
{
	size_t bytes;

	if (!__builtin_mul_overflow(count, size, &bytes))
		return realloc(object, bytes);
	errno = ENOMEM;
	return NULL;
}

PYMALLOC_API size_t malloc_usable_size(void *object)
{
	if (!shim_owns(object))
		return shim_libc_usable()(object);
	return shim_debug ? shim_debug_usable(object) : shim_usable(object);
}
