/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tables, as text or as JSON, by libsmartcols. */
#ifndef _PYMALLOC_TABLE_H
#define _PYMALLOC_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/types.h>

struct table;

/* How a column's numbers are shown in text; JSON has plain numbers. */
enum kind {
	KIND_TEXT,
	KIND_LINES,		/* text of several lines */
	KIND_NUMBER,
	KIND_BYTES,
	KIND_LIMIT,		/* bytes; 0 is none, in JSON null */
	KIND_COUNT_LIMIT,	/* the same, but a plain number */
	KIND_PERCENT,
	KIND_OFFSET,
	KIND_SWITCH,		/* on or off; in JSON true or false */
	KIND_CHANGE,		/* may be negative: table_change() */
	KIND_CHANGE_BYTES,
};

struct column {
	const char *name;
	enum kind kind;
};

/* The largest table, of show, has 42. */
#define COLUMNS_MAX	48

/**
 * struct selection - which columns to show, in this order
 * @indices: which
 * @count: how many
 */
struct selection {
	size_t indices[COLUMNS_MAX];
	size_t count;
};

/**
 * enum shape - how a table is printed
 * @SHAPE_LIST: columns with headings; JSON: an array
 * @SHAPE_RECORD: its only line, as a list of names and values; JSON: an object
 */
enum shape {
	SHAPE_LIST,
	SHAPE_RECORD,
};

/**
 * struct style - how the user wants it to be printed
 * @json: JSON
 * @raw: columns are separated by one blank and not aligned
 * @no_headings: no line of headings
 * @bytes: plain numbers for amounts of memory
 */
struct style {
	bool json;
	bool raw;
	bool no_headings;
	bool bytes;
};

struct table *table_new(const char *name, const struct column *columns,
			enum shape shape, struct style style);
struct table *table_new_of(const char *name, const struct column *columns,
			   const struct selection *selection, struct style style);
void table_line(struct table *table);
void table_text(struct table *table, const char *text);
void table_number(struct table *table, __u64 number);
void table_change(struct table *table, __s64 change);
void table_none(struct table *table);
void table_sort(struct table *table, size_t column);

void tables_print(struct table **tables, size_t count);

int column_find(const struct column *columns, const char *name);

#endif /* _PYMALLOC_TABLE_H */
