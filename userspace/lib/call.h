/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls to the kernel's service. */
#ifndef _PYML_CALL_H
#define _PYML_CALL_H

#include "types.h"

#pragma GCC visibility push(hidden)

int pyml_call(struct pymalloc_heap *heap, unsigned long command, void *args);
unsigned int pyml_call_alloc(struct pymalloc_heap *heap, size_t size,
			     unsigned int flags, __u64 *refs,
			     unsigned int count);
void *pyml_alloc_uncached(struct pymalloc_heap *heap, size_t size,
			  unsigned int flags);
void pyml_call_free(struct pymalloc_heap *heap, const __u64 *refs,
		    __u8 *status, unsigned int count);
void pyml_call_caches(struct pymalloc_heap *heap, __u64 threads,
		      __u64 bytes_max);
size_t pyml_call_usable(struct pymalloc_heap *heap, __u64 ref);

#pragma GCC visibility pop

#endif /* _PYML_CALL_H */
