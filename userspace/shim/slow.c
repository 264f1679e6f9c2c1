// SPDX-License-Identifier: LGPL-2.1-or-later
/* The slow paths of malloc() and free(). */
#include <errno.h>

#include "debug.h"
#include "libc.h"
#include "lost.h"
#include "perturb.h"
#include "shim.h"
#include "slow.h"
#include "spare.h"
#include "start.h"
#include "thread.h"
#include "traced.h"

/*
 * When the service has had no memory, it is not asked for so many slow allocations.  A
 * heap that is at its limit then costs a program one system call in a thousand objects;
 * with a larger number, the heap would be used again later after memory has become free.
 */
#define HOLD_OFF	1024

/*
 * A counter that several threads use without a lock: one of two simultaneous steps may get
 * lost, which does no harm.
 */
static bool holding_off(unsigned int *left)
{
	unsigned int now = __atomic_load_n(left, __ATOMIC_RELAXED);

	if (now)
		__atomic_store_n(left, now - 1, __ATOMIC_RELAXED);
	return now;
}

/* A block is aligned to what its size is a multiple of. */
static void *alloc_from_service(size_t size, size_t alignment)
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

static __attribute_noinline__ void *alloc_somewhere(size_t size, size_t alignment)
{
	static unsigned int hold_off;
	int saved = errno;
	void *object;

	if (!shim_start() || holding_off(&hold_off))
		return __libc_memalign(alignment, size);
	object = alloc_from_service(size, alignment);
	if (object)
		return object;
	shim_say_lost();
	__atomic_store_n(&hold_off, HOLD_OFF, __ATOMIC_RELAXED);
	errno = saved;
	return __libc_memalign(alignment, size);
}

/**
 * shim_malloc_elsewhere() - allocate a block for which the service has no memory
 * @class_size: bytes of the block
 *
 * A block is aligned to what its size is a multiple of.
 *
 * Return: the object, or NULL and ENOMEM.
 */
void *shim_malloc_elsewhere(size_t class_size)
{
	return __libc_memalign(class_size & -class_size, class_size);
}

/**
 * shim_malloc_slow() - allocate what the fast path has no object for
 * @size: bytes
 * @alignment: a power of two, of at least SHIM_ALIGNMENT
 *
 * Return: the object, from the service or the C library; or NULL and ENOMEM.
 */
__attribute_noinline__ void *shim_malloc_slow(size_t size, size_t alignment)
{
	struct pyml_cache *cache = pyml_traced[SHIM_INDEX];

	if (!cache)
		return alloc_somewhere(size, alignment);
	return pyml_traced_malloc(cache, (size + !size + alignment - 1) & -alignment);
}

/**
 * shim_free_slow() - free what the fast path does not
 * @object: the object, of whatever allocator; or NULL
 */
__attribute_noinline__ void shim_free_slow(void *object)
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
