/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tracing: which block was allocated where. */
#ifndef _PYML_TRACE_H
#define _PYML_TRACE_H

#include "cache.h"
#include "thread.h"

struct pyml_trace;

#pragma GCC visibility push(hidden)

/*
 * Whether malloc() counts down pyml_bytes_left itself, so that its fast path stays as it
 * is while the thread is traced.  Set once, before there is a heap.
 */
extern bool pyml_counts_itself;
/* Bytes that the calling thread may allocate until a block is to be looked at. */
extern __thread ssize_t pyml_bytes_left
	__attribute__((tls_model("initial-exec")));

void pyml_trace_crossing(struct pyml_cache *cache);
void *pyml_trace_malloc(struct pyml_cache *cache, size_t class_size);
void pyml_trace_filled(struct pyml_cache *cache, void **objects, size_t count);
void pyml_trace_run(struct pymalloc_heap *heap, void *object);
void pyml_trace_freed(struct pymalloc_heap *heap, const void *object);
void pyml_trace_inherit(void);
void pyml_trace_end(struct pymalloc_heap *heap);

#pragma GCC visibility pop

/* Whether the calling thread has not yet done what the heap's trace asks for. */
static inline bool pyml_trace_is_new(const struct pyml_cache *cache)
{
	return unlikely(__atomic_load_n(&cache->header.generation, __ATOMIC_RELAXED) !=
			cache->generation);
}

#endif /* _PYML_TRACE_H */
