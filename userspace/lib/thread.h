/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which thread has which magazines.  How magazines work is explained in
 * pymalloc-inline.h.
 */
#ifndef _PYML_THREAD_H
#define _PYML_THREAD_H

#include "types.h"

/*
 * So many heaps of a process can have magazines; all further ones use the last entry
 * below.  Each costs every thread two pointers of static thread-local storage, of which a
 * library that is loaded with dlopen() has only little: twice 17 pointers are 272 bytes.
 */
#define PYML_CACHED_HEAPS	16

#pragma GCC visibility push(hidden)

/*
 * The calling thread's magazines, by heap.  As long as a thread has none, and always in the
 * last entry, this is pyml_no_magazines, whose magazines are empty and full at the same
 * time: so the fast paths need not ask whether there are any.
 */
extern __thread struct pymalloc_magazines
	*pyml_magazines[PYML_CACHED_HEAPS + 1]
	__attribute__((tls_model("initial-exec")));
extern const struct pymalloc_magazines pyml_no_magazines;
/*
 * The calling thread's caches, by heap, if its allocations are traced.  If malloc() does not
 * count down by itself, its magazines above are then pyml_no_magazines.
 */
extern __thread struct pyml_cache *pyml_traced[PYML_CACHED_HEAPS + 1]
	__attribute__((tls_model("initial-exec")));

struct pyml_cache *pyml_cache_own(const struct pymalloc_heap *heap);
void pyml_cache_divert(struct pyml_cache *cache, bool traced, bool diverted);
struct pyml_cache *pyml_cache_get(struct pymalloc_heap *heap);
bool pyml_caches_have(struct pymalloc_heap *heap, const void *object,
		      size_t class);
void pyml_caches_attach(struct pymalloc_heap *heap, size_t first);
void pyml_caches_bypass(struct pymalloc_heap *heap);
void pyml_caches_prepare(void);
void pyml_caches_detach(struct pymalloc_heap *heap);

#pragma GCC visibility pop

#endif /* _PYML_THREAD_H */
