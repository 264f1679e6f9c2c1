// SPDX-License-Identifier: LGPL-2.1-or-later
/* pymalloc growing: what has become more from each snapshot to the next. */
#include <argp.h>
#include <err.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "heading.h"
#include "series.h"
#include "table.h"

#define NSEC_PER_HOUR	(3600 * 1e9)

static const struct column columns[] = {
	{ "FIRST", KIND_BYTES },
	{ "LAST", KIND_BYTES },
	{ "GROWTH", KIND_CHANGE_BYTES },
	{ "PER_HOUR", KIND_BYTES },
	{ "BLOCKS", KIND_NUMBER },
	{ "PLACE", KIND_LINES },
	{ NULL, 0 }
};

/* Those of a sampled trace. */
static const struct column estimates[] = {
	{ "~FIRST", KIND_BYTES },
	{ "~LAST", KIND_BYTES },
	{ "~GROWTH", KIND_CHANGE_BYTES },
	{ "~PER_HOUR", KIND_BYTES },
	{ "~BLOCKS", KIND_NUMBER },
	{ "PLACE", KIND_LINES },
	{ NULL, 0 }
};

/* In the first snapshot there may be nothing of it yet. */
static bool is_growing(const struct series *series, const struct course *course)
{
	size_t i;

	for (i = 1; i < series->nr_snapshots; i++)
		if (course->amounts[i].bytes <= course->amounts[i - 1].bytes)
			return false;
	return true;
}

static double growth_of(const struct series *series, const struct course *course)
{
	return course->amounts[series->nr_snapshots - 1].bytes - course->amounts[0].bytes;
}

/* Moves those that grow to the front.  Returns how many these are. */
static size_t keep_growing(struct series *series)
{
	size_t count = 0;
	size_t i;

	for (i = 0; i < series->count; i++) {
		struct course course = series->list[i];

		if (!is_growing(series, &course))
			continue;
		series->list[i] = series->list[count];
		series->list[count++] = course;
	}
	return count;
}

/* Whatever has grown most is the fastest, too. */
static int compare_growth(const void *a, const void *b, void *series)
{
	const struct course *x = a;
	const struct course *y = b;
	double change = growth_of(series, x) - growth_of(series, y);

	if (change)
		return change > 0 ? -1 : 1;
	return strcmp(x->group.key, y->group.key);
}

static void add_slope(struct table *table, const struct series *series, double growth)
{
	__u64 first = series->snapshots[0].sections->header.time;
	__u64 last = series->snapshots[series->nr_snapshots - 1].sections->header.time;
	double slope;

	if (last <= first) {
		table_none(table);
		return;
	}
	slope = growth * NSEC_PER_HOUR / (last - first);
	/* The times may be those of no clock. */
	table_number(table, slope < INT64_MAX ? llround(slope) : INT64_MAX);
}

static void add_course(struct table *table, const struct view *view,
		       const struct series *series, const struct course *course)
{
	const struct amount *last = &course->amounts[series->nr_snapshots - 1];
	char *text = group_text(view, &course->group);

	table_line(table);
	table_number(table, llround(course->amounts[0].bytes));
	table_number(table, llround(last->bytes));
	table_change(table, llround(growth_of(series, course)));
	add_slope(table, series, growth_of(series, course));
	table_number(table, llround(last->blocks));
	table_text(table, text);
	free(text);
}

static void print_growing(const struct view *view, struct series *series)
{
	size_t count = keep_growing(series);
	struct table *tables[] = {
		heading_new(view_style(view)),
		table_new("growing", series->estimated && !view->json ? estimates : columns,
			  SHAPE_LIST, view_style(view)),
	};
	size_t i;

	if (count)
		qsort_r(series->list, count, sizeof(*series->list), compare_growth, series);
	for (i = 0; i < series->nr_snapshots; i++)
		heading_add(tables[0], &series->snapshots[i]);
	for (i = 0; i < view_limit(view, count); i++)
		add_course(tables[1], view, series, &series->list[i]);
	tables_print(tables, 2);
}

/* Growth is from the older to the newer one, and of one heap. */
static void check_order(const struct view *view, const struct series *series)
{
	size_t i;

	for (i = 1; i < series->nr_snapshots; i++) {
		const struct snapfile_header *last = &series->snapshots[i - 1].sections->header;
		const struct snapfile_header *next = &series->snapshots[i].sections->header;

		if (next->time < last->time)
			errx(EXIT_FAILED, "%s is older than %s: give the oldest first",
			     view->words[i], view->words[i - 1]);
		if (next->pid != last->pid)
			warnx("%s is of process %u, and %s of %u", view->words[i], next->pid,
			      view->words[i - 1], last->pid);
	}
}

int growing_main(int argc, char **argv)
{
	struct view view = { .by = BY_LINE, .top = TOP_DEFAULT };
	const struct view_line line = {
		.args_doc = "FILE|HEAP FILE|HEAP...",
		.doc = "Print what has become more from each snapshot to the next, in the order\n"
		       "in which they are given.",
		.words_min = 2,
		.words_max = SIZE_MAX,
	};
	struct series series;

	parse_view(argc, argv, &line, &view);
	series = series_load(&view);
	check_order(&view, &series);
	print_growing(&view, &series);
	series_free(&series);
	return 0;
}
