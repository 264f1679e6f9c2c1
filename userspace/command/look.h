/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Heaps at one moment. */
#ifndef _PYMALLOC_LOOK_H
#define _PYMALLOC_LOOK_H

#include <stddef.h>

#include <linux/pymalloc.h>

#include "figures.h"

/**
 * struct seen - a heap at one moment
 * @info: who it is
 * @figures: its figures
 */
struct seen {
	struct pymalloc_heap_info info;
	struct figures figures;
};

/**
 * struct look - what there was at one moment
 * @heaps: in the order of their numbers
 * @count: how many
 */
struct look {
	struct seen *heaps;
	size_t count;
};

struct look look_at_all(int device);
struct look look_at_one(int heap);
const struct seen *look_find(const struct look *look, __u64 id, size_t *from);
void look_free(struct look *look);

#endif /* _PYMALLOC_LOOK_H */
