// SPDX-License-Identifier: LGPL-2.1-or-later
/* pymalloc run: start a program with the malloc shim in front of its malloc. */
#include <argp.h>
#include <err.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"

#define SHIM	"libpymalloc-malloc.so"

/* What the line asks for; the debug mode as the shim's environment names it. */
struct wish {
	char **command;
	const char *debug;
};

static const struct argp_option options[] = {
	{ "debug", 'd', NULL, 0,
	  "Guard objects: find writes beyond them and after their free, and abort", 0 },
	{ "strict", 's', NULL, 0,
	  "As --debug, and have the kernel judge each free at once: slow", 0 },
	{ 0 }
};

static error_t parse(int key, char *word, struct argp_state *state)
{
	struct wish *wish = state->input;

	(void)word;
	switch (key) {
	case 'd':
		wish->debug = "debug";
		return 0;
	case 's':
		wish->debug = "strict";
		return 0;
	case ARGP_KEY_ARG:
		wish->command = &state->argv[state->next - 1];
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which command?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* The shim is beside this program, or where `make install` puts it from there. */
static char *find_shim(void)
{
	static const char * const places[] = { "", SHIM_DIR };
	char self[PATH_MAX], path[PATH_MAX + sizeof(SHIM_DIR SHIM)];
	char *shim;
	size_t i;

	if (!realpath("/proc/self/exe", self))
		err(EXIT_FAILED, "/proc/self/exe");
	strrchr(self, '/')[1] = '\0';
	for (i = 0; i < sizeof(places) / sizeof(*places); i++) {
		snprintf(path, sizeof(path), "%s%s%s", self, places[i], SHIM);
		shim = realpath(path, NULL);
		if (shim)
			return shim;
	}
	errx(EXIT_FAILED, "%s is neither in %s nor in %s%s", SHIM, self, self,
	     SHIM_DIR);
}

/* In front of what is preloaded already: the first malloc wins. */
static void preload(const char *shim)
{
	const char *others = getenv("LD_PRELOAD");
	char *value;

	if (strpbrk(shim, ": "))
		errx(EXIT_FAILED, "%s: the loader splits this name at ':' and ' '",
		     shim);
	if (asprintf(&value, others ? "%s:%s" : "%s", shim, others) < 0 ||
	    setenv("LD_PRELOAD", value, 1) < 0)
		err(EXIT_FAILED, NULL);
	free(value);
}

int run_main(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "[--] CMD...",
		.children = help_child,
		.doc = "Run CMD with objects of up to 512 bytes in a heap of the kernel's.\n"
		       "Sets LD_PRELOAD and, unless it is set, PYTHONMALLOC=malloc.\n"
		       "--debug and --strict set PYMALLOC_DEBUG to debug and strict.\n"
		       "The exit status is that of CMD.",
	};
	struct wish wish = { 0 };
	char *shim;

	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &wish);
	shim = find_shim();
	preload(shim);
	free(shim);
	if (setenv("PYTHONMALLOC", "malloc", 0) < 0 ||
	    (wish.debug && setenv("PYMALLOC_DEBUG", wish.debug, 1) < 0))
		err(EXIT_FAILED, NULL);
	execvp(wish.command[0], wish.command);
	err(EXIT_FAILED, "%s", wish.command[0]);
}
