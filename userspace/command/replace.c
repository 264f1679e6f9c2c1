// SPDX-License-Identifier: LGPL-2.1-or-later
/* Files that are replaced as a whole: whoever reads one sees the old text or the new one. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "replace.h"

static bool write_all(int fd, const char *text, size_t length)
{
	while (length) {
		ssize_t written = write(fd, text, length);

		if (written < 0)
			return false;
		text += written;
		length -= written;
	}
	return true;
}

/* A device or a pipe would be lost, and with a symbolic link it is not clear what is meant. */
static void check_path(const char *path)
{
	struct stat there;

	if (!lstat(path, &there) && !S_ISREG(there.st_mode))
		errx(EXIT_FAILED, "%s is not a regular file", path);
}

/**
 * replace_file() - write a file, or leave the one that is there as it is
 * @path: the file
 * @text: what it is to contain
 * @length: bytes of @text
 * @mode: who may do what with it, whatever the umask
 *
 * Ends the program with a message if that fails.  The text is first written to another
 * file in the same directory, whose name begins with that of the file.
 */
void replace_file(const char *path, const char *text, size_t length, mode_t mode)
{
	char *temporary;
	int fd, error;

	check_path(path);
	if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
		err(EXIT_FAILED, NULL);
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		err(EXIT_FAILED, "cannot write %s", path);
	if (!write_all(fd, text, length) || fchmod(fd, mode) || close(fd) ||
	    rename(temporary, path)) {
		error = errno;
		unlink(temporary);
		errno = error;
		err(EXIT_FAILED, "cannot write %s", path);
	}
	free(temporary);
}

/**
 * put_output() - replace a file, or print
 * @path: the file; NULL for standard output
 * @text: what is put there
 * @length: bytes of @text
 * @mode: as for replace_file()
 */
void put_output(const char *path, const char *text, size_t length, mode_t mode)
{
	if (path)
		replace_file(path, text, length, mode);
	else
		fwrite(text, 1, length, stdout);
}
