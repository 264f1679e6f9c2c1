// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Objects: allocated, freed and resized.  The fast paths are in pymalloc-inline.h; here is
 * what they cannot do.
 */
#include <errno.h>
#include <string.h>

#include "call.h"
#include "magazine.h"
#include "object.h"
#include "report.h"
#include "sandbox.h"
#include "thread.h"
#include "trace.h"
#include "traced.h"

void *pymalloc_malloc(struct pymalloc_heap *heap, size_t size)
{
	return pymalloc_inline_malloc(heap, size);
}

void pymalloc_free(struct pymalloc_heap *heap, void *object)
{
	pymalloc_inline_free(heap, object);
}

static void *refuse_sealed(void)
{
	errno = EPERM;
	return NULL;
}

/* A large object: a run of whole pages. */
static void *alloc_run(struct pymalloc_heap *heap, size_t size, unsigned int flags)
{
	__u64 ref;

	if (unlikely(heap->sealed))
		return refuse_sealed();
	if (size > PYMALLOC_SIZE_MAX) {
		errno = ENOMEM;
		return NULL;
	}
	if (!pyml_call_alloc(heap, size, flags, &ref, 1))
		return NULL;
	if (unlikely(heap->trace))
		pyml_trace_run(heap, heap->view.base + ref);
	return heap->view.base + ref;
}

/**
 * pymalloc_malloc_slow() - what pymalloc_malloc() does if there is no object to pop
 * @heap: the heap
 * @size: bytes
 *
 * Return: as pymalloc_malloc().
 */
void *pymalloc_malloc_slow(struct pymalloc_heap *heap, size_t size)
{
	struct pyml_cache *cache;
	size_t class_size;
	size_t class;

	if (size > PYMALLOC_BLOCK_MAX)
		return alloc_run(heap, size, 0);
	if (unlikely(heap->sealed))
		return refuse_sealed();
	cache = pyml_traced[heap->index];
	if (unlikely(cache))
		return pyml_traced_malloc(cache, pymalloc_class_size(&heap->view, size + !size));
	if (!size)
		size = 1;
	cache = pyml_cache_get(heap);
	if (!cache)
		return pyml_alloc_uncached(heap, size, 0);
	class_size = pymalloc_class_size(&heap->view, size);
	pyml_traced_crossing(cache);
	if (pyml_traced[heap->index])
		return pyml_traced_malloc(cache, class_size);
	class = class_size / PYMALLOC_BLOCK_MIN;
	/* A size of 0 comes here although there may be objects left. */
	if (!pyml_magazine_count(cache, class) &&
	    !pyml_magazine_fill(cache, class))
		return NULL;
	return pymalloc_pop(&cache->magazines, class_size);
}

/*
 * Whether @object, of @class, is marked and indeed in a magazine or free.  The mark alone
 * proves nothing: the program may have copied it there.
 */
static bool is_free(struct pymalloc_heap *heap, const void *object, size_t class)
{
	if (!class || !pymalloc_is_marked(&heap->view, object))
		return false;
	return pyml_caches_have(heap, object, class) ||
	       !pyml_call_usable(heap, pyml_ref(heap, object));
}

/**
 * pyml_report_free() - report an object that is free already
 * @heap: the heap
 * @object: what is to be freed or resized
 * @class: the size class of the block that begins there; 0 if none does
 *
 * Return: whether it is free, and reported.
 */
bool pyml_report_free(struct pymalloc_heap *heap, void *object, size_t class)
{
	if (likely(!is_free(heap, object, class)))
		return false;
	pyml_bad_free(heap, object, PYMALLOC_REF_FREE);
	return true;
}

static void free_uncached(struct pymalloc_heap *heap, void *object)
{
	__u64 ref = pyml_ref(heap, object);
	__u8 status;

	if (unlikely(heap->trace))
		pyml_trace_freed(heap, object);
	pyml_call_free(heap, &ref, &status, 1);
}

/**
 * pymalloc_free_slow() - what pymalloc_free() does if it cannot push
 * @heap: the heap
 * @object: the object, or whatever else it is
 */
