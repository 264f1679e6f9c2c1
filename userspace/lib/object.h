/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Objects: allocated, freed, resized. */
#ifndef _PYML_OBJECT_H
#define _PYML_OBJECT_H

#include "types.h"

#pragma GCC visibility push(hidden)

bool pyml_report_free(struct pymalloc_heap *heap, void *object, size_t class);

#pragma GCC visibility pop

/* CPython's rule: stay, unless more than a quarter would be saved. */
static inline bool pyml_stays(size_t usable, size_t size)
{
	return size <= usable && 4 * size > 3 * usable;
}

#endif /* _PYML_OBJECT_H */
