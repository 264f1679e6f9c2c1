// SPDX-License-Identifier: LGPL-2.1-or-later
/* pymalloc check: have the kernel prove that a heap adds up. */
#include <stdio.h>
#include <unistd.h>

#include "command.h"
#include "service.h"
#include "table.h"
#include "target.h"

static const struct column columns[] = {
	{ "HEAP", KIND_NUMBER },
	{ "ERRORS", KIND_NUMBER },
	{ "OFFSET", KIND_OFFSET },
	{ "MESSAGE", KIND_TEXT },
	{ NULL, 0 }
};

static void print_json(__u64 id, const struct pymalloc_check *check)
{
	struct table *table = table_new("check", columns, SHAPE_RECORD,
					(struct style){ .json = true });

	table_line(table);
	table_number(table, id);
	table_number(table, check->errors);
	if (check->errors) {
		table_number(table, check->offset);
		table_text(table, check->message);
	}
	tables_print(&table, 1);
}

static void print_text(__u64 id, const struct pymalloc_check *check)
{
	if (check->errors)
		printf("heap %llu: %llu errors; the first, at %#llx: %s\n", id,
		       check->errors, check->offset, check->message);
	else
		printf("heap %llu: sound\n", id);
}

int check_main(int argc, char **argv)
{
	struct target target = parse_target(argc, argv, "HEAP",
					    "Prove that a heap's figures add up.\n"
					    "The exit status is 1 if they do not.\n"
					    "The heap's process keeps running meanwhile.",
					    0);
	struct pymalloc_check check = { .argsz = sizeof(check) };
	int fd = open_heap(target.id, PYMALLOC_OPEN_RDONLY);

	service_call(fd, PYMALLOC_IOC_CHECK, &check);
	close(fd);
	if (target.json)
		print_json(target.id, &check);
	else
		print_text(target.id, &check);
	return check.errors ? EXIT_FAILED : 0;
}
