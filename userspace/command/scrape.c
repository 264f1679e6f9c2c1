// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The text of pymalloc export, for a program that must go on if that fails.
 *
 * A child prints it into a pipe.  Whatever goes wrong there ends the child, with a message
 * on stderr; its exit status says whether the text is whole.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "pace.h"
#include "scrape.h"

/* Room for at least so many bytes more is made at a time: some ten heaps. */
#define CHUNK	(64 * 1024)

static noreturn void print_into(int fd, const struct choice *choice)
{
	const char *line[6];
	int words = 0;

	line[words++] = "pymalloc serve";
	line[words++] = "--format";
	line[words++] = choice->plain ? "text" : "openmetrics";
	if (choice->classes)
		line[words++] = "--classes";
	if (choice->checks)
		line[words++] = "--check";
	line[words] = NULL;
	if (dup2(fd, STDOUT_FILENO) < 0)
		err(EXIT_FAILED, NULL);
	exit(export_main(words, (char **)line));
}

static pid_t start(const struct choice *choice, int *from)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (!pid)
		print_into(ends[1], choice);
	close(ends[1]);
	*from = ends[0];
	if (pid < 0)
		close(ends[0]);
	return pid;
}

/* Returns false if there is nothing to be read when the time is up. */
static bool wait_for_text(int fd, const struct pace *pace, double seconds)
{
	struct pollfd text = { .fd = fd, .events = POLLIN };
	double left = seconds - pace_seconds(pace);

	return poll(&text, 1, left > 0 ? (int)(left * 1000) + 1 : 0) > 0;
}

/* Appends what comes to @stream, until its end.  Returns false if that takes too long. */
static bool read_text(int fd, FILE *stream, double seconds)
{
	struct pace pace = pace_start();
	char *chunk = malloc(CHUNK);
	ssize_t got = -1;

	while (chunk && wait_for_text(fd, &pace, seconds)) {
		got = read(fd, chunk, CHUNK);
		if (got <= 0)
			break;
		fwrite(chunk, 1, got, stream);
		got = -1;
	}
	free(chunk);
	return !got;
}

static bool ended_well(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

/**
 * scrape() - get what pymalloc export prints about all heaps
 * @choice: what to print, and how
 * @seconds: how long this may take
 * @length: out: bytes of the text
 *
 * If that fails, there is a message on stderr.
 *
 * Return: the text, which the caller frees; or NULL.
 */
char *scrape(const struct choice *choice, double seconds, size_t *length)
{
	char *text = NULL;
	FILE *stream = open_memstream(&text, length);
	int from;
	pid_t pid = stream ? start(choice, &from) : -1;
	bool whole;

	if (pid < 0) {
		warn("cannot read figures");
		whole = false;
	} else {
		whole = read_text(from, stream, seconds);
		if (!whole)
			kill(pid, SIGKILL);
		close(from);
		if (!whole)
			warnx("reading figures has taken more than %g seconds", seconds);
		whole &= ended_well(pid);
	}
	if (stream)
		whole &= !fclose(stream);
	if (whole)
		return text;
	free(text);
	return NULL;
}
