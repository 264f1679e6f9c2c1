// SPDX-License-Identifier: LGPL-2.1-or-later
/* Tables, as text or as JSON, by libsmartcols. */
#include <err.h>
#include <libsmartcols/libsmartcols.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "command.h"
#include "table.h"
#include "text.h"

struct table {
	struct libscols_table *cells;
	const struct column *columns;
	struct libscols_column *shown[COLUMNS_MAX];	/* by index in @columns */
	enum shape shape;
	struct style style;
	struct libscols_line *line;
	size_t next;			/* column to be filled */
};

/* All of libsmartcols' errors here, NULL or a negative number, are lack of memory. */
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

static bool is_text(enum kind kind)
{
	return kind == KIND_TEXT || kind == KIND_LINES;
}

/* Without this, the end of a line is shown as any other control character. */
static void set_lines(struct libscols_column *column)
{
	need_ok(scols_column_set_safechars(column, "\n"));
	need_ok(scols_column_set_wrapfunc(column, scols_wrapnl_chunksize,
					  scols_wrapnl_nextchunk, NULL));
}

static struct libscols_column *add_column(struct table *table, const char *name,
					  enum kind kind, int flags)
{
	struct libscols_column *column;

	if (!is_text(kind))
		flags |= SCOLS_FL_RIGHT;
	if (kind == KIND_LINES && !table->style.json)
		flags |= SCOLS_FL_WRAP;
	column = need(scols_table_new_column(table->cells, name, 0, flags));
	if (kind == KIND_LINES)
		set_lines(column);
	if (!is_text(kind))
		need_ok(scols_column_set_json_type(column, kind == KIND_SWITCH ?
						   SCOLS_JSON_BOOLEAN : SCOLS_JSON_NUMBER));
	return column;
}

/* Hidden columns are there as well, so that the table can be sorted by them. */
static void show_column(struct table *table, size_t index, int flags)
{
	const struct column *column = &table->columns[index];

	if (!table->shown[index])
		table->shown[index] = add_column(table, column->name,
						 column->kind, flags);
}

static struct table *empty_table(const char *name, const struct column *columns,
				 enum shape shape, struct style style)
{
	struct table *table = need(calloc(1, sizeof(*table)));

	table->cells = need(scols_new_table());
	table->columns = columns;
	table->shape = shape;
	table->style = style;
	need_ok(scols_table_set_name(table->cells, name));
	need_ok(scols_table_enable_json(table->cells, style.json));
	need_ok(scols_table_enable_raw(table->cells, style.raw));
	need_ok(scols_table_enable_noheadings(table->cells, style.no_headings));
	return table;
}

/**
 * table_new_of() - make a table of which only some columns are shown
 * @name: its name, in JSON
 * @columns: its columns, up to one without a name; must stay
 * @selection: which are shown, in their order
 * @style: what the line asks for
 *
 * Return: the table, which tables_print() frees.
 */
struct table *table_new_of(const char *name, const struct column *columns,
			   const struct selection *selection, struct style style)
{
	struct table *table = empty_table(name, columns, SHAPE_LIST, style);
	size_t i;

	for (i = 0; i < selection->count; i++)
		show_column(table, selection->indices[i], 0);
	for (i = 0; columns[i].name; i++)
		show_column(table, i, SCOLS_FL_HIDDEN);
	return table;
}

static bool is_text_record(const struct table *table)
{
	return table->shape == SHAPE_RECORD && !table->style.json;
}

/**
 * table_new() - make a table
 * @name: its name, in JSON
 * @columns: its columns, up to one without a name; must stay
 * @shape: how it is printed
 * @style: what the line asks for
 *
 * Return: the table, which tables_print() frees.
 */
struct table *table_new(const char *name, const struct column *columns,
			enum shape shape, struct style style)
{
	struct table *table = empty_table(name, columns, shape, style);
	size_t i;

	if (is_text_record(table)) {
		need_ok(scols_table_enable_noheadings(table->cells, 1));
		add_column(table, "NAME", KIND_TEXT, 0);
		add_column(table, "VALUE", KIND_TEXT, 0);
		return table;
	}
	for (i = 0; columns[i].name; i++)
		show_column(table, i, 0);
	return table;
}

/**
 * table_line() - begin a line, which is filled from the first column on
 * @table: the table
 *
 * Columns that are not filled are null in JSON.
 */
void table_line(struct table *table)
{
	table->next = 0;
	if (!is_text_record(table))
		table->line = need(scols_table_new_line(table->cells, NULL));
}

/* The next cell; in a record as text, that is the second cell of a new line. */
static struct libscols_cell *next_cell(struct table *table)
{
	size_t index = table->next++;
	struct libscols_line *line;

	if (!is_text_record(table))
		return need(scols_line_get_column_cell(table->line,
						       table->shown[index]));
	line = need(scols_table_new_line(table->cells, NULL));
	need_ok(scols_line_set_data(line, 0, table->columns[index].name));
	return need(scols_line_get_cell(line, 1));
}

/**
 * table_text() - fill the next column
 * @table: the table
 * @text: the text, of which a copy is made
 */
void table_text(struct table *table, const char *text)
{
	struct libscols_cell *cell = next_cell(table);
	char *valid;

	if (!table->style.json) {
		need_ok(scols_cell_set_data(cell, text));
		return;
	}
	valid = need(valid_utf8(text));
	need_ok(scols_cell_set_data(cell, valid));
	free(valid);
}

