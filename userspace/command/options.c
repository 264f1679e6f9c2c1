// SPDX-License-Identifier: LGPL-2.1-or-later
/* What all command lines have in common. */
#include <argp.h>

#include "options.h"

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
