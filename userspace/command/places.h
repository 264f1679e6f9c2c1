/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The places where a heap's blocks were allocated, for pymalloc top. */
#ifndef _PYMALLOC_PLACES_H
#define _PYMALLOC_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <linux/types.h>

#include "panel.h"

/* More than anybody looks through. */
#define PLACES_MAX	1000

/**
 * struct place - a line, and the blocks that it allocated
 * @id: a number that the same line always has
 * @bytes: their bytes
 * @blocks: how many
 * @text: what to call it
 */
struct place {
	__u64 id;
	double bytes;
	double blocks;
	char text[TEXT_LEN];
};

/**
 * struct places - the places of a heap at one moment
 * @bytes: bytes of all of them
 * @all: how many there are
 * @estimated: whether numbers are estimates
 * @count: how many are in the list
 * @list: the largest of them
 */
struct places {
	double bytes;
	size_t all;
	bool estimated;
	size_t count;
	struct place list[PLACES_MAX];
};

/**
 * struct places_look - looks at the places of a heap
 * @pid: the process that looks; 0 if none does
 * @fd: where its answer comes from; -1 if none does
 * @begun: when the last look was begun, in seconds
 * @due: when the next one may begin
 * @places: what the last two have found: the last, and the one before; NULL if there was none
 * @seen: when each was begun
 */
struct places_look {
	pid_t pid;
	int fd;
	double begun;
	double due;
	struct places *places[2];
	double seen[2];
};

/* What a struct places_look is at first. */
#define PLACES_LOOK	{ .fd = -1 }

void places_begin(struct places_look *look, __u64 id, double now);
bool places_end(struct places_look *look, double now, char message[TEXT_LEN]);
void places_forget(struct places_look *look);

#endif /* _PYMALLOC_PLACES_H */
