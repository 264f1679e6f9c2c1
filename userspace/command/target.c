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
	bool all;
	pid_t pid;
	void *own;		/* the input of the subcommand's own parser, or NULL */
};

/**
 * parse_pid() - parse the number of a process
 * @state: the parser's, for the message if the line is wrong
 * @text: the number
 *
 * Return: the number.
 */
pid_t parse_pid(struct argp_state *state, const char *text)
{
	__u64 number = parse_number(state, text);

	if (!number)
		argp_error(state, "heaps without a process go by their numbers (`pymalloc ls`)");
	if (number > INT32_MAX)
		argp_error(state, "not a process: %s", text);
	return number;
}

/* What follows -- is not for this program. */
static void parse_command(struct argp_state *state, struct input *input)
{
	if (input->has_id || input->has_pid)
		argp_error(state, "a heap and a program are two things to look at");
	input->target.command = &state->argv[state->next - 1];
	state->next = state->argc;
}

static error_t parse_word(struct argp_state *state, const char *word)
{
	struct input *input = state->input;
	struct target *target = &input->target;

	if (input->takes & TAKES_COMMAND && state->quoted) {
		parse_command(state, input);
	} else if (!input->has_id && !input->has_pid && !input->all) {
		target->id = parse_number(state, word);
		input->has_id = true;
	} else if ((input->takes & TAKES_OFFSET) && !target->has_offset) {
		target->offset = parse_number(state, word);
		target->has_offset = true;
	} else if (!(input->takes & TAKES_WORDS)) {
		argp_error(state, "too many arguments");
	} else {
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static void check_heap(struct argp_state *state, struct input *input)
{
	struct target *target = &input->target;

	target->has_heap = input->has_id || input->has_pid;
	if (input->all && target->has_heap)
		argp_error(state, "--all and a heap are two wishes");
	if (target->has_heap || target->command ||
	    input->takes & (TAKES_ALL | TAKES_OPTIONAL))
		return;
	if (input->takes & TAKES_COMMAND)
		argp_error(state, "which heap? Give HEAP, --pid PID or -- CMD");
	argp_error(state, "which heap? Give HEAP or --pid PID");
}

static error_t parse(int key, char *word, struct argp_state *state)
{
	struct input *input = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		if (input->own)
			state->child_inputs[CHILD_OWN] = input->own;
		return 0;
	case 'a':
		if (input->has_id)
			argp_error(state, "--all and a heap are two wishes");
		input->all = true;
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
		return parse_word(state, word);
	case ARGP_KEY_END:
		check_heap(state, input);
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
	errx(EXIT_FAILED, "process %d has no heap (pymalloc run -- PROGRAM starts one that has)",
	     pid);
}

static noreturn void many_heaps(pid_t pid)
{
	struct pymalloc_heap_info *heaps;
	size_t count = list_heaps(open_device(), &heaps);
	size_t i;

	warnx("process %d has several heaps; give one of these numbers:", pid);
	for (i = 0; i < count; i++)
		if (heaps[i].pid == pid)
			fprintf(stderr, "  %llu %s\n", heaps[i].id, heaps[i].name);
	exit(EXIT_FAILED);
}

/**
 * heaps_of_process() - find all heaps of a process
 * @pid: the process
 * @ids: where to store an array of their numbers, which the caller frees
 *
 * Ends the program with a message if the process has no heap, or if it is not the caller's
 * to look at.
 *
 * Return: how many there are.
 */
size_t heaps_of_process(pid_t pid, __u64 **ids)
{
	struct pymalloc_heap_info *heaps;
	int device = open_device();
	size_t count = list_heaps(device, &heaps);
	size_t found = 0;
	size_t i;

	*ids = calloc(count + 1, sizeof(**ids));
	if (!*ids)
		err(EXIT_FAILED, NULL);
	for (i = 0; i < count; i++)
		if (heaps[i].pid == pid)
			(*ids)[found++] = heaps[i].id;
	if (!found)
		no_heap(pid);
	free(heaps);
	close(device);
	return found;
}

/**
 * heap_of_process() - find the only heap of a process
 * @pid: the process
 *
 * Ends the program with a message if the process has no heap or several, or if it is not
 * the caller's to look at.
 *
 * Return: the heap's number.
 */
__u64 heap_of_process(pid_t pid)
{
	__u64 *ids;
	size_t count = heaps_of_process(pid, &ids);
	__u64 id = ids[0];

	if (count > 1)
		many_heaps(pid);
	free(ids);
	return id;
}

/* The options that a subcommand has: the last ones of these. */
static const struct argp_option *target_options(unsigned int takes)
{
	static const struct argp_option options[] = {
		{ "all", 'a', NULL, 0, "all heaps that ls shows: the sum", 0 },
		{ "bytes", 'b', NULL, 0, "print sizes in bytes", 0 },
		{ "json", 'j', NULL, 0, "print JSON", 0 },
		{ "pid", 'p', "PID", 0, "the only heap of process PID", 0 },
		{ 0 }
	};

	if (takes & (TAKES_COMMAND | TAKES_OPTIONAL))
		return options + 3;
	if (takes & TAKES_ALL)
		return options;
	return takes & TAKES_BYTES ? options + 1 : options + 2;
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
	const struct argp_child children[] = {
		[CHILD_HELP] = *help_child,
		[CHILD_OWN] = { own, 0, NULL, 0 },
		[CHILD_END] = { 0 },
	};
	const struct argp argp = {
		.options = target_options(takes),
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
