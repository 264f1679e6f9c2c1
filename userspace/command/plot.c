// SPDX-License-Identifier: LGPL-2.1-or-later
/* pymalloc plot: a picture of amounts of memory over time. */
#include <argp.h>
#include <err.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "command.h"
#include "gnuplot.h"
#include "history.h"
#include "options.h"
#include "replace.h"

/* A picture is no secret. */
#define MODE	0644

/* In pixels. */
#define WIDTH		960
#define HEIGHT		540
/* A curve has two points for each pixel in a row, at most. */
#define GROUPS		WIDTH
/* More calls of one function than this would hide each other. */
#define CALLS_MAX	1000
/* The legend has no room for more functions. */
#define LEGEND_MAX	12

static const struct argp_option options[] = {
	{ "output", 'o', "OUT", 0, "write OUT, *.svg or *.png, instead of printing SVG", 0 },
	{ "title", 't', "TITLE", 0, "what to write above it; the name of FILE if not given", 0 },
	{ 0 }
};

/* What the line asks for. */
struct wish {
	const char *path;
	const char *output;
	const char *title;
	bool png;
};

/* A unit of time: a row is for what lasts at least so many seconds. */
struct unit {
	double from;
	double seconds;
	const char *name;
};

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), tail = strlen(end);

	return length > tail && !strcasecmp(text + length - tail, end);
}

