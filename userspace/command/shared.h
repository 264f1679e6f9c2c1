/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The clients and the names of a shared heap. */
#ifndef _PYMALLOC_SHARED_H
#define _PYMALLOC_SHARED_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/pymalloc.h>

#include "table.h"

bool is_shared(const struct pymalloc_heap_info *heap);
bool read_clients(int fd, struct pymalloc_client_info **clients, __u64 *count);
__u64 count_names(int fd);
struct table *client_table(int fd, const struct pymalloc_heap_info *heap, struct style style);
struct table *name_table(int fd, const struct pymalloc_heap_info *heap, struct style style);

#endif /* _PYMALLOC_SHARED_H */
