// SPDX-License-Identifier: LGPL-2.1-or-later
/* pymalloc run: start a program with the malloc shim preloaded. */
#include <argp.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "command.h"
#include "options.h"
#include "program.h"
#include "run.h"
#include "service.h"
#include "tracing.h"

#define SHIM		"libpymalloc-malloc.so"
#define SHIM_TRACE	"libpymalloc-malloc-trace.so"

/*
 * What the line asks for; @debug is the value for PYMALLOC_DEBUG, or NULL.  @trace counts
 * only with @traced.
 */
struct wish {
	char **command;
	const char *debug;
	bool traced;
	bool has_settings;
	struct pymalloc_trace trace;
};

static const struct argp_option options[] = {
	{ "debug", 'd', NULL, 0,
	  "Guard objects: find writes beyond them and after their free, and abort", 0 },
	{ "strict", 's', NULL, 0,
	  "As --debug, and have the kernel judge each free at once: slow", 0 },
	{ "trace", 't', "MODE", OPTION_ARG_OPTIONAL,
	  "Record where blocks are allocated: exact, the usual MODE, sampled, or growth", 0 },
	TRACING_OPTIONS,
	{ 0 }
};

static void choose_debug(struct argp_state *state, const char *mode)
{
	struct wish *wish = state->input;

	if (wish->debug && strcmp(wish->debug, mode))
		argp_error(state, "--debug and --strict are two modes");
	wish->debug = mode;
}

static void check_wish(struct argp_state *state, const struct wish *wish)
{
	if (wish->has_settings && !wish->traced)
		argp_error(state, "--frames, --native and --interval are for --trace");
	if (wish->traced && wish->debug)
		argp_error(state, "--trace does not go with --debug or --strict");
}

