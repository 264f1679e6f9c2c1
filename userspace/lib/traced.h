/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads that are traced: when one begins, and where its blocks come from. */
#ifndef _PYML_TRACED_H
#define _PYML_TRACED_H

#include "cache.h"

#pragma GCC visibility push(hidden)

/*
 * Whether malloc() counts down pyml_bytes_left itself, so that its fast path stays as it
 * is while the thread is traced.  Set once, before there is a heap.
 */
extern bool pyml_counts_itself;
/* Bytes that the calling thread may allocate until a block is to be looked at. */
extern __thread ssize_t pyml_bytes_left
	__attribute__((tls_model("initial-exec")));

void pyml_traced_begin(struct pyml_cache *cache);
void *pyml_traced_malloc(struct pyml_cache *cache, size_t class_size);

#pragma GCC visibility pop

/* Whether the calling thread has not yet done what the heap's trace asks for. */
static inline bool pyml_traced_is_new(const struct pyml_cache *cache)
{
	return unlikely(__atomic_load_n(&cache->header.generation, __ATOMIC_RELAXED) !=
			cache->generation);
}

/* To be called before a magazine is filled or flushed. */
static inline void pyml_traced_crossing(struct pyml_cache *cache)
{
	if (pyml_traced_is_new(cache))
		pyml_traced_begin(cache);
}

#endif /* _PYML_TRACED_H */