/* Returns NULL for what is null in JSON. */
static const char *format(const struct table *table, enum kind kind, char *text,
			  __u64 number)
{
	if ((kind == KIND_LIMIT || kind == KIND_COUNT_LIMIT) && !number)
		return table->style.json ? NULL : "none";
	if (kind == KIND_SWITCH && !table->style.json)
		return number ? "on" : "off";
	if (table->style.json ||
	    (table->style.bytes && (kind == KIND_BYTES || kind == KIND_LIMIT)))
		kind = KIND_NUMBER;
	switch (kind) {
	case KIND_BYTES:
	case KIND_LIMIT:
		return format_bytes(text, number);
	case KIND_PERCENT:
		snprintf(text, SIZE_LEN, "%llu%%", number);
		break;
	case KIND_OFFSET:
		snprintf(text, SIZE_LEN, "%#llx", number);
		break;
	default:
		snprintf(text, SIZE_LEN, "%llu", number);
	}
	return text;
}

/**
 * table_number() - fill the next column
 * @table: the table
 * @number: the number, shown as the column's kind says
 */
void table_number(struct table *table, __u64 number)
{
	enum kind kind = table->columns[table->next].kind;
	struct libscols_cell *cell = next_cell(table);
	char text[SIZE_LEN];

	need_ok(scols_cell_set_data(cell, format(table, kind, text, number)));
	need_ok(scols_cell_set_userdata(cell, (void *)(uintptr_t)number));
}

/**
 * table_change() - fill the next column, of kind KIND_CHANGE or KIND_CHANGE_BYTES
 * @table: the table
 * @change: by how much something is more, or less
 */
void table_change(struct table *table, __s64 change)
{
	enum kind kind = table->columns[table->next].kind;
	struct libscols_cell *cell = next_cell(table);
	__u64 amount = change < 0 ? -(__u64)change : (__u64)change;
	char text[SIZE_LEN + 1] = "-";
	char *digits = text + 1;

	if (change >= 0)
		*text = '+';
	/* JSON knows no + in front of a number. */
	if (change == 0 || (change > 0 && table->style.json))
		digits = text;
	format(table, kind == KIND_CHANGE ? KIND_NUMBER : KIND_BYTES, digits, amount);
	need_ok(scols_cell_set_data(cell, text));
}

/**
 * table_none() - leave the next column empty: null in JSON
 * @table: the table
 */
void table_none(struct table *table)
{
	next_cell(table);
}

static int compare_numbers(struct libscols_cell *a, struct libscols_cell *b,
			   void *unused)
{
	uintptr_t x = (uintptr_t)scols_cell_get_userdata(a);
	uintptr_t y = (uintptr_t)scols_cell_get_userdata(b);

	(void)unused;
	return (x > y) - (x < y);
}

/**
 * table_sort() - sort a table's lines
 * @table: the table
 * @column: by this one
 */
void table_sort(struct table *table, size_t column)
{
	struct libscols_column *by = table->shown[column];

	need_ok(scols_column_set_cmpfunc(by,
					 is_text(table->columns[column].kind) ?
					 scols_cmpstr_cells : compare_numbers,
					 NULL));
	need_ok(scols_sort_table(table->cells, by));
}

/*
 * libsmartcols prints a table as an object with one member, which is an array.  This
 * leaves out the object's braces; for a record also the array's brackets and one level of
 * indentation.
 */
static void print_member(struct table *table)
{
	bool record = table->shape == SHAPE_RECORD;
	const char *end = record ? "   ]" : "}";
	char *text, *rest, *line;
	size_t n;

	need_ok(scols_print_table_to_string(table->cells, &text));
	rest = text;
	strsep(&rest, "\n");
	for (n = 0; (line = strsep(&rest, "\n")) && strcmp(line, end); n++) {
		if (!record)
			printf("\n%s", line);
		else if (n == 0)
			printf("\n%.*s{", (int)strcspn(line, "["), line);
		else if (n > 1)
			printf("\n%s", line + strnlen(line, 3));
	}
	free(text);
}

static void print_json(struct table **tables, size_t count)
{
	size_t i;

	putchar('{');
	for (i = 0; i < count; i++) {
		if (i)
			putchar(',');
		print_member(tables[i]);
	}
	puts("\n}");
}

/* libsmartcols prints no headings of a table without lines: so add one, and print one. */
static void print_headings(struct table *table)
{
	char *text;

	if (table->style.no_headings)
		return;
	table_line(table);
	need_ok(scols_print_table_to_string(table->cells, &text));
	printf("%.*s\n", (int)strcspn(text, "\n"), text);
	free(text);
}

static void print_text(struct table **tables, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (i)
			putchar('\n');
		if (scols_table_get_nlines(tables[i]->cells))
			need_ok(scols_print_table(tables[i]->cells));
		else
			print_headings(tables[i]);
	}
}

/**
 * tables_print() - print tables and free them
 * @tables: the tables, of one style; in JSON they are members of one object
 * @count: how many
 */
void tables_print(struct table **tables, size_t count)
{
	size_t i;

	if (tables[0]->style.json)
		print_json(tables, count);
	else
		print_text(tables, count);
	for (i = 0; i < count; i++) {
		scols_unref_table(tables[i]->cells);
		free(tables[i]);
	}
}

/**
 * column_find() - find a column by its name
 * @columns: the columns
 * @name: its name, in upper or lower case
 *
 * Return: its index; -1 if there is none.
 */
int column_find(const struct column *columns, const char *name)
{
	size_t i;

	for (i = 0; columns[i].name; i++)
		if (!strcasecmp(columns[i].name, name))
			return i;
	return -1;
}
