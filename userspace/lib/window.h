/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A heap's window: where it lies, and how much of it is mapped. */
#ifndef _PYML_WINDOW_H
#define _PYML_WINDOW_H

#include "types.h"

#pragma GCC visibility push(hidden)

__u64 pyml_window_first(__u64 window);
int pyml_window_map(struct pymalloc_heap *heap);
void pyml_window_unmap(struct pymalloc_heap *heap);
bool pyml_window_grow(struct pymalloc_heap *heap, __u64 extent);
void pyml_window_grow_ahead(struct pymalloc_heap *heap);
bool pyml_window_is_there(const struct pymalloc_heap *heap);
void pyml_window_before_fork(void);
void pyml_window_after_fork(void);
void pyml_window_inherit(void);

#pragma GCC visibility pop

/*
 * How much of the window is mapped: read before a call that may find it used up, for
 * pyml_window_grow().  Relaxed: it is only compared, and again under the lock.
 */
static inline __u64 pyml_extent(const struct pymalloc_heap *heap)
{
	return __atomic_load_n(&heap->view.extent, __ATOMIC_RELAXED);
}

#endif /* _PYML_WINDOW_H */
