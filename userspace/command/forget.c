// SPDX-License-Identifier: LGPL-2.1-or-later
/* pymalloc forget: give back what the kernel keeps of dead heaps. */
#include <argp.h>
#include <err.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/ioctl.h>

#include "command.h"
#include "options.h"
#include "service.h"
#include "table.h"

static const struct column columns[] = {
	{ "FORGOTTEN", KIND_NUMBER },
	{ NULL, 0 }
};

struct wish {
	bool all;
	bool json;
	__u64 *ids;
	size_t count;
};

static error_t parse(int key, char *word, struct argp_state *state)
{
	struct wish *wish = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		wish->ids = calloc(state->argc, sizeof(*wish->ids));
		if (!wish->ids)
			err(EXIT_FAILED, NULL);
		return 0;
	case 'a':
		wish->all = true;
		return 0;
	case 'j':
		wish->json = true;
		return 0;
	case ARGP_KEY_ARG:
		wish->ids[wish->count++] = parse_number(state, word);
		return 0;
	case ARGP_KEY_END:
		if (wish->all && wish->count)
			argp_error(state, "--all and a heap are two wishes");
		if (!wish->all && !wish->count)
			argp_error(state, "which heap? Give HEAP or --all");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* Returns how many were forgotten. */
static __u64 forget(int device, struct pymalloc_forget args)
{
	args.argsz = sizeof(args);
	if (!ioctl(device, PYMALLOC_IOC_FORGET, &args))
		return args.done;
	if (errno == ENOENT)
		warnx("no dead heap has the number %llu", args.id);
	else if (errno == EPERM)
		warnx("heap %llu is not yours", args.id);
	else
		err(EXIT_FAILED, "the service");
	return 0;
}

static void print(__u64 count, bool json)
{
	struct table *table;

	if (!json) {
		printf("%llu dead heap%s forgotten\n", count, count == 1 ? "" : "s");
		return;
	}
	table = table_new("forget", columns, SHAPE_RECORD, (struct style){ .json = true });
	table_line(table);
	table_number(table, count);
	tables_print(&table, 1);
}

int forget_main(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "all", 'a', NULL, 0, "all dead heaps of your user", 0 },
		{ "json", 'j', NULL, 0, "print JSON", 0 },
		{ 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "HEAP...\n--all",
		.doc = "Give back what the kernel keeps of dead heaps.",
		.children = help_child,
	};
	struct wish wish = {};
	__u64 count = 0;
	int device;
	size_t i;

	argp_parse(&argp, argc, argv, 0, NULL, &wish);
	device = open_device();
	if (wish.all)
		count = forget(device,
			       (struct pymalloc_forget){ .flags = PYMALLOC_FORGET_ALL });
	for (i = 0; i < wish.count; i++)
		count += forget(device, (struct pymalloc_forget){ .id = wish.ids[i] });
	close(device);
	free(wish.ids);
	print(count, wish.json);
	return wish.all || count == wish.count ? 0 : EXIT_FAILED;
}
