/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What pymalloc top shows: rows of heaps, or of what one consists of. */
#ifndef _PYMALLOC_PANEL_H
#define _PYMALLOC_PANEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <linux/types.h>

/* The longest line of a panel, and its bar. */
#define LINE_MAX_LEN	512

enum cell {
	CELL_TEXT,
	CELL_REST,	/* a text that takes what the others leave; the last one */
	CELL_NUMBER,
	CELL_BYTES,
	CELL_PERCENT,
	CELL_RATE,
};

/**
 * struct heading - a column
 * @name: its name, as a user sees it
 * @word: its name for --sort
 * @key: the key that sorts by it
 * @width: how many characters it has
 * @kind: how its cells look
 */
struct heading {
	const char *name;
	const char *word;
	char key;
	int width;
	enum cell kind;
};

/* The most columns, and the most of them with text, which come first in struct row. */
#define CELLS_MAX	9
#define TEXTS_MAX	2
#define TEXT_LEN	256

/**
 * struct row - a heap, or what else there is one of in each row
 * @id: its number: rows of two moments with the same number are of the same thing
 * @texts: the cells of columns with text, in their order
 * @cells: the other cells, by column
 * @share: what the bar shows, from 0 to 1
 */
struct row {
	__u64 id;
	char texts[TEXTS_MAX][TEXT_LEN];
	double cells[CELLS_MAX];
	double share;
};

/**
 * struct panel - rows in their order
 * @headings: the columns, up to one without a name
 * @rows: the rows, which the panel frees
 * @count: how many
 */
struct panel {
	const struct heading *headings;
	struct row *rows;
	size_t count;
};

/**
 * struct order - the order of rows
 * @column: by which column
 * @reversed: the other way round: numbers from the smallest, texts from the last
 */
struct order {
	size_t column;
	bool reversed;
};

int panel_find_word(const struct heading *headings, const char *word);
int panel_find_key(const struct heading *headings, int key);
void panel_sort(struct panel *panel, struct order order);
void panel_text(char text[TEXT_LEN], const char *name);
void panel_text_end(char text[TEXT_LEN], const char *name);
void panel_headings(const struct panel *panel, char line[LINE_MAX_LEN]);
void panel_row(const struct panel *panel, const struct row *row, size_t width,
	       char line[LINE_MAX_LEN]);
void panel_free(struct panel *panel);

#endif /* _PYMALLOC_PANEL_H */
