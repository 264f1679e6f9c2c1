// SPDX-License-Identifier: GPL-2.0
/* A user of the inline functions, compiled as C and as C++. */
#include "inline_user.h"

/* The constants that a compiler folds, and those that it cannot. */
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
/* A struct's name is a type's here, unless a function has it. */
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
