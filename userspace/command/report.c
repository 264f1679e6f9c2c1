// SPDX-License-Identifier: LGPL-2.1-or-later
/* pymalloc report: the blocks of a snapshot, by where they were allocated. */
#include <argp.h>
#include <err.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "groups.h"
#include "heading.h"
#include "options.h"
#include "report.h"
#include "rows_json.h"
#include "table.h"
#include "text.h"

enum { OPTION_TEMPORARY = 0x300 };

enum { BYTES, BLOCKS, AVERAGE, SHARE, ALLOCATED, IDLE, PLACE };

static const struct column columns[] = {
	[BYTES] = { "BYTES", KIND_BYTES },
	[BLOCKS] = { "BLOCKS", KIND_NUMBER },
	[AVERAGE] = { "AVERAGE", KIND_BYTES },
	[SHARE] = { "SHARE", KIND_PERCENT },
	[ALLOCATED] = { "ALLOCATED", KIND_NUMBER },
	[IDLE] = { "IDLE", KIND_NUMBER },
	[PLACE] = { "PLACE", KIND_LINES },
	{ NULL, 0 }
};

/* Those of a sampled trace. */
static const struct column estimates[] = {
	[BYTES] = { "~BYTES", KIND_BYTES },
	[BLOCKS] = { "~BLOCKS", KIND_NUMBER },
	[AVERAGE] = { "~AVERAGE", KIND_BYTES },
	[SHARE] = { "~SHARE", KIND_PERCENT },
	[ALLOCATED] = { "ALLOCATED", KIND_NUMBER },
	[IDLE] = { "IDLE", KIND_NUMBER },
	[PLACE] = { "PLACE", KIND_LINES },
	{ NULL, 0 }
};

static const struct column temporary_columns[] = {
	{ "DIED", KIND_NUMBER },
	{ "ALLOCATED", KIND_NUMBER },
	{ "LIVE", KIND_NUMBER },
	{ "ALIVE", KIND_PERCENT },
	{ "PLACE", KIND_LINES },
	{ NULL, 0 }
};

static const struct argp_option options[] = {
	{ "temporary", OPTION_TEMPORARY, NULL, 0,
	  "where most blocks have been allocated that are free again", 0 },
	{ 0 }
};

static error_t parse(int key, char *word, struct argp_state *state)
{
	bool *temporary = state->input;

	(void)word;
	if (key != OPTION_TEMPORARY)
		return ARGP_ERR_UNKNOWN;
	*temporary = true;
	return 0;
}

static bool knows_idle(const struct groups *groups)
{
	size_t i;

	for (i = 0; i < groups->count; i++)
		if (groups->list[i].idle != SNAPFILE_NO_IDLE)
			return true;
	return false;
}

/* What is not known of any group has no column. */
static struct selection choose_columns(const struct groups *groups)
{
	bool idle = knows_idle(groups);
	struct selection selection = { .count = 0 };
	size_t i;

	for (i = BYTES; i <= PLACE; i++)
		if ((i != ALLOCATED || groups->counted) && (i != IDLE || idle))
			selection.indices[selection.count++] = i;
	return selection;
}

static void add_place(struct table *table, const struct view *view,
		      const struct group *group)
{
	char *text = group_text(view, group);

	table_text(table, text);
	free(text);
}

static void add_group(struct table *table, const struct view *view,
		      const struct groups *groups, const struct group *group)
{
	table_line(table);
	table_number(table, group->bytes + 0.5);
	table_number(table, group->blocks + 0.5);
	table_number(table, group->bytes / group->blocks + 0.5);
	table_number(table, groups->bytes ? 100 * group->bytes / groups->bytes + 0.5 : 0);
	/* Nobody has counted the blocks that are older than the trace. */
	if (group->stack || group->allocated)
		table_number(table, group->allocated);
	else
		table_none(table);
	if (group->idle == SNAPFILE_NO_IDLE)
		table_none(table);
	else
		table_number(table, group->idle);
	add_place(table, view, group);
}

/* Of a group that is an estimate there may be less than half a block. */
static size_t count_alive(const struct groups *groups)
{
	size_t count = 0;

	while (count < groups->count && groups->list[count].blocks > 0)
		count++;
	return count;
}

