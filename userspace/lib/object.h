/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Objects: allocated, freed, resized. */
#ifndef _PYML_OBJECT_H
#define _PYML_OBJECT_H

#include "types.h"

#pragma GCC visibility push(hidden)

bool pyml_report_free(struct pymalloc_heap *heap, void *object, size_t class);

#pragma GCC visibility pop

/*
 * Whether an object of @usable bytes keeps its place when it gets another @size: CPython's
 * rule.  It moves if it grows, or if that saves a quarter of it or more.
 */
static inline bool pyml_stays(size_t usable, size_t size)
{
	return size <= usable && 4 * size > 3 * usable;
}

#endif /* _PYML_OBJECT_H */
