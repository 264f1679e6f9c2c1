// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the fast paths have not got, and do not take. */
#include <errno.h>

#include "debug.h"
#include "libc.h"
#include "lost.h"
#include "perturb.h"
#include "shim.h"
#include "slow.h"
#include "spare.h"
#include "start.h"

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