void pymalloc_free_slow(struct pymalloc_heap *heap, void *object)
{
	struct pyml_cache *cache = pyml_traced[heap->index];
	size_t class;

	if (!object)
		return;
	if (unlikely(heap->sealed)) {
		pyml_bad_free(heap, object, PYMALLOC_REF_SEALED);
		return;
	}
	if (unlikely(cache) && pymalloc_push(&cache->magazines, &heap->view, object))
		return;
	cache = NULL;
	class = pyml_class_at(&heap->view, object);
	if (pyml_report_free(heap, object, class))
		return;
	if (class && !pymalloc_is_marked(&heap->view, object))
		cache = pyml_cache_get(heap);
	/* If no object begins there, the kernel says what is wrong. */
	if (!cache) {
		free_uncached(heap, object);
		return;
	}
	if (cache->magazines.top[class] == cache->magazines.full[class]) {
		pyml_traced_crossing(cache);
		pyml_magazine_flush(cache, class);
	}
	pymalloc_push(&cache->magazines, &heap->view, object);
}

void *pymalloc_calloc(struct pymalloc_heap *heap, size_t count, size_t size)
{
	size_t bytes;
	void *object;

	if (__builtin_mul_overflow(count, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	if (bytes > PYMALLOC_BLOCK_MAX)
		return alloc_run(heap, bytes, PYMALLOC_ALLOC_ZERO);
	object = pymalloc_malloc(heap, bytes);
	return object ? memset(object, 0, bytes) : NULL;
}

/* Blocks lie in a pool from its start on: a size that is a multiple of the alignment does. */
void *pymalloc_aligned_alloc(struct pymalloc_heap *heap, size_t alignment,
			     size_t size)
{
	size_t mask = alignment - 1;

	if (!alignment || (alignment & mask) ||
	    alignment > PYMALLOC_POOL_SIZE) {
		errno = EINVAL;
		return NULL;
	}
	if (size > PYMALLOC_BLOCK_MAX)
		return alloc_run(heap, size, 0);
	return pymalloc_malloc(heap, size ? (size + mask) & ~mask : alignment);
}

size_t pymalloc_usable_size(struct pymalloc_heap *heap, const void *object)
{
	size_t class;

	if (!object)
		return 0;
	class = pyml_class_at(&heap->view, object);
	if (class)
		return class * PYMALLOC_BLOCK_MIN;
	return pyml_call_usable(heap, pyml_ref(heap, object));
}

static void *resize_run(struct pymalloc_heap *heap, void *object, size_t size)
{
	struct pymalloc_resize args = {
		.argsz = sizeof(args),
		.ref = pyml_ref(heap, object),
		.size = size,
	};

	if (size > PYMALLOC_SIZE_MAX || pyml_call(heap, PYMALLOC_IOC_RESIZE, &args)) {
		errno = ENOMEM;
		return NULL;
	}
	if (unlikely(heap->trace))
		pyml_trace_run(heap, heap->view.base + args.ref);
	return heap->view.base + args.ref;
}

static void *move_object(struct pymalloc_heap *heap, void *object, size_t usable,
			 size_t size)
{
	void *moved = pymalloc_malloc(heap, size);

	if (!moved)
		return NULL;
	memcpy(moved, object, size < usable ? size : usable);
	pymalloc_free(heap, object);
	return moved;
}

void *pymalloc_realloc(struct pymalloc_heap *heap, void *object, size_t size)
{
	size_t usable, class;

	if (!object)
		return pymalloc_malloc(heap, size);
	if (!size) {
		pymalloc_free(heap, object);
		return NULL;
	}
	if (unlikely(heap->sealed))
		return refuse_sealed();
	class = pyml_class_at(&heap->view, object);
	if (pyml_report_free(heap, object, class)) {
		errno = EINVAL;
		return NULL;
	}
	usable = pymalloc_usable_size(heap, object);
	if (pyml_stays(usable, size))
		return object;
	if (usable > PYMALLOC_BLOCK_MAX && size > PYMALLOC_BLOCK_MAX &&
	    !pyml_in_sandbox())
		return resize_run(heap, object, size);
	if (usable)
		return move_object(heap, object, usable, size);
	/* Nothing is there: a free reports why. */
	pymalloc_free_slow(heap, object);
	errno = EINVAL;
	return NULL;
}
