/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a heap is to the library, and what can be told of it without a call. */
#ifndef _PYML_TYPES_H
#define _PYML_TYPES_H

#include <pymalloc-inline.h>

#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)

struct pyml_cache;
struct pyml_slots;
struct pyml_trace;

/* Header pages of caches that are mapped together, 256 KiB: enough for most programs. */
#define PYML_HEADERS_AT_ONCE	64

/**
 * struct pymalloc_heap - a heap
 * @view: where it is mapped, and what else the fast paths need; the first member,
 *	because programs with pymalloc-inline.h expect it there
 * @index: its index in pyml_magazines
 * @fd: its descriptor; changes if the program closes it; -1 once that has happened in
 *	a sandbox
 * @lost: the errno of the last attempt to reopen a closed descriptor; 0 if none failed
 * @id: its number
 * @window: bytes of its window; @view has how many of them are mapped
 * @map_bytes: bytes of the pool map that are mapped
 * @hold_off: how many more times the window is not to grow when asked to
 * @on_grow: called when @view has changed, before there are objects in what is new; or
 *	NULL
 * @on_failure: called when there is no memory for a block of a traced thread, with its
 *	bytes; it returns one from elsewhere or NULL; or NULL
 * @sealed: it is for reading only, for good
 * @untraced: no trace ever begins: its user looks for objects in the pool map
 * @next: in the list of all heaps
 * @caches: all threads' caches for it, by index
 * @nr_indexes: one more than the highest index that a cache has had
 * @nr_caches: how many caches there are
 * @nr_fills: batches allocated by caches that are gone
 * @nr_flushes: batches freed by caches that are gone
 * @headers: where the header pages of caches are mapped, PYML_HEADERS_AT_ONCE in a row
 * @trace: where its blocks were allocated; NULL until that was asked for
 * @slots: by index, where the slot pages of a cache are mapped, if ever there was one
 *
 * @fd and @lost are written under the lock in fd.c; @map_bytes, @hold_off and @view's
 * extent under the lock in window.c; @trace under the lock in trace.c; the others after
 * @on_grow under the lock in thread.c.
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
	void *(*on_failure)(size_t class_size);
	bool sealed;
	bool untraced;
	struct pymalloc_heap *next;
	struct pyml_cache *caches[PYMALLOC_CACHES_MAX];
	size_t nr_indexes;
	__u64 nr_caches;
	__u64 nr_fills;
	__u64 nr_flushes;
	char *headers[PYMALLOC_CACHES_MAX / PYML_HEADERS_AT_ONCE];
	struct pyml_trace *trace;
	struct pyml_slots *slots[PYMALLOC_CACHES_MAX];
};

/* By which the kernel knows an object. */
static inline __u64 pyml_ref(const struct pymalloc_heap *heap,
			     const void *object)
{
	return (uintptr_t)object - (uintptr_t)heap->view.base;
}

/* 1 or 2: a heap has the size classes whose number is a multiple of this. */
static inline size_t pyml_step(const struct pymalloc_heap *heap)
{
	return (heap->view.round + 1) / PYMALLOC_BLOCK_MIN;
}

static inline bool pyml_in_window(const struct pymalloc_heap *heap, const void *object)
{
	return pymalloc_offset(&heap->view, object) < heap->view.extent;
}

/* The size class of the pool in which @address lies; 0 if it lies in none. */
static inline size_t pyml_pool_class(const struct pymalloc_view *view,
				     const void *address)
{
	size_t offset = pymalloc_offset(view, address);

	if (offset >= view->extent)
		return 0;
	return view->pool_map[offset / PYMALLOC_POOL_SIZE];
}

/* The size class of the block that begins at @object; 0 if none begins there. */
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
