/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether the process is in a sandbox, and what the library does there. */
#ifndef _PYML_SANDBOX_H
#define _PYML_SANDBOX_H

#include <pthread.h>

#include "heap.h"

#pragma GCC visibility push(hidden)

/* sandbox.c */
bool pyml_in_sandbox(void);
bool pyml_begin_calls(void);
void pyml_end_calls(void);
bool pyml_lock_patiently(pthread_mutex_t *lock);
void pyml_sandbox_start(void);
void pyml_sandbox_begin(void);
void pyml_sandbox_cancel(void);

/* stream.c */
unsigned int pyml_stream_alloc(struct pymalloc_heap *heap, size_t size,
			       unsigned int flags, __u64 *refs,
			       unsigned int count);
void pyml_stream_free(struct pymalloc_heap *heap, const __u64 *refs, bool tell,
		      unsigned int count);
size_t pyml_stream_usable(struct pymalloc_heap *heap, __u64 ref);

#pragma GCC visibility pop

#endif /* _PYML_SANDBOX_H */