static error_t parse(int key, char *word, struct argp_state *state)
{
	struct wish *wish = state->input;

	switch (key) {
	case 'o':
		wish->output = word;
		wish->png = ends_with(word, ".png");
		if (!wish->png && !ends_with(word, ".svg"))
			argp_error(state, "a picture is *.svg or *.png: %s", word);
		return 0;
	case 't':
		wish->title = word;
		return 0;
	case ARGP_KEY_ARG:
		if (wish->path)
			argp_error(state, "too many arguments");
		wish->path = word;
		return 0;
	case ARGP_KEY_END:
		if (!wish->path)
			argp_error(state, "which file? Give one of pymalloc record or of mprof");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct unit *unit_for(double seconds)
{
	static const struct unit units[] = {
		{ 3 * 86400, 86400, "days" },
		{ 3 * 3600, 3600, "hours" },
		{ 300, 60, "minutes" },
		{ 0, 1, "seconds" },
	};
	const struct unit *unit = units;

	while (seconds < unit->from)
		unit++;
	return unit;
}

/*
 * Bytes a second by which an amount grows: the straight line with the least squares through
 * the last half of the time.  NAN if there are no two moments in it.
 */
static double slope(const struct history *history, size_t amount)
{
	const struct moment *last = &history->moments[history->count - 1], *moment;
	double n = 0, time = 0, bytes = 0, product = 0, square = 0;
	const struct moment *first = last;

	while (first > history->moments && first[-1].time >= last->time / 2)
		first--;
	for (moment = first; moment <= last; moment++) {
		n++;
		time += moment->time;
		bytes += moment->bytes[amount];
	}
	for (moment = first; moment <= last; moment++) {
		double distance = moment->time - time / n;

		product += distance * (moment->bytes[amount] - bytes / n);
		square += distance * distance;
	}
	return square > 0 ? product / square : NAN;
}

/* Returns bytes in the largest unit of which there is one at least. */
static double in_unit(double bytes, const char **unit)
{
	static const char * const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	size_t i = 0;

	/* What is rounded to 1024 is 1 of the next unit. */
	while (fabs(bytes) >= 1023.5 && i < sizeof(units) / sizeof(*units) - 1) {
		bytes /= 1024;
		i++;
	}
	*unit = units[i];
	return bytes;
}

/* As "+1.50 MiB/h", or empty if it is not known. */
static void format_slope(char *text, size_t size, double slope)
{
	const char *unit;
	double bytes = in_unit(slope * 3600, &unit);

	*text = '\0';
	if (!isnan(slope))
		snprintf(text, size, "  %+.*f %s/h", fabs(bytes) < 9.995 ? 2 : fabs(bytes) < 99.95,
			 bytes, unit);
}

static void print_point(FILE *script, const struct moment *moment, size_t amount,
			const struct unit *unit)
{
	fprintf(script, "%.9g %.0f\n", moment->time / unit->seconds, moment->bytes[amount]);
}

/* The least and the most of each group of moments, in their order. */
static void print_group(FILE *script, const struct moment *moments, size_t count,
			size_t amount, const struct unit *unit)
{
	size_t least = 0, most = 0, i;

	for (i = 1; i < count; i++) {
		if (moments[i].bytes[amount] < moments[least].bytes[amount])
			least = i;
		if (moments[i].bytes[amount] > moments[most].bytes[amount])
			most = i;
	}
	print_point(script, &moments[least < most ? least : most], amount, unit);
	if (least != most)
		print_point(script, &moments[least < most ? most : least], amount, unit);
}

static void print_curve(FILE *script, const struct history *history, size_t amount,
			const struct unit *unit)
{
	size_t size = history->count / GROUPS + 1, i;

	fprintf(script, "$curve%zu << END\n", amount);
	for (i = 0; i < history->count; i += size) {
		size_t left = history->count - i;

		print_group(script, &history->moments[i], left < size ? left : size, amount,
			    unit);
	}
	fputs("END\n", script);
}

/* How many calls from @first on are of the same function. */
static size_t same_function(const struct history *history, size_t first)
{
	const struct call *calls = &history->calls[first];
	size_t count = 1;

	while (first + count < history->nr_calls && !strcmp(calls->name, calls[count].name))
		count++;
	return count;
}

static void print_calls(FILE *script, const struct history *history, const struct unit *unit)
{
	size_t first, i;

	for (first = 0; first < history->nr_calls; first += same_function(history, first)) {
		const struct call *calls = &history->calls[first];
		size_t count = same_function(history, first);

		fprintf(script, "$calls%zu << END\n", first);
		for (i = 0; i < count && i < CALLS_MAX; i++) {
			print_point(script, &calls[i].begin, 0, unit);
			print_point(script, &calls[i].end, 0, unit);
			putc('\n', script);
		}
		fputs("END\n", script);
	}
}

static double largest(const struct history *history)
{
	double most = 0;
	size_t i, amount;

	for (i = 0; i < history->count; i++)
		for (amount = 0; amount < history->amounts; amount++)
			most = fmax(most, history->moments[i].bytes[amount]);
	return most;
}

/* From 0 on, in steps that are a power of 2, with room for the legend above all. */
static void print_bytes_axis(FILE *script, double most)
{
	double step = 1, at;
	const char *unit;

	while (most > 6 * step)
		step *= 2;
	fprintf(script, "set yrange [0:%.0f]\nset ytics (", 8 * step);
	for (at = 0; at <= 8 * step; at += step) {
		double scaled = in_unit(at, &unit);

		fprintf(script, "%s'%g %s' %.0f", at > 0 ? ", " : "", scaled, unit, at);
	}
	fputs(")\n", script);
}

static void print_axes(FILE *script, const struct history *history, const struct wish *wish,
		       const struct unit *unit)
{
	double end = history->moments[history->count - 1].time;

	fprintf(script, "set encoding utf8\nset terminal %s size %d,%d noenhanced\n",
		wish->png ? "pngcairo" : "svg background 'white'", WIDTH, HEIGHT);
	fputs("set title ", script);
	gnuplot_string(script, wish->title ?: wish->path);
	fprintf(script, "\nset xlabel '%s'\nset xrange [0:%.9g]\n", unit->name,
		end > 0 ? end / unit->seconds : 1);
	print_bytes_axis(script, largest(history));
	fputs("set grid\nset key top left reverse Left\n", script);
}

static void print_plot(FILE *script, const struct history *history)
{
	size_t amount, first, functions = 0;
	char growth[64];

	for (amount = 0; amount < history->amounts; amount++) {
		format_slope(growth, sizeof(growth), slope(history, amount));
		fprintf(script, "%s $curve%zu with steps lw 2 title '%s%s'",
			amount ? ", \\\n" : "plot", amount, history->names[amount], growth);
	}
	for (first = 0; first < history->nr_calls; first += same_function(history, first)) {
		fprintf(script, ", \\\n $calls%zu with linespoints pt 7 ps 0.5 ", first);
		if (functions++ < LEGEND_MAX) {
			fputs("title ", script);
			gnuplot_string(script, history->calls[first].name);
		} else {
			fputs("notitle", script);
		}
	}
	putc('\n', script);
}

/* The caller frees it. */
static char *make_script(const struct history *history, const struct wish *wish, size_t *length)
{
	const struct unit *unit = unit_for(history->moments[history->count - 1].time);
	char *text;
	FILE *script = open_memstream(&text, length);
	size_t amount;

	if (!script)
		err(EXIT_FAILED, NULL);
	for (amount = 0; amount < history->amounts; amount++)
		print_curve(script, history, amount, unit);
	print_calls(script, history, unit);
	print_axes(script, history, wish, unit);
	print_plot(script, history);
	if (fclose(script))
		err(EXIT_FAILED, NULL);
	return text;
}

int plot_main(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "FILE",
		.doc = "Draw a file of `pymalloc record`, or of mprof: memory over time, and by\n"
		       "how much each of them grows, which is measured over the last half of\n"
		       "the time. gnuplot draws it, and must be installed.",
		.children = help_child,
	};
	struct wish wish = { 0 };
	struct history history;
	size_t length, drawn;
	char *script, *picture;

	argp_parse(&argp, argc, argv, 0, NULL, &wish);
	if (!wish.output && isatty(STDOUT_FILENO))
		errx(EXIT_USAGE, "a picture is nothing for a terminal; give --output OUT");
	history = read_history(wish.path);
	script = make_script(&history, &wish, &length);
	picture = gnuplot_draw(script, length, &drawn);
	put_output(wish.output, picture, drawn, MODE);
	free(picture);
	free(script);
	history_free(&history);
	return 0;
}
