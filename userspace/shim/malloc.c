// SPDX-License-Identifier: LGPL-2.1-or-later
/* malloc() and free() and what is made of them. */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "shim.h"

/* Allocations for which a service that had no memory is left alone. */
#define HOLD_OFF	1024

static bool holding_off(unsigned int *left)
{
	unsigned int now = __atomic_load_n(left, __ATOMIC_RELAXED);

	if (now)
		__atomic_store_n(left, now - 1, __ATOMIC_RELAXED);
	return now;
}

/* A block whose size is a multiple of its alignment is aligned. */
static void *serve(size_t size, size_t alignment)
{
	size_t mask = alignment - 1;

	if (shim_debug)
		return shim_debug_malloc(size, alignment);
	if (!size)
		size = 1;
	size = (size + mask) & ~mask;
	if (shim_perturb)
		return shim_perturb_malloc(size);
	return pymalloc_malloc_slow(shim_heap, size);
}

/* What the fast path has not got; @alignment is at least SHIM_ALIGNMENT. */
__attribute_noinline__ void *shim_malloc_slow(size_t size, size_t alignment)
{
	static unsigned int hold_off;
	int saved = errno;
	void *object;

	if (!shim_start() || holding_off(&hold_off))
		return __libc_memalign(alignment, size);
	object = serve(size, alignment);
	if (object)
		return object;
	shim_say_lost();
	__atomic_store_n(&hold_off, HOLD_OFF, __ATOMIC_RELAXED);
	errno = saved;
	return __libc_memalign(alignment, size);
}

PYMALLOC_API void *malloc(size_t size)
{
	size_t mask = SHIM_ALIGNMENT - 1;
	void *object;

	if (unlikely(size > PYMALLOC_BLOCK_MAX))
		return shim_malloc_large(size);
	object = pymalloc_pop(pyml_magazines[SHIM_INDEX],
			      (size + mask) & ~mask);
	return likely(object) ? object : shim_malloc_slow(size, SHIM_ALIGNMENT);
}

static __attribute_noinline__ void free_slow(void *object)
{
	if (!object)
		return;
	if (!shim_owns(object))
		shim_free_large(object);
	else if (shim_debug)
		shim_debug_free(object);
	else if (shim_perturb)
		shim_perturb_free(object);
	else
		pymalloc_free_slow(shim_heap, object);
}

PYMALLOC_API void free(void *object)
{
	if (unlikely(!pymalloc_push(pyml_magazines[SHIM_INDEX], &shim_view,
				    object)))
		free_slow(object);
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

/* For realloc(): the default is that this does not return if it is free. */
static __attribute_noinline__ void check_marked(void *object, size_t usable)
{
	if (pyml_is_free(shim_heap, object, usable / PYMALLOC_BLOCK_MIN))
		pyml_bad_free(shim_heap, object, PYMALLOC_REF_FREE);
}

PYMALLOC_API void *realloc(void *object, size_t size)
{
	size_t usable;
	void *moved;

	if (!object)
		return malloc(size);
	if (!shim_owns(object))
		return __libc_realloc(object, size);
	if (!size) {
		free(object);
		return NULL;
	}
	if (shim_debug)
		return shim_debug_realloc(object, size);
	usable = shim_usable(object);
	if (usable && unlikely(pymalloc_is_marked(&shim_window, object)))
		check_marked(object, usable);
	if (pyml_stays(usable, size))
		return object;
	moved = malloc(size);
	if (moved) {
		memcpy(moved, object, size < usable ? size : usable);
		free(object);
	}
	return moved;
}

/*
 * The only one of the C library's that calls another by its name: a program with a
 * realloc() of its own gets that.  See libpymalloc-malloc.list.
 */
PYMALLOC_API void *reallocarray(void *object, size_t count, size_t size)
{
	size_t bytes;

	if (!__builtin_mul_overflow(count, size, &bytes))
		return realloc(object, bytes);
	errno = ENOMEM;
	return NULL;
}