static error_t parse(int key, char *word, struct argp_state *state)
{
	struct wish *wish = state->input;

	if (!parse_tracing(key, word, state, &wish->trace)) {
		wish->has_settings = true;
		return 0;
	}
	switch (key) {
	case 'd':
		choose_debug(state, "debug");
		return 0;
	case 's':
		choose_debug(state, "strict");
		return 0;
	case 't':
		wish->trace.mode = word ? parse_mode(state, word) : PYMALLOC_TRACE_EXACT;
		wish->traced = true;
		return 0;
	case ARGP_KEY_ARG:
		wish->command = &state->argv[state->next - 1];
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which command?");
		return 0;
	case ARGP_KEY_END:
		check_wish(state, wish);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* The shim lies beside this program, or where `make install` puts it relative to that. */
static char *find_shim(const char *name)
{
	static const char * const places[] = { "", SHIM_DIR };
	char self[PATH_MAX], path[PATH_MAX + sizeof(SHIM_DIR SHIM_TRACE)];
	char *shim;
	size_t i;

	if (!realpath("/proc/self/exe", self))
		err(EXIT_RUN_FAILED, "/proc/self/exe");
	strrchr(self, '/')[1] = '\0';
	for (i = 0; i < sizeof(places) / sizeof(*places); i++) {
		snprintf(path, sizeof(path), "%s%s%s", self, places[i], name);
		shim = realpath(path, NULL);
		if (shim)
			return shim;
	}
	errx(EXIT_RUN_FAILED, "%s is neither in %s nor in %s%s", name, self, self,
	     SHIM_DIR);
}

/* In front of what is preloaded already: the loader takes the first malloc(). */
static void preload(const char *shim)
{
	const char *others = getenv("LD_PRELOAD");
	char *value;

	if (strpbrk(shim, ": "))
		errx(EXIT_RUN_FAILED, "%s: the loader splits this name at ':' and ' '",
		     shim);
	if (asprintf(&value, others ? "%s:%s" : "%s", shim, others) < 0 ||
	    setenv("LD_PRELOAD", value, 1) < 0)
		err(EXIT_RUN_FAILED, NULL);
	free(value);
}

/* Why a program of this user cannot have a heap, or NULL if it can. */
static const char *judge_service(const struct pymalloc_info *info)
{
	static char text[80];

	if (info->abi_version != PYMALLOC_ABI_VERSION)
		return "the module is of another version";
	if (!info->user_heaps_max || info->user_heaps < info->user_heaps_max)
		return NULL;
	snprintf(text, sizeof(text), "this user has %u heaps already, of %u",
		 info->user_heaps, info->user_heaps_max);
	return text;
}

/* Asked once, here, so that not each process that the program starts has to say it. */
static const char *ask_service(void)
{
	struct pymalloc_info info = { .argsz = sizeof(info) };
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	const char *reason;

	if (fd < 0)
		return strerror(errno);
	if (ioctl(fd, PYMALLOC_IOC_INFO, &info) < 0)
		reason = strerror(errno);
	else
		reason = judge_service(&info);
	close(fd);
	return reason;
}

static const char *describe(enum program program)
{
	switch (program) {
	case PROGRAM_STATIC:
		return "it is linked statically, and has a malloc of its own";
	case PROGRAM_OTHER_LIBC:
		return "its C library is not glibc";
	case PROGRAM_OTHER_MACHINE:
		return "it is for another kind of machine";
	default:
		return NULL;
	}
}

/*
 * Whether to preload the shim.  A static program ignores it, but may start others that do
 * not.
 */
static bool may_preload(const char *name)
{
	enum program program = look_at_program(name);
	const char *reason = ask_service();

	if (reason) {
		warnx(DEVICE ": %s; the C library serves %s", reason, name);
		return false;
	}
	reason = describe(program);
	if (reason)
		warnx("%s runs without the service: %s", name, reason);
	return !reason || program == PROGRAM_STATIC;
}

/* Whether malloc() has to count: see shim/count.h. */
static bool counts_bytes(const struct pymalloc_trace *trace)
{
	return trace && trace->mode >= PYMALLOC_TRACE_SAMPLED;
}

/* See shim/tracing.c. */
static void set_up_trace(const struct pymalloc_trace *trace)
{
	char text[64];

	snprintf(text, sizeof(text), "%u,%u,%u,%llu", trace->mode, trace->python_frames,
		 trace->native_frames, trace->interval);
	if (setenv("PYMALLOC_TRACE", text, 1) < 0)
		err(EXIT_RUN_FAILED, NULL);
}

static void set_up_environment(const char *debug, const struct pymalloc_trace *trace)
{
	char number[16];
	char *shim = find_shim(counts_bytes(trace) ? SHIM_TRACE : SHIM);

	if (trace)
		set_up_trace(trace);

	preload(shim);
	free(shim);
	snprintf(number, sizeof(number), "%d", getpid());
	if (setenv("PYTHONMALLOC", "malloc", 0) < 0 ||
	    setenv("PYMALLOC_RUN", number, 1) < 0 ||
	    (debug && setenv("PYMALLOC_DEBUG", debug, 1) < 0))
		err(EXIT_RUN_FAILED, NULL);
}

/**
 * run_program() - become a program on the service
 * @command: its name and its arguments
 * @debug: the value for PYMALLOC_DEBUG, or NULL
 * @trace: how it is to be traced from its start on, or NULL
 *
 * If the program cannot be run, this ends with a message and one of the exit statuses.
 */
noreturn void run_program(char **command, const char *debug,
			  const struct pymalloc_trace *trace)
{
	if (may_preload(command[0]))
		set_up_environment(debug, trace);
	execvp(command[0], command);
	err(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_INVOKE, "%s", command[0]);
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
		       "--trace sets PYMALLOC_TRACE; `pymalloc report` shows what was recorded.\n"
		       "The exit status is that of CMD; 127 if it is not found, 126 if it\n"
		       "cannot be run, 125 if this command fails itself.",
	};
	struct wish wish = {
		.trace = {
			.python_frames = TRACING_PYTHON_FRAMES,
			.native_frames = TRACING_NATIVE_FRAMES,
		},
	};

	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &wish);
	run_program(wish.command, wish.debug, wish.traced ? &wish.trace : NULL);
}
