/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The core of the allocator, for those outside of it: heaps, and what can be asked
 * of them.
 */
#ifndef PYM_CORE_H
#define PYM_CORE_H

#include "arena.h"
#include "check.h"
#include "clone.h"
#include "frame.h"
#include "heap.h"
#include "live.h"
#include "object.h"
#include "ops.h"
#include "page.h"
#include "pool.h"
#include "quota.h"
#include "region.h"
#include "stats.h"
#include "trim.h"
#include "types.h"
#include "walk.h"

#endif /* PYM_CORE_H */
