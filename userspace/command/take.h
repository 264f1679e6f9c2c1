/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a snapshot of a heap is taken. */
#ifndef _PYMALLOC_TAKE_H
#define _PYMALLOC_TAKE_H

#include "section.h"

void take_snapshots(struct snapshot *snapshot, const __u64 *ids, size_t count);

#endif /* _PYMALLOC_TAKE_H */
