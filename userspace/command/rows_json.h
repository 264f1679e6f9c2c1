/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Snapshots as JSON, with everything that is in them. */
#ifndef _PYMALLOC_ROWS_JSON_H
#define _PYMALLOC_ROWS_JSON_H

#include "section.h"
#include "view.h"

void print_rows(const struct view *view, const struct snapshot *snapshot);

#endif /* _PYMALLOC_ROWS_JSON_H */
