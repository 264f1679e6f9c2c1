// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Amounts of memory over time, as files have them: those of pymalloc record, and those of
 * memory_profiler's mprof.
 *
 * A line of mprof begins with what it is: "MEM MIB TIME" is an amount, and
 * "FUNC NAME MIB TIME MIB TIME" a call of a function, from its begin to its end.  All
 * others are left out.
 */
#include <err.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "history.h"

/* mprof's amounts are in these. */
#define MIB	1048576.0

/* Columns of pymalloc record that are drawn: SECONDS and those after it. */
enum { COLUMN_SECONDS, COLUMN_BYTES, COLUMN_USED, COLUMN_METADATA, COLUMNS };

/**
 * struct reader - a file that is being read
 * @path: its name
 * @file: the file
 * @line: the line, without its end
 * @size: bytes of room for it
 * @number: its number
 * @history: what has been read so far
 */
struct reader {
	const char *path;
	FILE *file;
	char *line;
	size_t size;
	size_t number;
	struct history history;
};

/* Returns false at the end. Whoever writes the file may not have finished its last line. */
static bool next_line(struct reader *reader)
{
	ssize_t length = getline(&reader->line, &reader->size, reader->file);

	if (ferror(reader->file))
		err(EXIT_FAILED, "%s", reader->path);
	if (length <= 0 || reader->line[length - 1] != '\n')
		return false;
	reader->line[length - 1] = '\0';
	reader->number++;
	if (strlen(reader->line) == (size_t)length - 1)
		return true;
	errx(EXIT_FAILED, "%s, line %zu: not a line of text", reader->path, reader->number);
}

static double number_of(const struct reader *reader, const char *word)
{
	char *end;
	double number = word ? strtod(word, &end) : NAN;

	if (word && *word && !*end && isfinite(number))
		return number;
	errx(EXIT_FAILED, "%s, line %zu: not a number: %s", reader->path, reader->number,
	     word ?: "there is none");
}

static void *grow(void *array, size_t count, size_t size)
{
	/* Twice as large whenever the number is a power of 2. */
	if (count & (count - 1))
		return array;
	array = reallocarray(array, count ? 2 * count : 1, size);
	if (!array)
		err(EXIT_FAILED, NULL);
	return array;
}

static struct moment *add_moment(struct history *history)
{
	history->moments = grow(history->moments, history->count, sizeof(*history->moments));
	return &history->moments[history->count++];
}

/* Where the columns are that are drawn. */
static void read_headings(struct reader *reader, size_t places[COLUMNS])
{
	static const char * const names[COLUMNS] = { "SECONDS", "BYTES", "USED", "METADATA" };
	size_t found = 0, place, i;
	char *rest = next_line(reader) ? reader->line : NULL, *word;

	for (place = 0; (word = strsep(&rest, "\t")); place++) {
		for (i = 0; i < COLUMNS; i++) {
			if (strcmp(word, names[i]))
				continue;
			places[i] = place;
			found |= 1U << i;
		}
	}
	if (found != (1U << COLUMNS) - 1)
		errx(EXIT_FAILED, "%s: its second line does not name all columns", reader->path);
}

static void read_record_line(struct reader *reader, const size_t places[COLUMNS])
{
	double values[COLUMNS] = { NAN, NAN, NAN, NAN };
	struct moment *moment = add_moment(&reader->history);
	char *rest = reader->line, *word;
	size_t place, i;

	for (place = 0; (word = strsep(&rest, "\t")); place++)
		for (i = 0; i < COLUMNS; i++)
			if (places[i] == place)
				values[i] = number_of(reader, word);
	for (i = 0; i < COLUMNS; i++)
		if (isnan(values[i]))
			errx(EXIT_FAILED, "%s, line %zu: columns are missing", reader->path,
			     reader->number);
	moment->time = values[COLUMN_SECONDS];
	memcpy(moment->bytes, &values[COLUMN_BYTES], sizeof(moment->bytes));
}

