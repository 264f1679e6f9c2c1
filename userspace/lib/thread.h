/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whose magazines are where.  How they work is said in pymalloc-inline.h. */
#ifndef _PYML_THREAD_H
#define _PYML_THREAD_H

#include "types.h"

/* Heaps with magazines; the further ones use the entry of that number. */
#define PYML_CACHED_HEAPS	16

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

struct pyml_cache *pyml_cache_get(struct pymalloc_heap *heap);
bool pyml_caches_have(struct pymalloc_heap *heap, const void *object,
		      size_t class);
void pyml_caches_attach(struct pymalloc_heap *heap, size_t first);
void pyml_caches_prepare(void);
void pyml_caches_detach(struct pymalloc_heap *heap);

#pragma GCC visibility pop

#endif /* _PYML_THREAD_H */
