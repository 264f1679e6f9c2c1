/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The groups of several snapshots, side by side. */
#ifndef _PYMALLOC_SERIES_H
#define _PYMALLOC_SERIES_H

#include <stddef.h>

#include "groups.h"
#include "view.h"

/**
 * struct amount - how much of something a snapshot has
 * @bytes: bytes
 * @blocks: blocks
 */
struct amount {
	double bytes;
	double blocks;
};

/**
 * struct course - a group in all snapshots
 * @group: the last one of it
 * @amounts: how much there was, in each
 */
struct course {
	struct group group;
	struct amount *amounts;
};

/**
 * struct series - several snapshots
 * @snapshots: the snapshots
 * @nr_snapshots: how many
 * @list: the groups that one of them has, at least
 * @count: how many
 * @estimated: whether numbers are estimates
 */
struct series {
	struct snapshot *snapshots;
	size_t nr_snapshots;
	struct course *list;
	size_t count;
	bool estimated;
};

struct series series_load(const struct view *view);
void series_free(struct series *series);

#endif /* _PYMALLOC_SERIES_H */
