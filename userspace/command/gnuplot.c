// SPDX-License-Identifier: LGPL-2.1-or-later
/* Pictures by gnuplot. */
#include <err.h>
#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "gnuplot.h"
#include "text.h"

/**
 * gnuplot_string() - write a string that a script cannot take for anything else
 * @script: the script
 * @text: any text; what is no UTF-8 or no character that can be seen is replaced
 *
 * Every character is written as its number, so that no quotation mark, backquote or name of
 * a variable is in the script.
 */
void gnuplot_string(FILE *script, const char *text)
{
	char *valid = valid_utf8(text);
	const char *next;

	if (!valid)
		err(EXIT_FAILED, NULL);
	putc('"', script);
	for (next = valid; *next; next++) {
		unsigned char byte = *next;

		fprintf(script, "\\%03o", byte < ' ' || byte == 0x7f ? ' ' : byte);
	}
	putc('"', script);
	free(valid);
}

/* A file in memory. */
static int new_file(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd < 0)
		err(EXIT_FAILED, NULL);
	return fd;
}

static int file_with(const char *name, const char *text, size_t length)
{
	int fd = new_file(name);

	while (length) {
		ssize_t written = write(fd, text, length);

		if (written < 0)
			err(EXIT_FAILED, NULL);
		text += written;
		length -= written;
	}
	if (lseek(fd, 0, SEEK_SET) < 0)
		err(EXIT_FAILED, NULL);
	return fd;
}

static void run(int script, int picture)
{
	/* -d: what the user has set for gnuplot is not for this picture. */
	static const char * const line[] = { "gnuplot", "-d", NULL };
	posix_spawn_file_actions_t actions;
	int error, status;
	pid_t pid;

	error = posix_spawn_file_actions_init(&actions) ?:
		posix_spawn_file_actions_adddup2(&actions, script, STDIN_FILENO) ?:
		posix_spawn_file_actions_adddup2(&actions, picture, STDOUT_FILENO) ?:
		posix_spawnp(&pid, line[0], &actions, NULL, (char **)line, environ);
	if (error == ENOENT)
		errx(EXIT_FAILED,
		     "there is no gnuplot, which draws the picture (Debian: gnuplot-nox)");
	if (error)
		errx(EXIT_FAILED, "gnuplot: %s", strerror(error));
	posix_spawn_file_actions_destroy(&actions);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			err(EXIT_FAILED, NULL);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		errx(EXIT_FAILED, "gnuplot has failed");
}

static char *contents(int fd, size_t *length)
{
	struct stat stat;
	char *text;

	if (fstat(fd, &stat) < 0)
		err(EXIT_FAILED, NULL);
	if (!stat.st_size)
		errx(EXIT_FAILED, "gnuplot has drawn nothing");
	*length = stat.st_size;
	text = malloc(*length);
	if (!text || pread(fd, text, *length, 0) != stat.st_size)
		err(EXIT_FAILED, NULL);
	return text;
}

/**
 * gnuplot_draw() - have gnuplot run a script
 * @script: the script, which prints a picture
 * @length: bytes of @script
 * @drawn: out: bytes of the picture
 *
 * Ends the program with a message if there is no gnuplot, or if it fails.
 *
 * Return: the picture, which the caller frees.
 */
char *gnuplot_draw(const char *script, size_t length, size_t *drawn)
{
	int from = file_with("script", script, length), to = new_file("picture");
	char *picture;

	run(from, to);
	picture = contents(to, drawn);
	close(from);
	close(to);
	return picture;
}
