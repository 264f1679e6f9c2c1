// SPDX-License-Identifier: LGPL-2.1-or-later
/* pymalloc: run programs on the kernel's pymalloc, and look at its heaps. */
#include <argp.h>
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "options.h"

static int help_main(int argc, char **argv);

static const struct subcommand {
	const char *name;
	int (*main)(int argc, char **argv);
} subcommands[] = {
	{ "run", run_main },
	{ "ls", ls_main },
	{ "show", show_main },
	{ "map", map_main },
	{ "check", check_main },
	{ "forget", forget_main },
	{ "trim", trim_main },
	{ "compact", compact_main },
	{ "policy", policy_main },
	{ "stat", stat_main },
	{ "record", record_main },
	{ "plot", plot_main },
	{ "top", top_main },
	{ "export", export_main },
	{ "trace", trace_main },
	{ "snapshot", snapshot_main },
	{ "report", report_main },
	{ "diff", diff_main },
	{ "growing", growing_main },
	{ "leaks", leaks_main },
	{ "convert", convert_main },
	{ "serve", serve_main },
	{ "help", help_main },
};

static const char doc[] =
	"Run programs on the kernel's pymalloc service, and look at its heaps.\n"
	"\n"
	"Commands:\n"
	"  run [--] CMD...    run CMD with its small objects in a heap\n"
	"  ls                 list heaps\n"
	"  show HEAP          figures of a heap, by size class\n"
	"  map HEAP [OFFSET]  a picture of a heap's arenas and pools\n"
	"  check HEAP         prove that a heap's figures add up\n"
	"  forget HEAP...     give back what is kept of dead heaps\n"
	"  trim HEAP          give a heap's empty pools back\n"
	"  compact HEAP       give back all memory that a heap can give back\n"
	"  policy HEAP        how a heap gives memory back by itself: show or set it\n"
	"  stat [HEAP]        figures of a heap, or of all, again and again\n"
	"  record HEAP        write figures of a heap to a file while it lives\n"
	"  plot FILE          draw such a file\n"
	"  top [HEAP]         what heaps do now, on the terminal\n"
	"  export [HEAP...]   figures of heaps as metrics, in the format OpenMetrics\n"
	"  trace HEAP         record where blocks are allocated: show or set it\n"
	"  snapshot HEAP      write to a file where a heap's blocks were allocated\n"
	"  report FILE|HEAP   blocks of a snapshot, by where they were allocated\n"
	"  diff A B           what has changed from one snapshot to another\n"
	"  growing A B...     what has become more from each snapshot to the next\n"
	"  leaks FILE|HEAP    blocks of a snapshot that have been there for long\n"
	"  convert FILE       write a snapshot in a format of another tool\n"
	"  serve              the same over HTTP, until it is stopped\n"
	"  help [COMMAND]     what a command does, and its options\n"
	"\n"
	"HEAP is a number that ls shows, or --pid PID. Each command has --help.";

static const struct subcommand *find(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(subcommands) / sizeof(*subcommands); i++)
		if (!strcmp(subcommands[i].name, name))
			return &subcommands[i];
	return NULL;
}

/* The rest of the line, from the first argument on, belongs to the subcommand. */
static error_t parse(int key, char *word, struct argp_state *state)
{
	int *first = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		if (!find(word))
			argp_error(state, "no such command: %s", word);
		*first = state->next - 1;
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_usage(state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.parser = parse,
	.args_doc = "COMMAND [ARG...]",
	.doc = doc,
	.children = help_child,
};

static int subcommand_main(int argc, char **argv)
{
	const struct subcommand *subcommand = find(argv[0]);
	static char name[32];

	snprintf(name, sizeof(name), "pymalloc %s", subcommand->name);
	argv[0] = name;
	return subcommand->main(argc, argv);
}

/* Of `pymalloc help`: its only argument is the name of a command. */
static error_t parse_topic(int key, char *word, struct argp_state *state)
{
	char **topic = state->input;

	if (key != ARGP_KEY_ARG)
		return ARGP_ERR_UNKNOWN;
	if (*topic)
		argp_error(state, "too many arguments");
	if (!find(word))
		argp_error(state, "no such command: %s", word);
	*topic = word;
	return 0;
}

static int help_main(int argc, char **argv)
{
	static const struct argp help_argp = {
		.parser = parse_topic,
		.args_doc = "[COMMAND]",
		.doc = "Say what COMMAND does, or which commands there are.",
		.children = help_child,
	};
	char option[] = "--help";
	char *line[3] = { NULL, option };

	argp_parse(&help_argp, argc, argv, 0, NULL, &line[0]);
	if (line[0])
		return subcommand_main(2, line);
	argp_help(&argp, stdout, ARGP_HELP_STD_HELP, program_invocation_short_name);
	return 0;
}

/* If anything that was printed could not be written, the program fails. */
static void close_stdout(void)
{
	int failed = ferror(stdout);

	errno = 0;
	if (!fclose(stdout) && !failed)
		return;
	if (errno)
		warn("cannot write");
	else
		warnx("cannot write");
	_exit(EXIT_FAILED);
}

int main(int argc, char **argv)
{
	int first;

	argp_err_exit_status = EXIT_USAGE;
	atexit(close_stdout);
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &first);
	return subcommand_main(argc - first, argv + first);
}
