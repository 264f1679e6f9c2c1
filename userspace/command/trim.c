// SPDX-License-Identifier: LGPL-2.1-or-later
/* pymalloc trim: give a heap's empty pools back to the system. */
#include <stdio.h>
#include <unistd.h>

#include "command.h"
#include "service.h"
#include "table.h"
#include "target.h"

static const struct column columns[] = {
	{ "HEAP", KIND_NUMBER },
	{ "RELEASED", KIND_BYTES },
	{ NULL, 0 }
};

static void print_json(__u64 id, __u64 released)
{
	struct table *table = table_new("trim", columns, SHAPE_RECORD,
					(struct style){ .json = true });

	table_line(table);
	table_number(table, id);
	table_number(table, released);
	tables_print(&table, 1);
}

int trim_main(int argc, char **argv)
{
	struct target target = parse_target(argc, argv, "HEAP",
					    "Give a heap's empty pools back to the system.",
					    0);
	struct pymalloc_trim trim = { .argsz = sizeof(trim) };
	int fd = open_heap(target.id, 0);

	service_call(fd, PYMALLOC_IOC_TRIM, &trim);
	close(fd);
	if (target.json)
		print_json(target.id, trim.released);
	else
		printf("heap %llu: %llu bytes given back\n", target.id,
		       trim.released);
	return 0;
}
