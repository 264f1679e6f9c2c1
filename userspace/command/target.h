/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The arguments of the subcommands that are about one heap. */
#ifndef _PYMALLOC_TARGET_H
#define _PYMALLOC_TARGET_H

#include <argp.h>
#include <stdbool.h>
#include <sys/types.h>

#include <linux/types.h>

/**
 * struct target - what a subcommand's line asks for
 * @id: the heap's number
 * @json: print JSON
 * @bytes: print plain numbers for amounts of memory
 * @offset: where in the heap, where the subcommand takes that
 * @has_offset: whether it was given
 * @has_heap: whether a heap was given; always, but with TAKES_ALL, TAKES_COMMAND
 *	and TAKES_OPTIONAL
 * @command: what follows --, where the subcommand takes that
 */
struct target {
	__u64 id;
	bool json;
	bool bytes;
	__u64 offset;
	bool has_offset;
	bool has_heap;
	char **command;
};

/* What a subcommand takes besides the heap and --json. */
#define TAKES_OFFSET	(1U << 0)
#define TAKES_BYTES	(1U << 1)
/* All heaps instead of one, and --bytes. */
#define TAKES_ALL	(1U << 2)
/* A program to be run instead of a heap; and no --json. */
#define TAKES_COMMAND	(1U << 3)
/* Words behind the heap, for the subcommand's own parser. */
#define TAKES_WORDS	(1U << 4)
/* A heap or none; and no --json. */
#define TAKES_OPTIONAL	(1U << 5)

struct target parse_target(int argc, char **argv, const char *args_doc,
			   const char *doc, unsigned int takes);
struct target parse_target_with(int argc, char **argv, const char *args_doc,
				const char *doc, unsigned int takes,
				const struct argp *own, void *own_input);

pid_t parse_pid(struct argp_state *state, const char *text);
__u64 heap_of_process(pid_t pid);
size_t heaps_of_process(pid_t pid, __u64 **ids);

#endif /* _PYMALLOC_TARGET_H */
