// SPDX-License-Identifier: LGPL-2.1-or-later
/* What a program is: its file is read as the kernel reads it to run it. */
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "program.h"

/* How often an interpreter may be a script itself: the kernel goes no further either. */
#define SCRIPTS_MOST	5
/* Where the name of a script's interpreter must end: the kernel's BINPRM_BUF_SIZE. */
#define FIRST_BYTES	256

/* Of an ELF file: its header, not checked, and its loader's path, or "". */
struct image {
	Elf64_Ehdr header;
	char loader[PATH_MAX];
};

static bool is_executable(const char *path)
{
	struct stat status;

	return !access(path, X_OK) && !stat(path, &status) &&
	       S_ISREG(status.st_mode);
}

/* As execvp() searches.  Returns false if it would find nothing. */
static bool find_file(const char *name, char *path)
{
	char fallback[PATH_MAX] = "";
	const char *dirs = getenv("PATH");

	if (strchr(name, '/')) {
		snprintf(path, PATH_MAX, "%s", name);
		return true;
	}
	if (!dirs) {
		confstr(_CS_PATH, fallback, sizeof(fallback));
		dirs = fallback;
	}
	for (;; dirs++) {
		size_t length = strcspn(dirs, ":");

		snprintf(path, PATH_MAX, "%.*s%s%s", (int)length, dirs,
			 length ? "/" : "", name);
		if (is_executable(path))
			return true;
		dirs += length;
		if (!*dirs)
			return false;
	}
}

/* The interpreter that a script's first line names, in place, or NULL. */
static char *interpreter_of(char *bytes)
{
	char *start;

	if (strncmp(bytes, "#!", 2))
		return NULL;
	start = bytes + 2 + strspn(bytes + 2, " \t");
	start[strcspn(start, " \t\n")] = '\0';
	return *start ? start : NULL;
}

static bool read_at(int fd, void *to, size_t bytes, off_t offset)
{
	return pread(fd, to, bytes, offset) == (ssize_t)bytes;
}

static bool read_loader(int fd, struct image *image)
{
	Elf64_Phdr entry;
	size_t i;

	for (i = 0; i < image->header.e_phnum; i++) {
		if (!read_at(fd, &entry, sizeof(entry), image->header.e_phoff +
			     i * image->header.e_phentsize))
			return false;
		if (entry.p_type != PT_INTERP)
			continue;
		return entry.p_filesz <= sizeof(image->loader) &&
		       read_at(fd, image->loader, entry.p_filesz, entry.p_offset);
	}
	return true;
}

/* Returns false if it is no ELF file.  Of a 32-bit machine's, only the header is read. */
static bool read_image(int fd, struct image *image)
{
	*image = (struct image){ 0 };
	if (!read_at(fd, &image->header, sizeof(image->header), 0) ||
	    memcmp(image->header.e_ident, ELFMAG, SELFMAG))
		return false;
	return image->header.e_ident[EI_CLASS] != ELFCLASS64 ||
	       read_loader(fd, image);
}

static bool read_own_image(struct image *image)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	bool done = read_image(fd, image);

	close(fd);
	return done;
}

/* glibc's loader has the same name wherever it lies. */
static bool same_name(const char *a, const char *b)
{
	return !strcmp(basename(a), basename(b));
}

static bool same_machine(const Elf64_Ehdr *a, const Elf64_Ehdr *b)
{
	return a->e_machine == b->e_machine &&
	       a->e_ident[EI_CLASS] == b->e_ident[EI_CLASS] &&
	       a->e_ident[EI_DATA] == b->e_ident[EI_DATA];
}

static enum program judge(const struct image *image)
{
	struct image own;

	if (!read_own_image(&own))
		return PROGRAM_UNKNOWN;
	if (!same_machine(&image->header, &own.header))
		return PROGRAM_OTHER_MACHINE;
	if (!*image->loader)
		return PROGRAM_STATIC;
	return same_name(image->loader, own.loader) ? PROGRAM_DYNAMIC :
						      PROGRAM_OTHER_LIBC;
}

/* What @path is; of a script, with its interpreter's path in @path. */
static enum program look_at_file(char *path, bool *is_script)
{
	char bytes[FIRST_BYTES + 1] = "";
	enum program what = PROGRAM_UNKNOWN;
	char *interpreter = NULL;
	struct image image;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0 && pread(fd, bytes, FIRST_BYTES, 0) > 0)
		interpreter = interpreter_of(bytes);
	*is_script = interpreter;
	if (interpreter)
		snprintf(path, PATH_MAX, "%s", interpreter);
	else if (read_image(fd, &image))
		what = judge(&image);
	if (fd >= 0)
		close(fd);
	return what;
}

/**
 * look_at_program() - find out what execvp() would run
 * @name: the program's name or path
 *
 * Return: what it is; for a script, what its interpreter is.
 */
enum program look_at_program(const char *name)
{
	enum program what = PROGRAM_UNKNOWN;
	char path[PATH_MAX];
	bool is_script = true;
	int i;

	if (!find_file(name, path))
		return PROGRAM_UNKNOWN;
	for (i = 0; i <= SCRIPTS_MOST && is_script; i++)
		what = look_at_file(path, &is_script);
	return what;
}
