/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Snapshots of heaps, in memory and in files. */
#ifndef _PYMALLOC_SECTION_H
#define _PYMALLOC_SECTION_H

#include <stddef.h>

#include "sites.h"
#include "snapfile.h"

/**
 * struct section - the snapshot of a heap
 * @header: what is known about the heap
 * @rows: its blocks, @header.nr_rows of them
 * @table: its table of sites, @header.table_bytes of it
 * @sites: the same, checked
 */
struct section {
	struct snapfile_header header;
	struct snapfile_row *rows;
	char *table;
	struct sites sites;
};

/**
 * struct snapshot - snapshots of some heaps, taken together
 * @sections: one for each heap
 * @count: how many
 */
struct snapshot {
	struct section *sections;
	size_t count;
};

struct section *snapshot_add(struct snapshot *snapshot);
void snapshot_check(struct snapshot *snapshot, const char *name);
struct snapshot snapshot_read(const char *path);
void snapshot_write(const struct snapshot *snapshot, const char *path);
void snapshot_free(struct snapshot *snapshot);

#endif /* _PYMALLOC_SECTION_H */
