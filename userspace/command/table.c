// SPDX-License-Identifier: LGPL-2.1-or-later
#include <err.h>
#include <libsmartcols/libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "table.h"

struct table {
	struct libscols_table *cells;
	const struct column *columns;
	enum layout layout;
	struct libscols_line *line;
	size_t next;			/* column to be filled */
};

/* libsmartcols returns NULL or a negative error, all for want of memory. */
static void *need(void *pointer)
{
	if (!pointer)
		errx(EXIT_FAILED, "out of memory");
	return pointer;
}

static void need_ok(int ret)
{
	if (ret)
		errx(EXIT_FAILED, "out of memory");
}

static void add_column(struct libscols_table *cells, const char *name,
		       enum kind kind)
{
	int flags = kind == KIND_TEXT ? 0 : SCOLS_FL_RIGHT;
	struct libscols_column *column;

	column = need(scols_table_new_column(cells, name, 0, flags));
	if (kind != KIND_TEXT)
		need_ok(scols_column_set_json_type(column, SCOLS_JSON_NUMBER));
}

struct table *table_new(const char *name, const struct column *columns,
			enum layout layout)
{
	struct table *table = need(calloc(1, sizeof(*table)));
	struct libscols_table *cells = need(scols_new_table());

	table->cells = cells;
	table->columns = columns;
	table->layout = layout;
	need_ok(scols_table_set_name(cells, name));
	need_ok(scols_table_enable_json(cells, layout == LAYOUT_JSON));
	if (layout == LAYOUT_RECORD) {
		need_ok(scols_table_enable_noheadings(cells, 1));
		add_column(cells, "NAME", KIND_TEXT);
		add_column(cells, "VALUE", KIND_TEXT);
		return table;
	}
	for (; columns->name; columns++)
		add_column(cells, columns->name, columns->kind);
	return table;
}

void table_line(struct table *table)
{
	table->next = 0;
	if (table->layout != LAYOUT_RECORD)
		table->line = need(scols_table_new_line(table->cells, NULL));
}

void table_text(struct table *table, const char *text)
{
	const struct column *column = &table->columns[table->next];
	struct libscols_line *line = table->line;
	size_t cell = table->next++;

	if (table->layout == LAYOUT_RECORD) {
		line = need(scols_table_new_line(table->cells, NULL));
		need_ok(scols_line_set_data(line, 0, column->name));
		cell = 1;
	}
	need_ok(scols_line_set_data(line, cell, text));
}

void table_number(struct table *table, __u64 number)
{
	enum kind kind = table->columns[table->next].kind;
	char text[SIZE_LEN];

	if (table->layout == LAYOUT_JSON)
		kind = KIND_NUMBER;
	if (kind == KIND_LIMIT && !number) {
		table_text(table, "none");
		return;
	}
	switch (kind) {
	case KIND_BYTES:
	case KIND_LIMIT:
		format_bytes(text, number);
		break;
	case KIND_PERCENT:
		snprintf(text, sizeof(text), "%llu%%", number);
		break;
	case KIND_OFFSET:
		snprintf(text, sizeof(text), "%#llx", number);
		break;
	default:
		snprintf(text, sizeof(text), "%llu", number);
	}
	table_text(table, text);
}

/* Each table is an object of its own to libsmartcols: leave its braces out. */
static void print_member(struct table *table, bool last)
{
	char *text, *start, *end;

	need_ok(scols_print_table_to_string(table->cells, &text));
	start = strchr(text, '\n');
	end = strrchr(text, '}');
	if (!start || !end)
		errx(EXIT_FAILED, "libsmartcols: unexpected JSON");
	while (end[-1] == '\n')
		end--;
	printf("%.*s%s", (int)(end - start), start, last ? "\n}\n" : ",");
	free(text);
}

static void print_json(struct table **tables, size_t count)
{
	size_t i;

	putchar('{');
	for (i = 0; i < count; i++)
		print_member(tables[i], i == count - 1);
}

static void print_text(struct table **tables, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (i)
			putchar('\n');
		fflush(stdout);
		need_ok(scols_print_table(tables[i]->cells));
	}
}

void tables_print(struct table **tables, size_t count)
{
	size_t i;

	if (tables[0]->layout == LAYOUT_JSON)
		print_json(tables, count);
	else
		print_text(tables, count);
	for (i = 0; i < count; i++) {
		scols_unref_table(tables[i]->cells);
		free(tables[i]);
	}
}
