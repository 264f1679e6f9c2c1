/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A heap as the library knows it, and what its files do for one another. */
#ifndef _PYML_HEAP_H
#define _PYML_HEAP_H

#include <pymalloc.h>

#include "magazine.h"

#define PYML_DEVICE	"/dev/pymalloc"

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
 * @extent: those of them that are mapped, from the start on
 * @map_bytes: bytes of the pool map that are mapped
 * @hold_off: calls for which the window does not try to grow
 * @on_grow: told of a change of @view before objects can lie where that ends now; or
 *	NULL
 * @next: in the list of all heaps
 * @caches: all threads' caches for it
 * @nr_caches: how many those are
 * @nr_refills: batches allocated by caches that are gone
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
	__u64 extent;
	size_t map_bytes;
	unsigned int hold_off;
	void (*on_grow)(const struct pymalloc_heap *heap);
	struct pymalloc_heap *next;
	struct pyml_cache *caches;
	__u64 nr_caches;
	__u64 nr_refills;
	__u64 nr_flushes;
};

#pragma GCC visibility push(hidden)

/*
 * heap.c: pymalloc_heap_create(), but the heap takes its index in
 * pyml_magazines from @first on; with PYML_CACHED_HEAPS it gets none.
 */
struct pymalloc_heap *
pyml_heap_create_from(const struct pymalloc_heap_options *options,
		      size_t first);

/* Descriptors below this number are left to the program, if it may have more. */
#define PYML_LOWEST_FD	1000

/* call.c */
int pyml_open_device(void);
int pyml_move_up(int fd, int lowest);
void pyml_service_hide(struct pymalloc_heap *heap);
int pyml_call(struct pymalloc_heap *heap, unsigned long command,
	      void *args);
unsigned int pyml_service_alloc(struct pymalloc_heap *heap, size_t size,
				unsigned int flags, __u64 *refs,
				unsigned int count);
void pyml_service_free(struct pymalloc_heap *heap, const __u64 *refs,
		       __u8 *status, unsigned int count);
void pyml_service_tell_caches(struct pymalloc_heap *heap, __u64 threads,
			      __u64 bytes_max);
void pyml_service_need_fd(struct pymalloc_heap *heap);
bool pyml_service_has_heap(const struct pymalloc_heap *heap);
size_t pyml_service_usable(struct pymalloc_heap *heap, __u64 ref);

/* window.c */
__u64 pyml_window_first(__u64 window);
int pyml_window_map(struct pymalloc_heap *heap);
void pyml_window_unmap(struct pymalloc_heap *heap);
bool pyml_window_grow(struct pymalloc_heap *heap, __u64 extent);
void pyml_window_grow_ahead(struct pymalloc_heap *heap);
void pyml_window_before_fork(void);
void pyml_window_after_fork(void);
void pyml_window_inherit(void);

/* say.c */
void pyml_say(const char *format, ...);

/* report.c */
const char *pyml_describe_bad(unsigned int status);
void pyml_bad_free(struct pymalloc_heap *heap, void *object,
		   unsigned int status);

/* malloc.c */
bool pyml_is_free(struct pymalloc_heap *heap, const void *object,
		  size_t class);

/* large.c */
void *pyml_large_alloc(struct pymalloc_heap *heap, size_t size,
		       unsigned int flags);
void *pyml_large_resize(struct pymalloc_heap *heap, void *object,
			size_t size);

#pragma GCC visibility pop

static inline __u64 pyml_ref(const struct pymalloc_heap *heap,
			     const void *object)
{
	return (uintptr_t)object - (uintptr_t)heap->view.base;
}

/* Read before a call that may find it used up. */
static inline __u64 pyml_extent(const struct pymalloc_heap *heap)
{
	return __atomic_load_n(&heap->extent, __ATOMIC_RELAXED);
}

/* The heap has every size class whose number is a multiple of this. */
static inline size_t pyml_step(const struct pymalloc_heap *heap)
{
	return (heap->view.round + 1) / PYMALLOC_BLOCK_MIN;
}

#endif /* _PYML_HEAP_H */
