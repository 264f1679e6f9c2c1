/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pops for malloc().  The shim is built twice: for programs that are traced from their start
 * on, with SHIM_COUNTS, malloc() counts down the bytes to the next block that is to be
 * looked at.  That costs it two instructions.  Else the library diverts all that is
 * allocated or freed to the slow path, and only as long as somebody traces.
 */
#ifndef _SHIM_COUNT_H
#define _SHIM_COUNT_H

#include "shim.h"
#include "thread.h"
#include "traced.h"

#ifndef SHIM_COUNTS
#define SHIM_COUNTS	0
#endif

/* Returns NULL if the slow path is to allocate the block. */
static inline void *shim_pop(size_t class_size)
{
	if (SHIM_COUNTS) {
		pyml_bytes_left -= class_size;
		if (unlikely(pyml_bytes_left < 0))
			return NULL;
	}
	return pymalloc_pop(pyml_magazines[SHIM_INDEX], class_size);
}

#endif /* _SHIM_COUNT_H */
