// SPDX-License-Identifier: LGPL-2.1-or-later
/* pymalloc: run programs on the kernel's pymalloc, and look at its heaps. */
#include <argp.h>
#include <stdio.h>
#include <string.h>

#include "command.h"

static const struct subcommand {
	const char *name;
	int (*main)(int argc, char **argv);
} subcommands[] = {
	{ "run", run_main },
	{ "ls", ls_main },
	{ "show", show_main },
	{ "map", map_main },
	{ "check", check_main },
	{ "trim", trim_main },
};

static const char doc[] =
	"Run programs on the kernel's pymalloc service, and look at its heaps.\n"
	"\n"
	"Commands:\n"
	"  run [--] CMD...    run CMD with its small objects in a heap\n"
	"  ls                 list heaps\n"
	"  show HEAP          figures of a heap, by size class\n"
	"  map HEAP [ARENA]   a picture of a heap's arenas and pools\n"
	"  check HEAP         prove that a heap's figures add up\n"
	"  trim HEAP          give a heap's empty pools back\n"
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

/* The rest of the line, from the first word on, is the subcommand's. */
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

int main(int argc, char **argv)
{
	static const struct argp argp = {
		.parser = parse,
		.args_doc = "COMMAND [ARG...]",
		.doc = doc,
	};
	const struct subcommand *subcommand;
	char name[32];
	int first;

	argp_err_exit_status = EXIT_USAGE;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &first);
	subcommand = find(argv[first]);
	snprintf(name, sizeof(name), "pymalloc %s", subcommand->name);
	argv[first] = name;
	return subcommand->main(argc - first, argv + first);
}
