/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What report, diff, growing and leaks are asked to show. */
#ifndef _PYMALLOC_VIEW_H
#define _PYMALLOC_VIEW_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <linux/types.h>

#include "section.h"
#include "stack.h"
#include "table.h"

/* By what blocks are put together. */
enum by {
	BY_SITE,
	BY_LINE,
	BY_FILE,
	BY_FUNCTION,
	BY_CLASS,
	BY_THREAD,
	BY_AGE,
	BY_IDLE,
};

/**
 * struct view - what the line asks for
 * @words: FILE or HEAP, each of them
 * @nr_words: how many
 * @pid: the process whose heaps are meant; 0 if the line names none
 * @by: by what blocks are put together
 * @has_by: whether the line says so
 * @top: the most lines to print; 0 is no limit
 * @filters: patterns
 * @nr_filters: how many
 * @all_frames: @filters look at all frames
 * @cached: blocks in magazines, too
 * @stacks: print whole stacks
 * @older_than: only blocks that are older than so many seconds; 0 is all
 * @bytes: plain numbers for amounts of memory
 * @json: print JSON
 */
struct view {
	char **words;
	size_t nr_words;
	pid_t pid;
	enum by by;
	bool has_by;
	__u64 top;
	const char **filters;
	size_t nr_filters;
	bool all_frames;
	bool cached;
	bool stacks;
	__u64 older_than;
	bool bytes;
	bool json;
};

/* Lines that are printed unless --top says otherwise. */
#define TOP_DEFAULT	20

/**
 * struct view_line - the line of a subcommand
 * @args_doc: its arguments, for --help
 * @doc: what it does, for --help
 * @words_min: the least snapshots that it looks at
 * @words_max: the most
 * @own: its own options and their parser, or NULL
 * @own_input: the input of that parser
 */
struct view_line {
	const char *args_doc;
	const char *doc;
	size_t words_min;
	size_t words_max;
	const struct argp *own;
	void *own_input;
};

void parse_view(int argc, char **argv, const struct view_line *line, struct view *view);
struct snapshot view_snapshot(const struct view *view);
struct snapshot load_snapshot(const char *word);
size_t view_limit(const struct view *view, size_t count);
struct style view_style(const struct view *view);
bool view_keeps(const struct view *view, const struct stack *stack);

#endif /* _PYMALLOC_VIEW_H */
