// SPDX-License-Identifier: LGPL-2.1-or-later
/* pymalloc ls: the heaps of this machine that the caller may see. */
#include <argp.h>
#include <stdlib.h>
#include <unistd.h>

#include "command.h"
#include "table.h"

static const struct column columns[] = {
	{ "HEAP", KIND_NUMBER },
	{ "PID", KIND_NUMBER },
	{ "COMMAND", KIND_TEXT },
	{ "NAME", KIND_TEXT },
	{ "BYTES", KIND_BYTES },
	{ "PSS", KIND_BYTES },
	{ "USED", KIND_BYTES },
	{ "FRAG", KIND_PERCENT },
	{ NULL, 0 }
};

static error_t parse(int key, char *word, struct argp_state *state)
{
	enum layout *layout = state->input;

	(void)word;
	switch (key) {
	case 'j':
		*layout = LAYOUT_JSON;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "too many arguments");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void add(struct table *table, const struct pymalloc_heap_info *heap)
{
	table_line(table);
	table_number(table, heap->id);
	table_number(table, heap->pid);
	table_text(table, heap->comm);
	table_text(table, heap->name);
	table_number(table, heap->page_bytes);
	table_number(table, heap->pss_bytes);
	table_number(table, heap->used_bytes);
	table_number(table, fragmentation(heap->page_bytes, heap->used_bytes));
}

int ls_main(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "json", 'j', NULL, 0, "print JSON", 0 },
		{ 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.doc = "List heaps: your own, or all for root.\n"
		       "BYTES are those of the pages that a heap holds, PSS its part of\n"
		       "them: a page that n heaps have since a fork() counts for one n-th.\n"
		       "USED are those of its objects, FRAG is the share of BYTES that is\n"
		       "not USED.",
		.children = help_child,
	};
	enum layout layout = LAYOUT_LIST;
	struct pymalloc_heap_info *heaps;
	struct table *table;
	size_t count, i;
	int device;

	argp_parse(&argp, argc, argv, 0, NULL, &layout);
	device = open_device();
	count = list_heaps(device, &heaps);
	close(device);
	table = table_new("heaps", columns, layout);
	for (i = 0; i < count; i++)
		add(table, &heaps[i]);
	free(heaps);
	tables_print(&table, 1);
	return 0;
}
