// SPDX-License-Identifier: LGPL-2.1-or-later
/* pymalloc compact: have a heap give back all that it can. */
#include <stdio.h>
#include <unistd.h>

#include "command.h"
#include "service.h"
#include "table.h"
#include "target.h"

static const struct column columns[] = {
	{ "HEAP", KIND_NUMBER },
	{ "RELEASED", KIND_BYTES },
	{ "JOINED", KIND_NUMBER },
	{ "COPIED", KIND_BYTES },
	{ "PINNED", KIND_NUMBER },
	{ "BLOCKS_TAKEN", KIND_NUMBER },
	{ NULL, 0 }
};

static void print_json(__u64 id, const struct pymalloc_compact *compact)
{
	struct table *table = table_new("compact", columns, SHAPE_RECORD,
					(struct style){ .json = true });

	table_line(table);
	table_number(table, id);
	table_number(table, compact->pages_freed * PYMALLOC_POOL_SIZE);
	table_number(table, compact->frames_joined);
	table_number(table, compact->bytes_copied);
	table_number(table, compact->pages_pinned);
	table_number(table, compact->blocks_taken);
	tables_print(&table, 1);
}

static void print_text(__u64 id, const struct pymalloc_compact *compact)
{
	printf("heap %llu: %llu bytes given back\n", id,
	       compact->pages_freed * PYMALLOC_POOL_SIZE);
	if (compact->blocks_taken)
		printf("%llu blocks taken from magazines\n", compact->blocks_taken);
	if (compact->frames_joined)
		printf("%llu pages have taken in %llu bytes of others\n",
		       compact->frames_joined, compact->bytes_copied);
	if (compact->pages_pinned)
		printf("%llu pages left alone: something else uses them\n",
		       compact->pages_pinned);
}

int compact_main(int argc, char **argv)
{
	struct target target = parse_target(argc, argv, "HEAP",
					    "Have a heap give back all memory that it can: empty pools, what\n"
					    "threads keep in magazines, and pages of sparse pools, which then\n"
					    "share pages.",
					    0);
	struct pymalloc_compact compact = { .argsz = sizeof(compact) };
	int fd = open_heap(target.id, 0);

	service_call(fd, PYMALLOC_IOC_COMPACT, &compact);
	close(fd);
	if (target.json)
		print_json(target.id, &compact);
	else
		print_text(target.id, &compact);
	return 0;
}