static void read_record(struct reader *reader)
{
	size_t places[COLUMNS];

	reader->history.amounts = AMOUNTS_MAX;
	reader->history.names[0] = "pages";
	reader->history.names[1] = "live bytes";
	reader->history.names[2] = "metadata";
	read_headings(reader, places);
	while (next_line(reader))
		if (*reader->line != '#')
			read_record_line(reader, places);
}

static struct moment read_moment(struct reader *reader, char **rest)
{
	struct moment moment = { 0 };

	moment.bytes[0] = number_of(reader, strsep(rest, " ")) * MIB;
	moment.time = number_of(reader, strsep(rest, " "));
	return moment;
}

static void read_call(struct reader *reader, char *rest)
{
	struct history *history = &reader->history;
	char *name = strsep(&rest, " ");
	struct call *call;

	history->calls = grow(history->calls, history->nr_calls, sizeof(*history->calls));
	call = &history->calls[history->nr_calls++];
	call->name = strdup(name);
	if (!call->name)
		err(EXIT_FAILED, NULL);
	call->begin = read_moment(reader, &rest);
	call->end = read_moment(reader, &rest);
}

static void read_profile_line(struct reader *reader)
{
	char *rest = reader->line;
	const char *what = strsep(&rest, " ");

	if (rest && !strcmp(what, "MEM"))
		*add_moment(&reader->history) = read_moment(reader, &rest);
	else if (rest && !strcmp(what, "FUNC"))
		read_call(reader, rest);
}

static bool is_profile(const char *line)
{
	return !strncmp(line, "CMDLINE ", 8) || !strncmp(line, "MEM ", 4) ||
	       !strncmp(line, "FUNC ", 5) || !strncmp(line, "CHLD ", 5);
}

static void read_profile(struct reader *reader)
{
	reader->history.amounts = 1;
	reader->history.names[0] = "memory";
	do {
		read_profile_line(reader);
	} while (next_line(reader));
}

static int compare_moments(const void *left, const void *right)
{
	const struct moment *a = left, *b = right;

	return (a->time > b->time) - (a->time < b->time);
}

static int compare_calls(const void *left, const void *right)
{
	const struct call *a = left, *b = right;

	return strcmp(a->name, b->name) ?: compare_moments(&a->begin, &b->begin);
}

/* Times are counted from the first one on: those of mprof are since 1970. */
static void put_in_order(struct history *history)
{
	double first;
	size_t i;

	qsort(history->moments, history->count, sizeof(*history->moments), compare_moments);
	if (history->nr_calls)
		qsort(history->calls, history->nr_calls, sizeof(*history->calls), compare_calls);
	first = history->moments->time;
	for (i = 0; i < history->count; i++)
		history->moments[i].time -= first;
	for (i = 0; i < history->nr_calls; i++) {
		history->calls[i].begin.time -= first;
		history->calls[i].end.time -= first;
	}
}

/**
 * read_history() - read a file of pymalloc record or of mprof
 * @path: the file
 *
 * Ends the program with a message if there is no such file, or if it is another one.
 *
 * Return: what it has, which is one moment at least; history_free() frees it.
 */
struct history read_history(const char *path)
{
	struct reader reader = { .path = path, .file = fopen(path, "re") };
	bool any;

	if (!reader.file)
		err(EXIT_FAILED, "%s", path);
	any = next_line(&reader);
	if (any && !strcmp(reader.line, RECORD_VERSION))
		read_record(&reader);
	else if (any && is_profile(reader.line))
		read_profile(&reader);
	else
		errx(EXIT_FAILED, "%s is no file of pymalloc record, and none of mprof", path);
	if (!reader.history.count)
		errx(EXIT_FAILED, "%s has no amounts of memory in it", path);
	put_in_order(&reader.history);
	free(reader.line);
	fclose(reader.file);
	return reader.history;
}

/**
 * history_free() - free what a history has
 * @history: the history
 */
void history_free(struct history *history)
{
	size_t i;

	for (i = 0; i < history->nr_calls; i++)
		free(history->calls[i].name);
	free(history->calls);
	free(history->moments);
}
