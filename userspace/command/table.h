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
	KIND_NUMBER,
	KIND_BYTES,
	KIND_LIMIT,		/* bytes; 0 is none */
	KIND_PERCENT,
	KIND_OFFSET,
};

struct column {
	const char *name;
	enum kind kind;
};

/**
 * enum layout - how a table is printed
 * @LAYOUT_LIST: columns with headings
 * @LAYOUT_RECORD: its only line as a list of names and values
 * @LAYOUT_JSON: JSON
 */
enum layout {
	LAYOUT_LIST,
	LAYOUT_RECORD,
	LAYOUT_JSON,
};

/*
 * A table is filled line by line, each from its first column to its last.
 * @columns ends with one without a name, and must stay.
 */
struct table *table_new(const char *name, const struct column *columns,
			enum layout layout);
void table_line(struct table *table);
void table_text(struct table *table, const char *text);
void table_number(struct table *table, __u64 number);

/* Prints and frees tables, as one JSON object if that is their layout. */
void tables_print(struct table **tables, size_t count);

#endif /* _PYMALLOC_TABLE_H */
