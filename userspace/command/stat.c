// SPDX-License-Identifier: LGPL-2.1-or-later
/* pymalloc stat: figures of a heap, or of all, again and again, as vmstat(8). */
#include <ctype.h>
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "figures.h"
#include "look.h"
#include "options.h"
#include "pace.h"
#include "service.h"
#include "target.h"
#include "text.h"

/* A terminal shows headings again after so many lines. */
#define LINES_A_HEADING	20

/* Columns are at least so wide: all of them take no more than 80 characters. */
#define WIDTH_MIN	5
#define WIDTH_BYTES	12

/**
 * struct wish - what the line says about time
 * @interval: seconds; 0 is one line only
 * @count: how many lines; 0 is no end
 */
struct wish {
	double interval;
	__u64 count;
};

static error_t parse(int key, char *word, struct argp_state *state)
{
	struct wish *wish = state->input;

	if (key != ARGP_KEY_ARG)
		return ARGP_ERR_UNKNOWN;
	if (wish->count)
		argp_error(state, "too many arguments");
	if (!wish->interval) {
		wish->interval = parse_interval(state, word);
		return 0;
	}
	wish->count = parse_number(state, word);
	if (!wish->count)
		argp_error(state, "COUNT is at least 1");
	return 0;
}

/*
 * Adds a heap: how large it is, and what it has done since @before.  What a heap did before
 * it was seen first is not from this interval alone: a child of fork() has its parent's
 * figures.  It counts only in the first line, which has no look before it.
 */
static void add(struct figures *sum, const struct figures *now,
		const struct figures *before)
{
	int i;

	for (i = 0; i < FIGURES; i++) {
		sum->of[i] += now->of[i];
		if (i >= FIGURE_COUNTS && before)
			sum->of[i] -= before->of[i];
	}
}

static struct figures sum_up(const struct look *now, const struct look *before)
{
	struct figures sum = { 0 };
	size_t i, j = 0;

	for (i = 0; i < now->count; i++) {
		const struct seen *heap = &now->heaps[i];
		const struct seen *base = look_find(before, heap->info.id, &j);

		if (!base && before->heaps)
			base = heap;
		add(&sum, &heap->figures, base ? &base->figures : NULL);
	}
	return sum;
}

static int width(int figure, const struct target *target)
{
	int least = figure < FIGURE_COUNTS && target->bytes ? WIDTH_BYTES : WIDTH_MIN;
	int name = strlen(figure_name(figure));

	return name > least ? name : least;
}

/* What is too long moves the next columns only as far as they have no room for it. */
static void print_row(const char cells[FIGURES][SIZE_LEN], const struct target *target)
{
	int printed = 0, end = 0;
	int i;

	for (i = 0; i < FIGURES; i++) {
		int room;

		printed += printf("%s", i ? " " : "");
		end += width(i, target) + !!i;
		room = end > printed ? end - printed : 0;
		printed += printf("%*s", room, cells[i]);
	}
	putchar('\n');
}

static void print_headings(const struct target *target)
{
	char cells[FIGURES][SIZE_LEN];
	int i;

	for (i = 0; i < FIGURES; i++)
		snprintf(cells[i], SIZE_LEN, "%s", figure_name(i));
	print_row(cells, target);
}

static void print_text(const struct figures *figures, const struct target *target)
{
	char cells[FIGURES][SIZE_LEN];
	int i;

	for (i = 0; i < FIGURES; i++)
		if (i >= FIGURE_COUNTS || target->bytes)
			snprintf(cells[i], SIZE_LEN, "%llu", figures->of[i]);
		else
			format_bytes(cells[i], figures->of[i]);
	print_row(cells, target);
}

/* The names are those of the columns, in lower case as in the JSON of show. */
static void print_json(const struct figures *figures)
{
	int i;

	for (i = 0; i < FIGURES; i++) {
		const char *name = figure_name(i);

		printf("%s\"", i ? ", " : "{");
		while (*name)
			putchar(tolower(*name++));
		printf("\": %llu", figures->of[i]);
	}
	puts("}");
}

static void print_line(__u64 number, const struct figures *figures,
		       const struct target *target)
{
	if (target->json) {
		print_json(figures);
	} else {
		if (!number || (number % LINES_A_HEADING == 0 && isatty(STDOUT_FILENO)))
			print_headings(target);
		print_text(figures, target);
	}
	if (!fflush(stdout))
		return;
	warn("cannot write");
	_exit(EXIT_FAILED);
}

/* Prints lines until there are enough, or until the heap ends. */
static void print_lines(const struct target *target, const struct wish *wish, int fd)
{
	struct look before = { 0 };
	struct pace pace = pace_start();
	struct pollfd end = { .fd = target->has_heap ? fd : -1 };
	__u64 number = 0;

	for (;;) {
		struct look look = target->has_heap ? look_at_one(fd) : look_at_all(fd);
		struct figures figures = sum_up(&look, &before);

		look_free(&before);
		before = look;
		if (target->has_heap && !look.count)
			break;
		print_line(number++, &figures, target);
		if (!wish->interval || number == wish->count)
			break;
		pace_wait(&pace, wish->interval, &end, 1);
	}
	look_free(&before);
}

int stat_main(int argc, char **argv)
{
	static const struct argp own = { .parser = parse };
	struct wish wish = { 0 };
	struct target target =
		parse_target_with(argc, argv, "[HEAP] [INTERVAL [COUNT]]",
				  "Print figures of a heap, as a line: at once, and then every INTERVAL seconds,\n"
				  "COUNT times or until the heap ends. Without a heap: the sum of all heaps that\n"
				  "ls shows; --all INTERVAL prints it again and again.\n"
				  "BYTES, USED and METADATA are what there is. The other columns count since the\n"
				  "line before, and in the first line since the heap was made.",
				  TAKES_ALL | TAKES_WORDS, &own, &wish);
	int fd = target.has_heap ? open_heap(target.id, PYMALLOC_OPEN_RDONLY) :
				   open_device();

	print_lines(&target, &wish, fd);
	close(fd);
	return 0;
}
