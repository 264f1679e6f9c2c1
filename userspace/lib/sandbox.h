/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether the process is in a sandbox, and what the library does there. */
#ifndef _PYMALLOC_SANDBOX_H
#define _PYMALLOC_SANDBOX_H

#include <pthread.h>

#include "heap.h"

#pragma GCC visibility push(hidden)

/* sandbox.c */
bool pymalloc_in_sandbox(void);
bool pymalloc_begin_calls(void);
void pymalloc_end_calls(void);
bool pymalloc_lock_patiently(pthread_mutex_t *lock);
void pymalloc_sandbox_start(void);
void pymalloc_sandbox_begin(void);
void pymalloc_sandbox_cancel(void);

/* stream.c */
unsigned int pymalloc_stream_alloc(struct pymalloc_heap *heap, size_t size,
				   unsigned int flags, __u64 *refs,
				   unsigned int count);
void pymalloc_stream_free(struct pymalloc_heap *heap, const __u64 *refs, bool tell,
			  unsigned int count);
size_t pymalloc_stream_usable(struct pymalloc_heap *heap, __u64 ref);

#pragma GCC visibility pop

#endif /* _PYMALLOC_SANDBOX_H */
