/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Everything of the core, for code outside of it.  Files of the core include only the
 * headers that they need.
 */
#ifndef PYM_CORE_H
#define PYM_CORE_H

#include "arena.h"
#include "check.h"
#include "clone.h"
#include "frame.h"
#include "heap.h"
#include "live.h"
#include "mesh.h"
#include "object.h"
#include "ops.h"
#include "page.h"
#include "pool.h"
#include "quota.h"
#include "record.h"
#include "region.h"
#include "repack.h"
#include "stats.h"
#include "trim.h"
#include "type.h"
#include "types.h"
#include "walk.h"
#include "whole.h"

#endif /* PYM_CORE_H */
