/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is said about snapshots before their blocks. */
#ifndef _PYMALLOC_HEADING_H
#define _PYMALLOC_HEADING_H

#include <stdbool.h>

#include "section.h"
#include "table.h"

const char *section_mode(const struct section *section);
struct table *heading_new(struct style style);
void heading_add(struct table *table, const struct snapshot *snapshot);

#endif /* _PYMALLOC_HEADING_H */
