/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Heaps: made, mapped, asked and given back. */
#ifndef _PYML_HEAP_H
#define _PYML_HEAP_H

#include "types.h"

#pragma GCC visibility push(hidden)

struct pymalloc_heap *
pyml_heap_create_from(const struct pymalloc_heap_options *options,
		      size_t first);

#pragma GCC visibility pop

#endif /* _PYML_HEAP_H */
