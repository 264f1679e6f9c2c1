/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A heap as the library knows it, and what can be said of one without a call. */
#ifndef _PYML_TYPES_H
#define _PYML_TYPES_H

#include <pymalloc-inline.h>

#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)

struct pyml_cache;

/**
 * struct pymalloc_heap - a heap
 * @view: where it is mapped, and what else the fast paths need; the first
 *	member, as programs with pymalloc-inline.h take it to be
 * @index: of this heap in pyml_magazines
 * @fd: its descriptor; changes if the program closes it, and is -1 if it does so
 *	in a sandbox
 * @lost: why there is none any more: an errno, or 0
 * @id: its number
 * @window: bytes of its window
 * @map_bytes: bytes of the pool map that are mapped
 * @hold_off: calls for which the window does not try to grow
 * @on_grow: told of a change of @view before objects can lie where that ends now; or
 *	NULL
 * @next: in the list of all heaps
 * @caches: all threads' caches for it
 * @nr_caches: how many those are
 * @nr_fills: batches allocated by caches that are gone
 * @nr_flushes: batches given back by caches that are gone
 *
 * The last five are protected by the lock in thread.c.
 */
struct pymalloc_heap {
	struct pymalloc_view view;
	size_t index;
	int fd;
	int lost;
	__u64 id;
	__u64 window;
	size_t map_bytes;
	unsigned int hold_off;
	void (*on_grow)(const struct pymalloc_heap *heap);
	struct pymalloc_heap *next;
	struct pyml_cache *caches;
	__u64 nr_caches;
	__u64 nr_fills;
	__u64 nr_flushes;
};

static inline __u64 pyml_ref(const struct pymalloc_heap *heap,
			     const void *object)
{
	return (uintptr_t)object - (uintptr_t)heap->view.base;
}

/* The heap has every size class whose number is a multiple of this. */
static inline size_t pyml_step(const struct pymalloc_heap *heap)
{
	return (heap->view.round + 1) / PYMALLOC_BLOCK_MIN;
}

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

#endif /* _PYML_TYPES_H */
