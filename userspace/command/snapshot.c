// SPDX-License-Identifier: LGPL-2.1-or-later
/* pymalloc snapshot: which blocks a heap has, and where they were allocated, as a file. */
#include <argp.h>
#include <err.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "options.h"
#include "take.h"
#include "target.h"

static const struct argp_option options[] = {
	{ "output", 'o', "FILE", 0, "replace FILE; pymalloc.PID.snap if not given", 0 },
	{ "pid", 'p', "PID", 0, "all heaps of process PID", 0 },
	{ 0 }
};

/**
 * struct wish - what the line asks for
 * @id: the heap
 * @has_id: whether the line names one
 * @pid: the process; 0 if the line names none
 * @output: the file to write to, or NULL
 */
struct wish {
	__u64 id;
	bool has_id;
	pid_t pid;
	const char *output;
};

static void check_wish(struct argp_state *state)
{
	const struct wish *wish = state->input;

	if (wish->has_id && wish->pid)
		argp_error(state, "give HEAP or --pid, not both");
	if (!wish->has_id && !wish->pid)
		argp_error(state, "which heap? Give HEAP or --pid PID");
}

static error_t parse(int key, char *word, struct argp_state *state)
{
	struct wish *wish = state->input;

	switch (key) {
	case 'o':
		wish->output = word;
		return 0;
	case 'p':
		wish->pid = parse_pid(state, word);
		return 0;
	case ARGP_KEY_ARG:
		if (wish->has_id)
			argp_error(state, "too many arguments");
		wish->id = parse_number(state, word);
		wish->has_id = true;
		return 0;
	case ARGP_KEY_END:
		check_wish(state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void write_snapshot(const struct snapshot *snapshot, const char *output)
{
	char name[32];

	snprintf(name, sizeof(name), "pymalloc.%u.snap", snapshot->sections->header.pid);
	snapshot_write(snapshot, output ?: name);
}

int snapshot_main(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "HEAP",
		.doc = "Write to a file which blocks a heap has and where they were allocated,\n"
		       "for report, diff, growing and leaks. The heap's program goes on meanwhile.",
		.children = help_child,
	};
	struct snapshot snapshot = { 0 };
	struct wish wish = { 0 };
	__u64 *ids = &wish.id;
	size_t count = 1;

	argp_parse(&argp, argc, argv, 0, NULL, &wish);
	if (wish.pid)
		count = heaps_of_process(wish.pid, &ids);
	take_snapshots(&snapshot, ids, count);
	write_snapshot(&snapshot, wish.output);
	snapshot_free(&snapshot);
	if (wish.pid)
		free(ids);
	return 0;
}
