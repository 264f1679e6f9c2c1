/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Amounts of memory over time, as files have them. */
#ifndef _PYMALLOC_HISTORY_H
#define _PYMALLOC_HISTORY_H

#include <stddef.h>

/* The first line of a file of pymalloc record. The number changes when a reader has to know. */
#define RECORD_VERSION	"# pymalloc record 1"

/* What a file has at most: pages, live bytes and metadata. */
#define AMOUNTS_MAX	3

/**
 * struct moment - what there was at one time
 * @time: in seconds
 * @bytes: the amounts
 */
struct moment {
	double time;
	double bytes[AMOUNTS_MAX];
};

/**
 * struct call - a call of a function
 * @name: the function
 * @begin: when it began, and with how many bytes
 * @end: when it ended
 */
struct call {
	char *name;
	struct moment begin;
	struct moment end;
};

/**
 * struct history - what a file has
 * @names: what the amounts are
 * @amounts: how many these are
 * @moments: the file's lines
 * @count: how many
 * @calls: calls of functions, ordered by their names
 * @nr_calls: how many
 */
struct history {
	const char *names[AMOUNTS_MAX];
	size_t amounts;
	struct moment *moments;
	size_t count;
	struct call *calls;
	size_t nr_calls;
};

struct history read_history(const char *path);
void history_free(struct history *history);

#endif /* _PYMALLOC_HISTORY_H */
