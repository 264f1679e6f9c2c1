// SPDX-License-Identifier: LGPL-2.1-or-later
/* What report, diff, growing and leaks are asked to show. */
#include <err.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "options.h"
#include "take.h"
#include "target.h"
#include "view.h"

enum { OPTION_BY = 0x200, OPTION_TOP, OPTION_FILTER, OPTION_ALL_FRAMES, OPTION_CACHED,
	OPTION_STACKS };

/* The parsers that take part. */
enum { CHILD_HELP, CHILD_OWN, CHILD_END };

/* What has been parsed so far; @own is the input of the subcommand's own parser. */
struct input {
	struct view *view;
	size_t words_min;
	size_t words_max;
	void *own;
};

/* The first one is only for a subcommand that looks at one snapshot. */
static const struct argp_option options[] = {
	{ "pid", 'p', "PID", 0, "all heaps of process PID", 0 },
	{ "all-frames", OPTION_ALL_FRAMES, NULL, 0,
	  "have --filter look at all frames of a stack", 0 },
	{ "by", OPTION_BY, "KEY", 0,
	  "put together by site, line, file, function, class, thread, age or idle", 0 },
	{ "bytes", 'b', NULL, 0, "print sizes in bytes", 0 },
	{ "cached", OPTION_CACHED, NULL, 0, "count blocks in magazines, too", 0 },
	{ "filter", OPTION_FILTER, "PATTERN", 0,
	  "only where PATTERN is the file or the function; with ! only where it is neither", 0 },
	{ "json", 'j', NULL, 0, "print JSON", 0 },
	{ "stacks", OPTION_STACKS, NULL, 0, "print whole stacks; put together by site", 0 },
	{ "top", OPTION_TOP, "N", 0, "print the first N lines; 20 if not given, 0 is all", 0 },
	{ 0 }
};

static enum by parse_by(struct argp_state *state, const char *word)
{
	static const char * const names[] = {
		[BY_SITE] = "site",
		[BY_LINE] = "line",
		[BY_FILE] = "file",
		[BY_FUNCTION] = "function",
		[BY_CLASS] = "class",
		[BY_THREAD] = "thread",
		[BY_AGE] = "age",
		[BY_IDLE] = "idle",
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(names[i], word))
			return i;
	argp_error(state, "--by has no key %s", word);
	return BY_LINE;
}

static void add_filter(struct view *view, const char *pattern)
{
	view->filters = reallocarray(view->filters, view->nr_filters + 1,
				     sizeof(*view->filters));
	if (!view->filters)
		err(EXIT_FAILED, NULL);
	view->filters[view->nr_filters++] = pattern;
}

static void add_word(struct view *view, char *word)
{
	view->words = reallocarray(view->words, view->nr_words + 1, sizeof(*view->words));
	if (!view->words)
		err(EXIT_FAILED, NULL);
	view->words[view->nr_words++] = word;
}

static void check_view(struct argp_state *state, const struct input *input)
{
	const struct view *view = input->view;

	if (view->pid && view->nr_words)
		argp_error(state, "give FILE, HEAP or --pid");
	if (!view->pid && view->nr_words < input->words_min)
		argp_error(state, input->words_max == 1 ?
			   "of what? Give FILE, HEAP or --pid PID" : "give at least two snapshots");
	if (view->nr_words > input->words_max)
		argp_error(state, "too many arguments");
	if (view->stacks && view->has_by && view->by != BY_SITE)
		argp_error(state, "--stacks is for --by site");
}

