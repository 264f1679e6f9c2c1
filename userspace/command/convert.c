// SPDX-License-Identifier: LGPL-2.1-or-later
/* pymalloc convert: have the Python package write a snapshot in a format of another tool. */
#include <argp.h>
#include <err.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "options.h"

#define MODULE	"pymalloc/convert.py"
/* Where `make install` puts the package if Python looks nowhere below its prefix. */
#define PYTHON_DIR	"../lib/python3/dist-packages/"

/* The options, which are those of the package: it parses them again. */
static const struct argp_option options[] = {
	{ "column", 'c', "COLUMN", 0,
	  "With mprof, the figure: BYTES (of pages; if not given), USED or METADATA", 0 },
	{ "names", 'n', "REPORT", 0,
	  "Take names of frames from this output of `pymalloc report --json`; - is nowhere", 0 },
	{ "output", 'o', "OUT", 0, "Write this file; standard output if not given", 0 },
	{ "to", 't', "FORMAT", 0, "The format", 0 },
	{ 0 }
};

/* What the line has. */
struct wish {
	bool has_file;
	bool has_format;
};

static error_t parse(int key, char *word, struct argp_state *state)
{
	struct wish *wish = state->input;

	(void)word;
	switch (key) {
	case 'c':
	case 'n':
	case 'o':
		return 0;
	case 't':
		wish->has_format = true;
		return 0;
	case ARGP_KEY_ARG:
		if (wish->has_file)
			argp_error(state, "too many arguments");
		wish->has_file = true;
		return 0;
	case ARGP_KEY_END:
		if (!wish->has_file)
			argp_error(state, "which file?");
		if (!wish->has_format)
			argp_error(state, "to which format?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* NULL if it is not where this command knows: then Python may still find it. */
static char *find_package(void)
{
	static const char * const places[] = { "python/", PYTHON_DIR };
	char self[PATH_MAX], path[PATH_MAX + sizeof(PYTHON_DIR MODULE)];
	size_t i;

	if (!realpath("/proc/self/exe", self))
		err(EXIT_FAILED, "/proc/self/exe");
	strrchr(self, '/')[1] = '\0';
	for (i = 0; i < sizeof(places) / sizeof(*places); i++) {
		snprintf(path, sizeof(path), "%s%s%s", self, places[i], MODULE);
		if (!access(path, R_OK)) {
			snprintf(path, sizeof(path), "%s%s", self, places[i]);
			return strdup(path);
		}
	}
	return NULL;
}

static void set_up_path(void)
{
	const char *others = getenv("PYTHONPATH");
	char *package = find_package();
	char *value;

	if (!package)
		return;
	if (asprintf(&value, others && *others ? "%s:%s" : "%s", package, others) < 0 ||
	    setenv("PYTHONPATH", value, 1) < 0)
		err(EXIT_FAILED, NULL);
	free(value);
	free(package);
}

static noreturn void run_python(int argc, char **argv)
{
	char python[] = "python3", module[] = "-m", name[] = "pymalloc.convert";
	char **line = calloc(argc + 3, sizeof(*line));

	if (!line)
		err(EXIT_FAILED, NULL);
	line[0] = python;
	line[1] = module;
	line[2] = name;
	memcpy(line + 3, argv + 1, (argc - 1) * sizeof(*line));
	execvp(python, line);
	err(EXIT_FAILED, "%s needs Python: %s", argv[0], python);
}

int convert_main(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "FILE",
		.children = help_child,
		.doc = "Write the snapshot in FILE in a format of another tool.\n"
		       "\vFormats:\n"
		       "  tracemalloc  a pickle for tracemalloc.Snapshot.load() of Python\n"
		       "  collapsed    stacks, a line each, for flamegraph.pl and others\n"
		       "  speedscope   JSON for speedscope\n"
		       "  pprof        a profile for pprof, compressed\n"
		       "  svg          a flame graph that a browser shows\n"
		       "  mprof        memory_profiler's .dat; FILE is one of `pymalloc record`\n"
		       "\n"
		       "This needs python3 and the Python package pymalloc.",
	};
	struct wish wish = { 0 };

	argp_parse(&argp, argc, argv, 0, NULL, &wish);
	set_up_path();
	run_python(argc, argv);
}
