/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Batches by read() and write(), for a process in a sandbox. */
#ifndef _PYML_STREAM_H
#define _PYML_STREAM_H

#include "types.h"

#pragma GCC visibility push(hidden)

unsigned int pyml_stream_alloc(struct pymalloc_heap *heap, size_t size,
			       unsigned int flags, __u64 *refs,
			       unsigned int count);
void pyml_stream_free(struct pymalloc_heap *heap, const __u64 *refs, bool tell,
		      unsigned int count);
size_t pyml_stream_usable(struct pymalloc_heap *heap, __u64 ref);

#pragma GCC visibility pop

#endif /* _PYML_STREAM_H */
