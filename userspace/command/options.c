// SPDX-License-Identifier: LGPL-2.1-or-later
/* What all command lines have in common. */
#include <argp.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

/**
 * parse_number() - parse a number
 * @state: the parser's, for the message if the line is wrong
 * @text: the number, decimal, hexadecimal or octal as in C
 *
 * Return: the number.
 */
__u64 parse_number(struct argp_state *state, const char *text)
{
	char *end;
	__u64 number;

	errno = 0;
	number = strtoull(text, &end, 0);
	if (*text < '0' || *text > '9' || *end || errno)
		argp_error(state, "not a number: %s", text);
	return number;
}

/**
 * parse_size() - parse a number of bytes
 * @state: the parser's, for the message if the line is wrong
 * @text: the number, as parse_number() takes it; K, M or G behind it are powers of 1024
 *
 * Return: the number of bytes.
 */
__u64 parse_size(struct argp_state *state, const char *text)
{
	static const char units[] = "KMG";
	char *end;
	const char *unit;
	int shift = 0;
	__u64 number;

	errno = 0;
	number = strtoull(text, &end, 0);
	unit = *end ? strchr(units, *end) : NULL;
	if (unit) {
		shift = 10 * (unit - units + 1);
		end++;
	}
	if (*text < '0' || *text > '9' || *end || errno || number > UINT64_MAX >> shift)
		argp_error(state, "not a number of bytes: %s", text);
	return number << shift;
}

/* argp knows --help and -? only; -h is what most people try. */
static error_t parse_help(int key, char *word, struct argp_state *state)
{
	(void)word;
	if (key != 'h')
		return ARGP_ERR_UNKNOWN;
	argp_state_help(state, state->out_stream, ARGP_HELP_STD_HELP);
	return 0;
}

static const struct argp_option help_options[] = {
	{ NULL, 'h', NULL, 0, "the same as --help", -1 },
	{ 0 }
};

static const struct argp help_argp = {
	.options = help_options,
	.parser = parse_help,
};

const struct argp_child help_child[] = {
	{ &help_argp, 0, NULL, 0 },
	{ 0 }
};
