// SPDX-License-Identifier: LGPL-2.1-or-later
/* The arguments of the subcommands that are about one heap. */
#include <argp.h>
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "options.h"
#include "service.h"
#include "target.h"

/* The parsers that take part. */
enum { CHILD_HELP, CHILD_OWN, CHILD_END };

/* What has been parsed so far. */
struct input {
	struct target target;
	unsigned int takes;
	bool has_id;
	bool has_pid;
	pid_t pid;
	void *own;		/* the input of the subcommand's own parser, or NULL */
};

static pid_t parse_pid(struct argp_state *state, const char *text)
{
	__u64 number = parse_number(state, text);

	if (!number || number > INT32_MAX)
		argp_error(state, "not a process: %s", text);
	return number;
}

static void parse_word(struct argp_state *state, const char *word)
{
	struct input *input = state->input;
	struct target *target = &input->target;
	__u64 number = parse_number(state, word);

	if (!input->has_id && !input->has_pid) {
		target->id = number;
		input->has_id = true;
	} else if ((input->takes & TAKES_OFFSET) && !target->has_offset) {
		target->offset = number;
		target->has_offset = true;
	} else {
		argp_error(state, "too many arguments");
	}
}

static error_t parse(int key, char *word, struct argp_state *state)
{
	struct input *input = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		if (input->own)
			state->child_inputs[CHILD_OWN] = input->own;
		return 0;
	case 'b':
		input->target.bytes = true;
		return 0;
	case 'j':
		input->target.json = true;
		return 0;
	case 'p':
		if (input->has_id)
			argp_error(state, "HEAP and --pid are two heaps");
		input->pid = parse_pid(state, word);
		input->has_pid = true;
		return 0;
	case ARGP_KEY_ARG:
		parse_word(state, word);
		return 0;
	case ARGP_KEY_END:
		if (!input->has_id && !input->has_pid)
			argp_error(state, "which heap? Give HEAP or --pid PID");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/*
 * Whether the kernel would list the heaps of a process, if it has any: the process's folder
 * in /proc belongs to the user who may see them.
 */
static bool may_look(pid_t pid)
{
	struct stat folder;
	char path[32];

	if (!geteuid())
		return true;
	snprintf(path, sizeof(path), "/proc/%d", pid);
	return !stat(path, &folder) && folder.st_uid == geteuid();
}

static noreturn void no_heap(pid_t pid)
{
	if (kill(pid, 0) < 0 && errno == ESRCH)
		errx(EXIT_FAILED, "there is no process %d", pid);
	if (!may_look(pid))
		errx(EXIT_FAILED, "process %d is not yours to look at", pid);
	errx(EXIT_FAILED, "process %d has no heap", pid);
}

static noreturn void many_heaps(const struct pymalloc_heap_info *heaps,
				size_t count, pid_t pid)
{
	size_t i;

	warnx("process %d has several heaps; give one of these numbers:", pid);
	for (i = 0; i < count; i++)
		if (heaps[i].pid == pid)
			fprintf(stderr, "  %llu %s\n", heaps[i].id, heaps[i].name);
	exit(EXIT_FAILED);
}

static __u64 heap_of_process(pid_t pid)
{
	struct pymalloc_heap_info *heaps;
	int device = open_device();
	size_t count = list_heaps(device, &heaps);
	size_t found = 0;
	__u64 id = 0;
	size_t i;

	for (i = 0; i < count; i++) {
		if (heaps[i].pid != pid)
			continue;
		id = heaps[i].id;
		found++;
	}
	if (!found)
		no_heap(pid);
	if (found > 1)
		many_heaps(heaps, count, pid);
	free(heaps);
	close(device);
	return id;
}

/**
 * parse_target_with() - parse_target() for a subcommand that has options of its own
 * @argc: as main()'s
 * @argv: as main()'s, with the subcommand's name first
 * @args_doc: its arguments, for --help
 * @doc: what it does, for --help
 * @takes: TAKES_*
 * @own: its own options and their parser, or NULL
 * @own_input: the input of that parser
 *
 * Return: what the line asks for.
 */
struct target parse_target_with(int argc, char **argv, const char *args_doc,
				const char *doc, unsigned int takes,
				const struct argp *own, void *own_input)
{
	/* Without TAKES_BYTES, the first one is left out. */
	static const struct argp_option options[] = {
		{ "bytes", 'b', NULL, 0, "print sizes in bytes", 0 },
		{ "json", 'j', NULL, 0, "print JSON", 0 },
		{ "pid", 'p', "PID", 0, "the only heap of process PID", 0 },
		{ 0 }
	};
	const struct argp_child children[] = {
		[CHILD_HELP] = *help_child,
		[CHILD_OWN] = { own, 0, NULL, 0 },
		[CHILD_END] = { 0 },
	};
	const struct argp argp = {
		.options = takes & TAKES_BYTES ? options : options + 1,
		.parser = parse,
		.args_doc = args_doc,
		.doc = doc,
		.children = children,
	};
	struct input input = { .takes = takes, .own = own_input };

	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &input);
	if (input.has_pid)
		input.target.id = heap_of_process(input.pid);
	return input.target;
}

/**
 * parse_target() - parse the line of a subcommand that is about one heap
 * @argc: as main()'s
 * @argv: as main()'s, with the subcommand's name first
 * @args_doc: its arguments, for --help
 * @doc: what it does, for --help
 * @takes: TAKES_*
 *
 * Ends the program with a message if the line is wrong or --pid has no single heap.
 *
 * Return: what the line asks for.
 */
struct target parse_target(int argc, char **argv, const char *args_doc,
			   const char *doc, unsigned int takes)
{
	return parse_target_with(argc, argv, args_doc, doc, takes, NULL, NULL);
}
