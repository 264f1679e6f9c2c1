/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The stacks of a table of sites, with names. */
#ifndef _PYMALLOC_STACK_H
#define _PYMALLOC_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "sites.h"

/**
 * struct frame - a function that was running, and where in it
 * @function: its name, or NULL
 * @file: its source file, or NULL
 * @line: the line, or 0
 * @object: of what is not Python: the file that was mapped there, or NULL
 * @address: of what is not Python: the address in that file; without one, in the process
 * @python: whether it is a function in Python
 */
struct frame {
	const char *function;
	const char *file;
	__u32 line;
	const char *object;
	__u64 address;
	bool python;
};

/**
 * struct stack - a stack trace
 * @place: the frame that a user would look at first; NULL if there are no frames
 * @count: how many frames there are
 * @frames: the innermost first; frames that are the same are one
 */
struct stack {
	const struct frame *place;
	size_t count;
	const struct frame *frames[];
};

const struct stack *stack_of(const struct sites *sites, __u32 number);
const char *file_of(const struct frame *frame);
const char *base_name(const char *path);
void print_place(FILE *stream, const struct frame *frame);
void print_frame(FILE *stream, const struct frame *frame);

#endif /* _PYMALLOC_STACK_H */