static void print_rest(const struct view *view, const struct groups *groups, size_t shown,
		       size_t alive)
{
	double bytes = 0, blocks = 0;
	char text[SIZE_LEN];
	size_t i;

	for (i = shown; i < alive; i++) {
		bytes += groups->list[i].bytes;
		blocks += groups->list[i].blocks;
	}
	if (shown < alive)
		printf("\n%zu more, with %s in %.0f blocks; --top 0 shows them\n", alive - shown,
		       format_bytes(text, bytes), blocks);
	if (!alive && view->nr_filters)
		puts("\nno block is where --filter says");
	if (groups->cached_blocks && !view->cached)
		printf("\n%.0f free blocks in magazines, with %s, are left out (--cached)\n",
		       groups->cached_blocks, format_bytes(text, groups->cached_bytes));
}

/* Without a trace, nothing is known but sizes. */
static void print_hint(const struct view *view, const struct section *section)
{
	if (section->sites.settings || view->by == BY_CLASS || view->by == BY_IDLE)
		return;
	printf("\nheap %llu is not traced; `pymalloc trace %llu --mode exact` begins that\n",
	       section->header.heap, section->header.heap);
}

static void print_table(const struct view *view, const struct snapshot *snapshot)
{
	struct groups groups = groups_make(view, snapshot);
	const struct selection selection = choose_columns(&groups);
	struct table *tables[] = {
		heading_new(view_style(view)),
		table_new_of("groups", groups.estimated ? estimates : columns, &selection,
			     view_style(view)),
	};
	size_t alive = count_alive(&groups);
	size_t shown = view_limit(view, alive);
	size_t i;

	heading_add(tables[0], snapshot);
	for (i = 0; i < shown; i++)
		add_group(tables[1], view, &groups, &groups.list[i]);
	tables_print(tables, 2);
	print_rest(view, &groups, shown, alive);
	print_hint(view, &snapshot->sections[0]);
	groups_free(&groups);
}

/**
 * print_report() - print the blocks of the snapshot that a line means
 * @view: what the line asks for
 */
void print_report(const struct view *view)
{
	struct snapshot snapshot = view_snapshot(view);

	if (view->json)
		print_rows(view, &snapshot);
	else
		print_table(view, &snapshot);
	snapshot_free(&snapshot);
}

static double died(const struct group *group)
{
	return group->allocated > group->blocks ? group->allocated - group->blocks : 0;
}

static int compare_died(const void *a, const void *b)
{
	double x = died(a);
	double y = died(b);

	if (x != y)
		return x > y ? -1 : 1;
	return strcmp(((const struct group *)a)->key, ((const struct group *)b)->key);
}

static void add_temporary(struct table *table, const struct view *view,
			  const struct group *group)
{
	table_line(table);
	table_number(table, died(group));
	table_number(table, group->allocated);
	table_number(table, group->blocks);
	table_number(table, 100 * group->blocks / group->allocated);
	add_place(table, view, group);
}

static void print_temporary(const struct view *view)
{
	struct snapshot snapshot = view_snapshot(view);
	struct groups groups = groups_make(view, &snapshot);
	struct table *tables[] = {
		heading_new(view_style(view)),
		table_new("temporary", temporary_columns, SHAPE_LIST, view_style(view)),
	};
	size_t i;

	if (!groups.counted)
		errx(EXIT_FAILED, "what is allocated is not counted %s",
		     groups.estimated ? "by a sampled trace" :
		     view->by == BY_CLASS || view->by == BY_IDLE ? "by class or idle" :
		     "without a trace");
	heading_add(tables[0], &snapshot);
	if (groups.count)
		qsort(groups.list, groups.count, sizeof(*groups.list), compare_died);
	for (i = 0; i < view_limit(view, groups.count) && died(&groups.list[i]) > 0; i++)
		add_temporary(tables[1], view, &groups.list[i]);
	tables_print(tables, 2);
	groups_free(&groups);
	snapshot_free(&snapshot);
}

int report_main(int argc, char **argv)
{
	static const struct argp own = { .options = options, .parser = parse };
	struct view view = { .by = BY_LINE, .top = TOP_DEFAULT };
	bool temporary = false;
	const struct view_line line = {
		.args_doc = "FILE|HEAP",
		.doc = "Print the blocks of a snapshot by the line that allocated them: of a file\n"
		       "that pymalloc snapshot has written, or of a heap as it is now.",
		.words_min = 1,
		.words_max = 1,
		.own = &own,
		.own_input = &temporary,
	};

	parse_view(argc, argv, &line, &view);
	if (temporary)
		print_temporary(&view);
	else
		print_report(&view);
	return 0;
}
