// SPDX-License-Identifier: GPL-2.0
/* This file uses the inline functions. It is compiled as C and as C++. */
#include "inline_user.h"

/* Some sizes are constants, which a compiler folds, and others are not. */
static void *by_constant(struct pymalloc_heap *heap, size_t size)
{
	switch (size) {
	case 0:
		return pymalloc_inline_malloc(heap, 0);
	case 1:
		return pymalloc_inline_malloc(heap, 1);
	case 24:
		return pymalloc_inline_malloc(heap, 24);
	case 64:
		return pymalloc_inline_malloc(heap, 64);
	case 512:
		return pymalloc_inline_malloc(heap, 512);
	case 513:
		return pymalloc_inline_malloc(heap, 513);
	default:
		return pymalloc_inline_malloc(heap, size);
	}
}

static void release(struct pymalloc_heap *heap, void *object)
{
	pymalloc_inline_free(heap, object);
}

#ifdef __cplusplus
/*
 * In C++, the name of a struct is a type's, unless a function has the same
 * name.
 */
static __u64 fills(struct pymalloc_heap *heap)
{
	pymalloc_cache_stats stats;

	pymalloc_heap_cache_stats(heap, &stats);
	return stats.nr_fills;
}

const struct inline_user user_in_cxx = { by_constant, release, fills };
#else
static __u64 fills(struct pymalloc_heap *heap)
{
	struct pymalloc_cache_stats stats;

	pymalloc_heap_cache_stats(heap, &stats);
	return stats.nr_fills;
}

const struct inline_user user_in_c = { by_constant, release, fills };
#endif
