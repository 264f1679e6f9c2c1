// SPDX-License-Identifier: LGPL-2.1-or-later
/* What pymalloc top shows: rows of heaps, or of what one consists of. */
#include <err.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "command.h"
#include "text.h"
#include "panel.h"

/* A bar has its two ends, and at least so much between them. */
#define BAR_MIN		4
#define BAR_MAX		40

/* How wide a line is without its bar. */
static size_t width_of(const struct heading *headings)
{
	size_t width = 0;

	for (; headings->name; headings++)
		width += headings->width + 1;
	return width;
}

static bool is_text(const struct heading *heading)
{
	return heading->kind == CELL_TEXT || heading->kind == CELL_REST;
}

/**
 * panel_find_word() - find a column by its name for --sort
 * @headings: the columns
 * @word: the name
 *
 * Return: the column, or -1.
 */
int panel_find_word(const struct heading *headings, const char *word)
{
	int i;

	for (i = 0; headings[i].name; i++)
		if (!strcasecmp(headings[i].word, word))
			return i;
	return -1;
}

/**
 * panel_find_key() - find a column by its key
 * @headings: the columns
 * @key: the key
 *
 * Return: the column, or -1.
 */
int panel_find_key(const struct heading *headings, int key)
{
	int i;

	for (i = 0; headings[i].name; i++)
		if (headings[i].key == key)
			return i;
	return -1;
}

/* Which of a row's texts a column has. */
static size_t text_of(const struct heading *headings, size_t column)
{
	size_t text = 0, i;

	for (i = 0; i < column; i++)
		text += is_text(&headings[i]);
	return text;
}

/* What qsort_r() passes on. */
struct sorting {
	const struct heading *headings;
	struct order order;
};

/* Rows that are equal stay apart: they must not change places from one look to the next. */
static int compare(const void *left, const void *right, void *data)
{
	const struct row *a = left, *b = right;
	const struct sorting *sorting = data;
	size_t column = sorting->order.column;
	int result;

	if (is_text(&sorting->headings[column])) {
		size_t text = text_of(sorting->headings, column);

		result = strcmp(a->texts[text], b->texts[text]);
	} else {
		result = (a->cells[column] < b->cells[column]) -
			 (a->cells[column] > b->cells[column]);
	}
	if (sorting->order.reversed)
		result = -result;
	return result ?: (a->id > b->id) - (a->id < b->id);
}

/**
 * panel_sort() - put rows in order
 * @panel: the panel
 * @order: the order
 */
void panel_sort(struct panel *panel, struct order order)
{
	struct sorting sorting = { panel->headings, order };

	if (panel->count)
		qsort_r(panel->rows, panel->count, sizeof(*panel->rows), compare, &sorting);
}

/**
 * panel_text() - make a text that can be shown
 * @text: out: the text
 * @name: any bytes: the name of a process may have what moves a terminal's cursor
 */
void panel_text(char text[TEXT_LEN], const char *name)
{
	size_t i;

	for (i = 0; i < TEXT_LEN - 1 && name[i]; i++)
		text[i] = name[i] >= ' ' && name[i] <= '~' ? name[i] : '?';
	text[i] = '\0';
}

/**
 * panel_text_end() - the same, of which the end is more important than the begin
 * @text: out: the text
 * @name: any bytes
 */
void panel_text_end(char text[TEXT_LEN], const char *name)
{
	size_t length = strlen(name);

	panel_text(text, length < TEXT_LEN ? name : name + length - TEXT_LEN + 1);
	if (length >= TEXT_LEN)
		memcpy(text, "...", 3);
}

/* As 0.5, 1234, 12k or 12M: five characters, or six below 0. */
static void format_rate(char *text, double rate)
{
	if (fabs(rate) >= 9999.5e3)
		snprintf(text, SIZE_LEN, "%.0fM", rate / 1e6);
	else if (fabs(rate) >= 9999.5)
		snprintf(text, SIZE_LEN, "%.0fk", rate / 1e3);
	else
		snprintf(text, SIZE_LEN, "%.*f", rate && fabs(rate) < 9.95, rate);
}

static void format_cell(char *text, enum cell kind, double value)
{
	switch (kind) {
	case CELL_BYTES:
		format_bytes(text, value);
		break;
	case CELL_PERCENT:
		snprintf(text, SIZE_LEN, "%.0f%%", value);
		break;
	case CELL_RATE:
		format_rate(text, value);
		break;
	default:
		snprintf(text, SIZE_LEN, "%.0f", value);
	}
}

/* A cell that is too wide keeps its whole number; a text is cut. */
static size_t put(char *line, size_t length, const struct heading *heading, const char *cell)
{
	bool text = is_text(heading);

	length += snprintf(line + length, LINE_MAX_LEN - length, "%s%*.*s",
			   length ? " " : "", text ? -heading->width : heading->width,
			   text ? heading->width : TEXT_LEN, cell);
	return length < LINE_MAX_LEN ? length : LINE_MAX_LEN - 1;
}

/**
 * panel_headings() - the line of headings
 * @panel: the panel
 * @line: out: the line
 */
void panel_headings(const struct panel *panel, char line[LINE_MAX_LEN])
{
	size_t length = 0, i;

	for (i = 0; panel->headings[i].name; i++)
		length = put(line, length, &panel->headings[i], panel->headings[i].name);
}

/* What is too long for it is cut at its begin: the name of a file is long, its end tells more. */
static void put_rest(char *line, size_t length, size_t width, const char *text)
{
	size_t room = width > length + 1 ? width - length - 1 : 0;
	size_t all = strlen(text);
	bool cut = all > room && room > 3;

	snprintf(line + length, LINE_MAX_LEN - length, " %s%s", cut ? "..." : "",
		 cut ? text + all - room + 3 : text);
}

static void put_bar(char *line, size_t length, size_t width, double share)
{
	size_t room = width > length + 3 ? width - length - 3 : 0, full, i;

	if (room > BAR_MAX)
		room = BAR_MAX;
	if (room < BAR_MIN || length + room + 4 > LINE_MAX_LEN)
		return;
	full = lround(fmin(fmax(share, 0), 1) * room);
	line[length++] = ' ';
	line[length++] = '[';
	for (i = 0; i < room; i++)
		line[length++] = i < full ? '#' : '.';
	line[length++] = ']';
	line[length] = '\0';
}

/**
 * panel_row() - the line of a row
 * @panel: the panel
 * @row: the row
 * @width: how wide the line may be; the bar, or the last text, takes what the columns leave
 * @line: out: the line
 */
void panel_row(const struct panel *panel, const struct row *row, size_t width,
	       char line[LINE_MAX_LEN])
{
	size_t length = 0, i;
	char cell[SIZE_LEN];

	for (i = 0; panel->headings[i].name; i++) {
		const struct heading *heading = &panel->headings[i];

		if (heading->kind == CELL_REST) {
			put_rest(line, length, width, row->texts[text_of(panel->headings, i)]);
			return;
		}
		if (heading->kind == CELL_TEXT) {
			length = put(line, length, heading,
				     row->texts[text_of(panel->headings, i)]);
			continue;
		}
		format_cell(cell, heading->kind, row->cells[i]);
		length = put(line, length, heading, cell);
	}
	if (length < width_of(panel->headings))
		put_bar(line, length, width, row->share);
}

/**
 * panel_free() - free a panel's rows
 * @panel: the panel; it is empty then
 */
void panel_free(struct panel *panel)
{
	free(panel->rows);
	panel->rows = NULL;
	panel->count = 0;
}
