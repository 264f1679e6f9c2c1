/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Types of objects, as the kernel shows them. */
#ifndef _PYMALLOC_TYPES_H
#define _PYMALLOC_TYPES_H

#include "table.h"

struct pymalloc_heap_info;
struct pymalloc_type_info;

/* The columns of a table of types, and what --help says about each of them. */
extern const struct column type_columns[];
extern const char *const type_help[];

size_t read_types(int fd, struct pymalloc_type_info *types);
void add_types(struct table *table, const struct pymalloc_heap_info *heap,
	       const struct pymalloc_type_info *types, size_t count);

#endif /* _PYMALLOC_TYPES_H */
