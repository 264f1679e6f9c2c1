// SPDX-License-Identifier: LGPL-2.1-or-later
/* Allocations with an alignment. */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#include "count.h"
#include "libc.h"
#include "shim.h"
#include "slow.h"
#include "thread.h"

static bool is_power_of_two(size_t n)
{
	return n && !(n & (n - 1));
}

/*
 * Blocks lie in a pool from its start on, so a block is aligned to what its size is a
 * multiple of.  glibc serves whatever is too large for that, with any alignment.
 */
PYMALLOC_API void *memalign(size_t alignment, size_t size)
{
	size_t mask = SHIM_ALIGNMENT - 1;
	void *object;

	if (!is_power_of_two(alignment) || alignment > PYMALLOC_BLOCK_MAX ||
	    size > PYMALLOC_BLOCK_MAX)
		return __libc_memalign(alignment, size);
	if (alignment > SHIM_ALIGNMENT)
		mask = alignment - 1;
	/* Rounded up, @size is still at most PYMALLOC_BLOCK_MAX: a multiple of all alignments. */
	object = shim_pop((size + mask) & ~mask);
	return likely(object) ? object : shim_malloc_slow(size, mask + 1);
}

PYMALLOC_API void *aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

PYMALLOC_API int posix_memalign(void **object, size_t alignment, size_t size)
{
	int saved = errno;
	int err = EINVAL;
	void *aligned;

	if (is_power_of_two(alignment) && alignment >= sizeof(void *)) {
		aligned = memalign(alignment, size);
		err = aligned ? 0 : ENOMEM;
	}
	if (!err)
		*object = aligned;
	errno = saved;
	return err;
}

PYMALLOC_API void *valloc(size_t size)
{
	return __libc_valloc(size);
}

PYMALLOC_API void *pvalloc(size_t size)
{
	return __libc_pvalloc(size);
}
