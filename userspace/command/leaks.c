// SPDX-License-Identifier: LGPL-2.1-or-later
/* pymalloc leaks: blocks that have been there for long, by the stacks that allocated them. */
#include <argp.h>

#include "command.h"
#include "options.h"
#include "report.h"

/* Most requests of a server are over by then. */
#define SECONDS_DEFAULT	60

enum { OPTION_OLDER_THAN = 0x300 };

static const struct argp_option options[] = {
	{ "older-than", OPTION_OLDER_THAN, "S", 0,
	  "only blocks that are older than S seconds; 60 if not given", 0 },
	{ 0 }
};

static error_t parse(int key, char *word, struct argp_state *state)
{
	struct view *view = state->input;

	if (key != OPTION_OLDER_THAN)
		return ARGP_ERR_UNKNOWN;
	view->older_than = parse_number(state, word);
	return 0;
}

int leaks_main(int argc, char **argv)
{
	static const struct argp own = { .options = options, .parser = parse };
	struct view view = {
		.by = BY_SITE,
		.top = TOP_DEFAULT,
		.older_than = SECONDS_DEFAULT,
	};
	const struct view_line line = {
		.args_doc = "FILE|HEAP",
		.doc = "Print the blocks of a snapshot that are older than a minute, or than S\n"
		       "seconds, by the stack that allocated them.",
		.words_min = 1,
		.words_max = 1,
		.own = &own,
		.own_input = &view,
	};

	parse_view(argc, argv, &line, &view);
	view.stacks = view.by == BY_SITE;
	print_report(&view);
	return 0;
}