static error_t parse(int key, char *word, struct argp_state *state)
{
	struct input *input = state->input;
	struct view *view = input->view;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[CHILD_OWN] = input->own;
		return 0;
	case OPTION_ALL_FRAMES:
		view->all_frames = true;
		return 0;
	case OPTION_BY:
		view->by = parse_by(state, word);
		view->has_by = true;
		return 0;
	case OPTION_CACHED:
		view->cached = true;
		return 0;
	case OPTION_FILTER:
		add_filter(view, word);
		return 0;
	case OPTION_STACKS:
		view->stacks = true;
		return 0;
	case OPTION_TOP:
		view->top = parse_number(state, word);
		return 0;
	case 'b':
		view->bytes = true;
		return 0;
	case 'j':
		view->json = true;
		return 0;
	case 'p':
		view->pid = parse_pid(state, word);
		return 0;
	case ARGP_KEY_ARG:
		add_word(view, word);
		return 0;
	case ARGP_KEY_END:
		check_view(state, input);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/**
 * parse_view() - parse the line of a subcommand that shows snapshots
 * @argc: as main()'s
 * @argv: as main()'s, with the subcommand's name first
 * @line: the rest of what the subcommand says about its line
 * @view: how it shows them unless the line says otherwise; and then what the line asks for
 */
void parse_view(int argc, char **argv, const struct view_line *line, struct view *view)
{
	const struct argp_child children[] = {
		[CHILD_HELP] = *help_child,
		[CHILD_OWN] = { line->own, 0, NULL, 0 },
		[CHILD_END] = { 0 },
	};
	const struct argp argp = {
		.options = line->words_max == 1 ? options : options + 1,
		.parser = parse,
		.args_doc = line->args_doc,
		.doc = line->doc,
		.children = children,
	};
	struct input input = {
		.view = view,
		.words_min = line->words_min,
		.words_max = line->words_max,
		.own = line->own_input,
	};

	argp_parse(&argp, argc, argv, 0, NULL, &input);
	if (view->stacks)
		view->by = BY_SITE;
}

/**
 * load_snapshot() - the snapshot that a word means
 * @word: the number of a heap, of which a snapshot is taken; else the name of a file
 *
 * Return: the snapshot, checked.
 */
struct snapshot load_snapshot(const char *word)
{
	struct snapshot snapshot = { 0 };
	__u64 id;

	if (!*word || word[strspn(word, "0123456789")])
		return snapshot_read(word);
	id = strtoull(word, NULL, 10);
	take_snapshots(&snapshot, &id, 1);
	snapshot_check(&snapshot, word);
	return snapshot;
}

/**
 * view_snapshot() - the only snapshot that a line means
 * @view: what the line asks for, with one word or a process
 *
 * Return: the snapshot, checked.
 */
struct snapshot view_snapshot(const struct view *view)
{
	struct snapshot snapshot = { 0 };
	size_t count;
	__u64 *ids;

	if (!view->pid)
		return load_snapshot(view->words[0]);
	count = heaps_of_process(view->pid, &ids);
	take_snapshots(&snapshot, ids, count);
	snapshot_check(&snapshot, "the snapshot");
	free(ids);
	return snapshot;
}

static bool matches_file(const char *pattern, const char *path)
{
	return path && (!fnmatch(pattern, path, 0) || !fnmatch(pattern, base_name(path), 0));
}

static bool matches_frame(const char *pattern, const struct frame *frame)
{
	return matches_file(pattern, frame->file) || matches_file(pattern, frame->object) ||
		(frame->function && !fnmatch(pattern, frame->function, 0));
}

static bool matches(const struct view *view, const char *pattern, const struct stack *stack)
{
	size_t i;

	if (!stack || !stack->place)
		return false;
	if (!view->all_frames)
		return matches_frame(pattern, stack->place);
	for (i = 0; i < stack->count; i++)
		if (matches_frame(pattern, stack->frames[i]))
			return true;
	return false;
}

/**
 * view_keeps() - whether the filters keep blocks
 * @view: what the line asks for
 * @stack: their stack, or NULL
 *
 * Return: true if a pattern without ! matches, or if there is none of these; and none with !
 * matches.
 */
bool view_keeps(const struct view *view, const struct stack *stack)
{
	bool wanted = false;
	bool any = false;
	size_t i;

	for (i = 0; i < view->nr_filters; i++) {
		const char *pattern = view->filters[i];

		if (*pattern == '!' && matches(view, pattern + 1, stack))
			return false;
		if (*pattern == '!')
			continue;
		any = true;
		wanted = wanted || matches(view, pattern, stack);
	}
	return wanted || !any;
}

/**
 * view_limit() - how many lines to print
 * @view: what the line asks for
 * @count: how many there are
 *
 * Return: how many of them are to be printed.
 */
size_t view_limit(const struct view *view, size_t count)
{
	return view->top && view->top < count ? view->top : count;
}

/**
 * view_style() - how tables are printed
 * @view: what the line asks for
 *
 * Return: the style.
 */
struct style view_style(const struct view *view)
{
	return (struct style){ .json = view->json, .bytes = view->bytes };
}
