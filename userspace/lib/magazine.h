/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whose magazines are where.  How they work is said in pymalloc-inline.h. */
#ifndef _PYML_MAGAZINE_H
#define _PYML_MAGAZINE_H

#include <pymalloc-inline.h>

#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)

/* Heaps with magazines; the further ones use the entry of that number. */
#define PYML_CACHED_HEAPS	16
#define PYML_MAGAZINES	(PYMALLOC_NR_CLASSES + 1)

#pragma GCC visibility push(hidden)

/*
 * The calling thread's magazines for each heap.  Threads that have none yet,
 * and the last entry for ever, share a set that is empty and full at once, so
 * that the fast paths need not ask.
 */
extern __thread struct pymalloc_magazines
	*pyml_magazines[PYML_CACHED_HEAPS + 1]
	__attribute__((tls_model("initial-exec")));
extern const struct pymalloc_magazines pyml_no_magazines;

#pragma GCC visibility pop

/* Of the pool that an address lies in; 0 if it lies in none. */
static inline size_t pyml_pool_class(const struct pymalloc_view *view,
				     const void *address)
{
	size_t offset = pymalloc_offset(view, address);

	if (offset >= view->extent)
		return 0;
	return view->pool_map[offset / PYMALLOC_POOL_SIZE];
}

/* Of the block that begins there; 0 if none does. */
static inline size_t pyml_class_at(const struct pymalloc_view *view,
				   const void *object)
{
	size_t within = pymalloc_offset(view, object) % PYMALLOC_POOL_SIZE;
	size_t class = pyml_pool_class(view, object);
	size_t size = class * PYMALLOC_BLOCK_MIN;

	if (!class || within % size || within + size > PYMALLOC_POOL_SIZE)
		return 0;
	return class;
}

/* CPython's rule: stay, unless more than a quarter would be saved. */
static inline bool pyml_stays(size_t usable, size_t size)
{
	return size <= usable && 4 * size > 3 * usable;
}

#endif /* _PYML_MAGAZINE_H */
