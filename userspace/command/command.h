/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The subcommands, and what they share. */
#ifndef _PYMALLOC_COMMAND_H
#define _PYMALLOC_COMMAND_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/pymalloc.h>

#define DEVICE		"/dev/pymalloc"

/* Beside 0 for success. */
#define EXIT_FAILED	1
#define EXIT_USAGE	2

/* Each parses its own arguments and returns the exit status. */
int run_main(int argc, char **argv);
int ls_main(int argc, char **argv);
int show_main(int argc, char **argv);
int map_main(int argc, char **argv);
int check_main(int argc, char **argv);
int trim_main(int argc, char **argv);

/* options.c: -h and --help, for the argp of each subcommand */
extern const struct argp_child help_child[];

/* service.c: these end the program with a message if they fail */
int open_device(void);
int open_heap(__u64 id, unsigned int flags);
void call(int fd, unsigned long command, void *args);
size_t list_heaps(int fd, struct pymalloc_heap_info **heaps);
/* The one heap whose descriptor @fd is. */
struct pymalloc_heap_info describe_heap(int fd);

/* target.c */

/**
 * struct target - what a subcommand's line asks for
 * @id: the heap's number
 * @json: print JSON
 * @bytes: print plain numbers for amounts of memory
 * @offset: where in the heap, where the subcommand takes that
 * @has_offset: whether it was given
 */
struct target {
	__u64 id;
	bool json;
	bool bytes;
	__u64 offset;
	bool has_offset;
};

/* What a subcommand takes beside the heap and --json. */
#define TAKES_OFFSET	(1U << 0)
#define TAKES_BYTES	(1U << 1)

struct target parse_target(int argc, char **argv, const char *args_doc,
			   const char *doc, unsigned int takes);

/* text.c */
#define SIZE_LEN	24

const char *format_bytes(char *text, __u64 bytes);
__u64 fragmentation(__u64 held, __u64 used);
char *valid_utf8(const char *text);

#endif /* _PYMALLOC_COMMAND_H */
