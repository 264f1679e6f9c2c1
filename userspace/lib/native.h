/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The frames of the calling thread that are no Python frames, and the files they are in. */
#ifndef _PYML_NATIVE_H
#define _PYML_NATIVE_H

#include "map.h"
#include "table.h"

#pragma GCC visibility push(hidden)

void pyml_native_prepare(void);
unsigned int pyml_native_capture(__u64 *addresses, unsigned int max);
__u32 pyml_native_object(struct pyml_table *table, struct pyml_map *objects, __u64 address);

#pragma GCC visibility pop

#endif /* _PYML_NATIVE_H */
