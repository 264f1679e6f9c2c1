/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names for addresses in programs and libraries, by elfutils' libdw. */
#ifndef _PYMALLOC_SYMBOLS_H
#define _PYMALLOC_SYMBOLS_H

#include <stddef.h>

#include <pymalloc-sites.h>

/* Functions that are inlined into each other, at one address, are cut off here. */
#define SYMBOLS_MAX	32

/**
 * struct symbol - a function, and a place in it
 * @function: its name; NULL if it is not known
 * @file: the source file; NULL if it is not known
 * @line: the line; 0 if it is not known
 */
struct symbol {
	const char *function;
	const char *file;
	__u32 line;
};

size_t symbols_at(const struct pymalloc_object_record *object, __u64 address,
		  struct symbol *symbols);

#endif /* _PYMALLOC_SYMBOLS_H */
