/* SPDX-License-Identifier: GPL-2.0 */
/* Where objects lie in a pool. */
#ifndef SELFTESTS_POOL_H
#define SELFTESTS_POOL_H

#include <stddef.h>
#include <stdint.h>

#include <linux/pymalloc.h>

/* What lies @nr blocks behind an object, round the end of its pool. */
static inline char *next_in_pool(char *object, size_t block, size_t nr)
{
	size_t within = (uintptr_t)object % PYMALLOC_POOL_SIZE;
	size_t index = (within / block + nr) % (PYMALLOC_POOL_SIZE / block);

	return object - within + index * block + within % block;
}

#endif /* SELFTESTS_POOL_H */
