// SPDX-License-Identifier: LGPL-2.1-or-later
/* pymalloc diff: what has changed from one snapshot to another. */
#include <argp.h>
#include <err.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "heading.h"
#include "options.h"
#include "series.h"
#include "table.h"
#include "text.h"

enum { OPTION_FAIL = 0x300 };

/* The two snapshots. */
enum { BEFORE, AFTER };

static const struct argp_option options[] = {
	{ "fail-on-growth", OPTION_FAIL, "BYTES", 0,
	  "fail with 3 if there are more than BYTES more; K, M and G are known", 0 },
	{ 0 }
};

static const struct column columns[] = {
	{ "SIZE", KIND_BYTES },
	{ "SIZE_DIFF", KIND_CHANGE_BYTES },
	{ "COUNT", KIND_NUMBER },
	{ "COUNT_DIFF", KIND_CHANGE },
	{ "PLACE", KIND_LINES },
	{ NULL, 0 }
};

/* Those of a sampled trace. */
static const struct column estimates[] = {
	{ "~SIZE", KIND_BYTES },
	{ "~SIZE_DIFF", KIND_CHANGE_BYTES },
	{ "~COUNT", KIND_NUMBER },
	{ "~COUNT_DIFF", KIND_CHANGE },
	{ "PLACE", KIND_LINES },
	{ NULL, 0 }
};

/* What the line asks for. */
struct wish {
	bool fails;
	__u64 growth;
};

static error_t parse(int key, char *word, struct argp_state *state)
{
	struct wish *wish = state->input;

	if (key != OPTION_FAIL)
		return ARGP_ERR_UNKNOWN;
	wish->fails = true;
	wish->growth = parse_size(state, word);
	return 0;
}

static double size_diff(const struct course *course)
{
	return course->amounts[AFTER].bytes - course->amounts[BEFORE].bytes;
}

static double count_diff(const struct course *course)
{
	return course->amounts[AFTER].blocks - course->amounts[BEFORE].blocks;
}

/* As tracemalloc's compare_to() does: the largest change first, more or less. */
static int compare_changes(const void *a, const void *b)
{
	const struct course *x = a;
	const struct course *y = b;
	double changes[] = {
		fabs(size_diff(x)) - fabs(size_diff(y)),
		x->amounts[AFTER].bytes - y->amounts[AFTER].bytes,
		fabs(count_diff(x)) - fabs(count_diff(y)),
		x->amounts[AFTER].blocks - y->amounts[AFTER].blocks,
	};
	size_t i;

	for (i = 0; i < sizeof(changes) / sizeof(*changes); i++)
		if (changes[i])
			return changes[i] > 0 ? -1 : 1;
	return strcmp(x->group.key, y->group.key);
}

static void add_course(struct table *table, const struct view *view,
		       const struct course *course)
{
	char *text = group_text(view, &course->group);

	table_line(table);
	table_number(table, llround(course->amounts[AFTER].bytes));
	table_change(table, llround(size_diff(course)));
	table_number(table, llround(course->amounts[AFTER].blocks));
	table_change(table, llround(count_diff(course)));
	table_text(table, text);
	free(text);
}

static double sum_of_growth(const struct series *series)
{
	double sum = 0;
	size_t i;

	for (i = 0; i < series->count; i++)
		sum += size_diff(&series->list[i]);
	return sum;
}

static void print_sum(const struct view *view, const struct series *series)
{
	double sum = sum_of_growth(series);
	char text[SIZE_LEN];

	if (view->bytes)
		snprintf(text, sizeof(text), "%.0f", fabs(sum));
	else
		format_bytes(text, llround(fabs(sum)));
	printf("\n%s bytes of all: %s\n", sum < 0 ? "fewer" : "more", text);
}

static void print_diff(const struct view *view, struct series *series)
{
	struct table *tables[] = {
		heading_new(view_style(view)),
		table_new("diff", series->estimated && !view->json ? estimates : columns,
			  SHAPE_LIST, view_style(view)),
	};
	size_t i;

	if (series->count)
		qsort(series->list, series->count, sizeof(*series->list), compare_changes);
	for (i = 0; i < series->nr_snapshots; i++)
		heading_add(tables[0], &series->snapshots[i]);
	for (i = 0; i < view_limit(view, series->count); i++)
		add_course(tables[1], view, &series->list[i]);
	tables_print(tables, 2);
	if (!view->json)
		print_sum(view, series);
}

int diff_main(int argc, char **argv)
{
	static const struct argp own = { .options = options, .parser = parse };
	struct view view = { .by = BY_LINE, .top = TOP_DEFAULT };
	struct wish wish = { 0 };
	const struct view_line line = {
		.args_doc = "FILE|HEAP FILE|HEAP",
		.doc = "Print what has changed from one snapshot to another, the largest change\n"
		       "first.",
		.words_min = 2,
		.words_max = 2,
		.own = &own,
		.own_input = &wish,
	};
	struct series series;
	int status = 0;

	parse_view(argc, argv, &line, &view);
	series = series_load(&view);
	print_diff(&view, &series);
	if (wish.fails && sum_of_growth(&series) > wish.growth) {
		warnx("%.0f bytes more, and --fail-on-growth is %llu", sum_of_growth(&series),
		      wish.growth);
		status = EXIT_GROWN;
	}
	series_free(&series);
	return status;
}
