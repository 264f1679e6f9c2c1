// SPDX-License-Identifier: LGPL-2.1-or-later
/* pymalloc record: write figures of a heap to a file, while it lives. */
#include <argp.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "figures.h"
#include "history.h"
#include "pace.h"
#include "run.h"
#include "service.h"
#include "target.h"

/* How often to look whether a program has a heap by now, in seconds. */
#define INTERVAL_FIND	0.01

/* What the line asks for. */
struct wish {
	const char *output;
	double interval;
	bool force;
};

/**
 * struct recording - a file that is being written
 * @file: the file; NULL after a failure
 * @name: its name
 * @pace: when to look again
 * @begun: when that began, in seconds since 1970
 * @interval: how often
 */
struct recording {
	FILE *file;
	char *name;
	struct pace pace;
	double begun;
	double interval;
};

static const struct argp_option options[] = {
	{ "force", 'f', NULL, 0, "overwrite a file that is there", 0 },
	{ "interval", 'i', "S", 0, "look every S seconds; 1 if not given", 0 },
	{ "output", 'o', "FILE", 0, "write this file; pymalloc.PID.tsv if not given", 0 },
	{ 0 }
};

static error_t parse(int key, char *word, struct argp_state *state)
{
	struct wish *wish = state->input;

	switch (key) {
	case 'f':
		wish->force = true;
		return 0;
	case 'i':
		wish->interval = parse_interval(state, word);
		return 0;
	case 'o':
		wish->output = word;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* Each line is written at once and whole, so that the file is right whatever comes. */
static bool end_line(struct recording *recording)
{
	if (putc('\n', recording->file) != EOF && !fflush(recording->file))
		return true;
	warn("%s", recording->name);
	fclose(recording->file);
	recording->file = NULL;
	return false;
}

static bool write_header(struct recording *recording)
{
	int i;

	fputs(RECORD_VERSION "\nSECONDS", recording->file);
	for (i = 0; i < FIGURES; i++)
		fprintf(recording->file, "\t%s", figure_name(i));
	/* For figures of others that are to go into the same picture. */
	fprintf(recording->file, "\n# begun %.3f", recording->begun);
	return end_line(recording);
}

static bool write_line(struct recording *recording, const struct figures *figures)
{
	int i;

	fprintf(recording->file, "%.3f", pace_seconds(&recording->pace));
	for (i = 0; i < FIGURES; i++)
		fprintf(recording->file, "\t%llu", figures->of[i]);
	return end_line(recording);
}

static double seconds_since_1970(void)
{
	struct timespec time;

	if (clock_gettime(CLOCK_REALTIME, &time) < 0)
		err(EXIT_FAILED, "CLOCK_REALTIME");
	return time.tv_sec + time.tv_nsec / 1e9;
}

static char *file_name(const struct wish *wish, pid_t pid)
{
	char *name;

	if (wish->output)
		name = strdup(wish->output);
	else if (asprintf(&name, "pymalloc.%d.tsv", pid) < 0)
		name = NULL;
	if (!name)
		err(EXIT_FAILED, NULL);
	return name;
}

/* Returns false after a message. */
static bool start_recording(struct recording *recording, const struct wish *wish, pid_t pid)
{
	int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (wish->force ? O_TRUNC : O_EXCL);
	int fd;

	recording->name = file_name(wish, pid);
	recording->interval = wish->interval;
	recording->pace = pace_start();
	recording->begun = seconds_since_1970();
	fd = open(recording->name, flags, 0666);
	if (fd < 0 && errno == EEXIST)
		warnx("%s exists; --force overwrites it", recording->name);
	else if (fd < 0)
		warn("%s", recording->name);
	if (fd < 0)
		return false;
	recording->file = fdopen(fd, "w");
	if (!recording->file)
		err(EXIT_FAILED, NULL);
	return write_header(recording);
}

/* Returns whether all was written. */
static bool stop_recording(struct recording *recording)
{
	bool whole = recording->file && !fclose(recording->file);

	free(recording->name);
	return whole;
}

static int record_heap(const struct target *target, const struct wish *wish)
{
	int fd = open_heap(target->id, PYMALLOC_OPEN_RDONLY);
	struct pollfd end = { .fd = fd };
	struct recording recording = { 0 };
	struct figures figures;

	if (start_recording(&recording, wish, describe_heap(fd).pid))
		while (get_figures(fd, &figures) && write_line(&recording, &figures))
			pace_wait(&recording.pace, recording.interval, &end, 1);
	close(fd);
	return stop_recording(&recording) ? 0 : EXIT_FAILED;
}

/* The first heap that a process has made, of those that it has now; or -1. */
static int find_heap(int device, pid_t pid)
{
	struct pymalloc_heap_info *heaps;
	size_t count = list_heaps(device, &heaps);
	int fd = -1;
	size_t i;

	for (i = 0; i < count && fd < 0; i++)
		if (heaps[i].pid == pid)
			fd = try_open_heap(heaps[i].id, PYMALLOC_OPEN_RDONLY);
	free(heaps);
	return fd;
}

/* Looks at the heap, if there is one; returns it, or -1 if it has ended. */
static int record_line(struct recording *recording, int heap)
{
	struct figures figures;

	if (heap < 0)
		return -1;
	if (get_figures(heap, &figures)) {
		write_line(recording, &figures);
		return heap;
	}
	close(heap);
	return -1;
}

/*
 * Until the process ends, or no more can be written.  By exec() a process loses its heap,
 * and may get another.
 */
static void record_process(struct recording *recording, int device, pid_t pid)
{
	enum { PROCESS, HEAP };
	struct pollfd ends[] = {
		[PROCESS] = { .fd = pidfd_open(pid, 0), .events = POLLIN },
		[HEAP] = { .fd = -1 },
	};

	if (ends[PROCESS].fd < 0)
		err(EXIT_RUN_FAILED, "process %d", pid);
	while (recording->file && !ends[PROCESS].revents) {
		if (ends[HEAP].fd < 0)
			ends[HEAP].fd = find_heap(device, pid);
		ends[HEAP].fd = record_line(recording, ends[HEAP].fd);
		pace_wait(&recording->pace, ends[HEAP].fd < 0 ? INTERVAL_FIND :
			  recording->interval, ends, 2);
	}
	if (ends[HEAP].fd >= 0)
		close(ends[HEAP].fd);
	close(ends[PROCESS].fd);
}

/* Starts a process that runs the program if it can read a byte from @gate, and else ends. */
static pid_t start_program(char **command, int *gate)
{
	int ends[2];
	char byte;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		err(EXIT_RUN_FAILED, NULL);
	pid = fork();
	if (pid < 0)
		err(EXIT_RUN_FAILED, NULL);
	if (!pid) {
		close(ends[1]);
		if (read(ends[0], &byte, 1) != 1)
			_exit(EXIT_RUN_FAILED);
		run_program(command, NULL, NULL);
	}
	close(ends[0]);
	*gate = ends[1];
	return pid;
}

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			err(EXIT_RUN_FAILED, NULL);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* The file is there before the program runs, which may do what cannot be undone. */
static int record_program(const struct target *target, const struct wish *wish)
{
	struct recording recording = { 0 };
	int device = open_device();
	int gate, status;
	pid_t pid = start_program(target->command, &gate);

	/* These keys are for the program; it decides what comes of them. */
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	/* It may be killed before it begins. */
	signal(SIGPIPE, SIG_IGN);
	if (start_recording(&recording, wish, pid) && write(gate, "", 1) == 1)
		record_process(&recording, device, pid);
	close(gate);
	close(device);
	status = wait_for(pid);
	return stop_recording(&recording) ? status : EXIT_RUN_FAILED;
}

int record_main(int argc, char **argv)
{
	static const struct argp own = { .options = options, .parser = parse };
	struct wish wish = { .interval = 1 };
	struct target target =
		parse_target_with(argc, argv, "HEAP\n-- CMD...",
				  "Write figures of a heap to a file, a line every second, until the heap ends.\n"
				  "Or run CMD as `pymalloc run` does, and write those of its heap until it ends;\n"
				  "then the exit status is that of CMD, or 125 if the file cannot be written.",
				  TAKES_COMMAND, &own, &wish);

	if (target.command)
		return record_program(&target, &wish);
	return record_heap(&target, &wish);
}
