// SPDX-License-Identifier: LGPL-2.1-or-later
/* Files of snapshots.  They may come from anywhere: nothing in them is believed. */
#include <endian.h>
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/pymalloc.h>

#include "command.h"
#include "replace.h"
#include "section.h"
#include "tree.h"

#if __BYTE_ORDER != __LITTLE_ENDIAN
#error "The numbers in a file are little endian"
#endif

/* It tells what a program does: only its user may read it. */
#define MODE	0600

/**
 * struct input - a file, or what is left of it
 * @name: its name
 * @data: where to go on
 * @bytes: bytes from there on
 */
struct input {
	const char *name;
	const char *data;
	size_t bytes;
};

/* Copies what comes next; @bytes of it are skipped. */
static void take(struct input *input, void *to, size_t size, size_t bytes)
{
	if (bytes > input->bytes)
		errx(EXIT_FAILED, "%s: the file ends too early", input->name);
	memcpy(to, input->data, size);
	input->data += bytes;
	input->bytes -= bytes;
}

static void read_header(struct input *input, struct snapfile_header *header)
{
	struct input start = *input;
	const char *name = input->name;

	if (input->bytes < sizeof(header->magic) ||
	    memcmp(input->data, SNAPFILE_MAGIC, sizeof(header->magic)))
		errx(EXIT_FAILED, "%s: it is not a snapshot, or has something else behind it",
		     name);
	take(&start, header, sizeof(*header), sizeof(*header));
	if (header->version != SNAPFILE_VERSION)
		errx(EXIT_FAILED, "%s: its version is %u, and only %u is known", name,
		     header->version, SNAPFILE_VERSION);
	if (header->header_bytes < sizeof(*header) ||
	    header->row_bytes < sizeof(struct snapfile_row))
		errx(EXIT_FAILED, "%s: its parts are too short", name);
	take(input, header, sizeof(*header), header->header_bytes);
	if (!memchr(header->comm, '\0', sizeof(header->comm)) ||
	    !memchr(header->name, '\0', sizeof(header->name)))
		errx(EXIT_FAILED, "%s: a name does not end", name);
}

static void read_rows(struct input *input, struct section *section)
{
	const struct snapfile_header *header = &section->header;
	__u64 i;

	if (header->nr_rows > input->bytes / header->row_bytes)
		errx(EXIT_FAILED, "%s: it has fewer rows than it says", input->name);
	section->rows = allocate(header->nr_rows, sizeof(*section->rows));
	for (i = 0; i < header->nr_rows; i++)
		take(input, &section->rows[i], sizeof(*section->rows), header->row_bytes);
}

static void read_section(struct input *input, struct section *section)
{
	__u64 bytes;

	read_header(input, &section->header);
	read_rows(input, section);
	bytes = section->header.table_bytes;
	if (bytes > input->bytes)
		errx(EXIT_FAILED, "%s: its table of sites is shorter than it says",
		     input->name);
	section->table = allocate(bytes, 1);
	take(input, section->table, bytes, bytes);
}

/* A heap has no more bytes than its window: sums of what passes cannot overflow. */
static void check_rows(const struct section *section, const char *name)
{
	__u64 left = PYMALLOC_WINDOW_MAX;
	__u64 i;

	for (i = 0; i < section->header.nr_rows; i++) {
		const struct snapfile_row *row = &section->rows[i];

		if (!row->size || row->blocks > left / row->size)
			errx(EXIT_FAILED, "%s: it has blocks that no heap can have", name);
		left -= row->blocks * row->size;
	}
}

/**
 * snapshot_check() - look through a snapshot's numbers, and fill @sites of its sections
 * @snapshot: the snapshot
 * @name: what to call it if the program ends with a message because something is wrong
 */
void snapshot_check(struct snapshot *snapshot, const char *name)
{
	size_t i;

	for (i = 0; i < snapshot->count; i++) {
		struct section *section = &snapshot->sections[i];
		const char *wrong = sites_check(&section->sites, section->table,
						section->header.table_bytes);

		if (wrong)
			errx(EXIT_FAILED, "%s: the table of sites is wrong: %s", name, wrong);
		check_rows(section, name);
	}
}

/**
 * snapshot_add() - add a section
 * @snapshot: to this
 *
 * Return: the section, empty.  It moves when another one is added.
 */
struct section *snapshot_add(struct snapshot *snapshot)
{
	struct section *section;

	snapshot->sections = reallocarray(snapshot->sections, snapshot->count + 1,
					  sizeof(*snapshot->sections));
	if (!snapshot->sections)
		err(EXIT_FAILED, NULL);
	section = &snapshot->sections[snapshot->count++];
	*section = (struct section){ 0 };
	return section;
}

static int open_file(const char *path, size_t *bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat there;

	if (fd < 0 || fstat(fd, &there) < 0)
		err(EXIT_FAILED, "%s", path);
	if (!S_ISREG(there.st_mode))
		errx(EXIT_FAILED, "%s: it is not a regular file", path);
	*bytes = there.st_size;
	return fd;
}

/* Not by mmap(): who shortens the file meanwhile must not end this program. */
static char *read_file(const char *path, size_t *bytes)
{
	int fd = open_file(path, bytes);
	char *data = allocate(*bytes, 1);
	size_t done = 0;

	while (done < *bytes) {
		ssize_t got = read(fd, data + done, *bytes - done);

		if (got < 0)
			err(EXIT_FAILED, "%s", path);
		if (!got)
			break;
		done += got;
	}
	close(fd);
	*bytes = done;
	return data;
}

/**
 * snapshot_read() - read a file
 * @path: the file
 *
 * Ends the program with a message if it is not what it should be.
 *
 * Return: the snapshot, checked, with at least one section; snapshot_free() frees it.
 */
struct snapshot snapshot_read(const char *path)
{
	struct snapshot snapshot = { 0 };
	struct input input = { .name = path };
	char *data = read_file(path, &input.bytes);

	input.data = data;
	do {
		read_section(&input, snapshot_add(&snapshot));
	} while (input.bytes);
	free(data);
	snapshot_check(&snapshot, path);
	return snapshot;
}

/**
 * snapshot_write() - write a file, as a whole
 * @snapshot: the snapshot; its headers say how much of it there is
 * @path: the file
 *
 * Ends the program with a message if that fails.
 */
void snapshot_write(const struct snapshot *snapshot, const char *path)
{
	size_t length, i;
	char *data;
	FILE *stream = open_memstream(&data, &length);

	if (!stream)
		err(EXIT_FAILED, NULL);
	for (i = 0; i < snapshot->count; i++) {
		const struct section *section = &snapshot->sections[i];
		const struct snapfile_header *header = &section->header;

		fwrite(header, sizeof(*header), 1, stream);
		fwrite(section->rows, sizeof(*section->rows), header->nr_rows, stream);
		fwrite(section->table, 1, header->table_bytes, stream);
	}
	if (fclose(stream))
		err(EXIT_FAILED, NULL);
	replace_file(path, data, length, MODE);
	free(data);
}

/**
 * snapshot_free() - free a snapshot
 * @snapshot: the snapshot
 */
void snapshot_free(struct snapshot *snapshot)
{
	size_t i;

	for (i = 0; i < snapshot->count; i++) {
		free(snapshot->sections[i].rows);
		free(snapshot->sections[i].table);
		free(snapshot->sections[i].sites.numbers);
	}
	free(snapshot->sections);
}
