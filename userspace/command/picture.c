// SPDX-License-Identifier: LGPL-2.1-or-later
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "picture.h"

#define RESET	"\033[0m"

static const struct {
	const char *characters;
	const char *meaning;
	const char *colour;
} legend[] = {
	{ ".", "no page", "\033[2m" },
	{ "_", "empty, page kept", "\033[36m" },
	{ "123", NULL, "\033[31m" },
	{ "456", NULL, "\033[33m" },
	{ "789", "used, in tenths", "\033[32m" },
	{ "#", "full", "\033[1;32m" },
	{ "R", "large object", "\033[1;34m" },
	{ "=", "its further pages", "\033[34m" },
};

#define LEGENDS	(sizeof(legend) / sizeof(*legend))

static unsigned int blocks(const struct pymalloc_pool_info *pool)
{
	return pool->allocated + pool->free + pool->untouched;
}

static char used_character(const struct pymalloc_pool_info *pool)
{
	unsigned int all = blocks(pool);
	unsigned int tenths = all ? 10 * pool->allocated / all : 0;

	return '0' + (tenths ? tenths : 1);
}

char pool_character(const struct pymalloc_pool_info *pool)
{
	switch (pool->state) {
	case PYMALLOC_POOL_NONE:
		return '.';
	case PYMALLOC_POOL_EMPTY:
		return '_';
	case PYMALLOC_POOL_USED:
		return used_character(pool);
	case PYMALLOC_POOL_FULL:
		return '#';
	case PYMALLOC_POOL_RUN:
		return 'R';
	case PYMALLOC_POOL_TAIL:
		return '=';
	default:
		return '?';
	}
}

/* Allocated, free and untouched blocks, in proportion. */
const char *pool_bar(char *bar, const struct pymalloc_pool_info *pool)
{
	unsigned int all = blocks(pool);
	unsigned int allocated, touched;

	bar[0] = '\0';
	if (!all)
		return bar;
	allocated = pool->allocated * BAR_LEN / all;
	touched = (pool->allocated + pool->free) * BAR_LEN / all;
	memset(bar, '.', BAR_LEN);
	memset(bar, '-', touched);
	memset(bar, '#', allocated);
	bar[BAR_LEN] = '\0';
	return bar;
}

static const char *colour_of(char character)
{
	size_t i;

	for (i = 0; i < LEGENDS; i++)
		if (strchr(legend[i].characters, character))
			return legend[i].colour;
	return "";
}

static bool in_colour(void)
{
	const char *no_color = getenv("NO_COLOR");

	return isatty(STDOUT_FILENO) && !(no_color && *no_color);
}

void print_picture(const char *picture)
{
	const char *colour = "";

	if (!in_colour()) {
		fputs(picture, stdout);
		return;
	}
	for (; *picture; picture++) {
		if (strcmp(colour_of(*picture), colour)) {
			colour = colour_of(*picture);
			printf(RESET "%s", colour);
		}
		putchar(*picture);
	}
	fputs(RESET, stdout);
}

void print_legend(void)
{
	size_t i;

	for (i = 0; i < LEGENDS; i++) {
		print_picture(legend[i].characters);
		if (legend[i].meaning)
			printf(" %s%s", legend[i].meaning,
			       i < LEGENDS - 1 ? "  " : "\n");
	}
}
