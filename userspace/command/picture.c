// SPDX-License-Identifier: LGPL-2.1-or-later
/* Pictures of arenas and pools. */
#include <stdio.h>
#include <string.h>

#include "picture.h"
#include "terminal.h"

#define RESET	"\033[0m"

static const struct {
	const char *letters;
	const char *meaning;
} legend[] = {
	{ ".", "no page" },
	{ "0", "empty" },
	{ "123456789", "used, in tenths" },
	{ "#", "full" },
	{ "m", "meshed" },
	{ "R", "run" },
	{ "r", "tail" },
};

static const struct {
	const char *letters;
	const char *colour;
} colours[] = {
	{ ".", "\033[2m" },
	{ "0", "\033[36m" },
	{ "123", "\033[31m" },
	{ "456", "\033[33m" },
	{ "789", "\033[32m" },
	{ "#", "\033[1;32m" },
	{ "m", "\033[35m" },
	{ "R", "\033[1;34m" },
	{ "r", "\033[34m" },
};

#define LEGENDS	(sizeof(legend) / sizeof(*legend))
#define COLOURS	(sizeof(colours) / sizeof(*colours))

/* Lines are not made narrower than this: fewer pools would show no pattern. */
#define POOLS_A_LINE_MIN	8

static unsigned int blocks(const struct pymalloc_pool_info *pool)
{
	return pool->allocated + pool->free + pool->untouched;
}

static char used_letter(const struct pymalloc_pool_info *pool)
{
	unsigned int all = blocks(pool);
	unsigned int tenths = all ? 10 * pool->allocated / all : 0;

	return '0' + (tenths ? tenths : 1);
}

/**
 * pool_letter() - the letter of a pool, as in debugfs
 * @pool: the pool
 *
 * Return: the letter.
 */
char pool_letter(const struct pymalloc_pool_info *pool)
{
	if (pool->flags & PYMALLOC_POOL_MESHED)
		return 'm';
	switch (pool->state) {
	case PYMALLOC_POOL_NONE:
		return '.';
	case PYMALLOC_POOL_EMPTY:
		return '0';
	case PYMALLOC_POOL_USED:
		return used_letter(pool);
	case PYMALLOC_POOL_FULL:
		return '#';
	case PYMALLOC_POOL_RUN:
		return 'R';
	case PYMALLOC_POOL_TAIL:
		return 'r';
	default:
		return '?';
	}
}

/* Blocks that a bar stands for: if a pool shares its page, also those that others have. */
static unsigned int bar_blocks(const struct pymalloc_pool_info *pool)
{
	if (pool->flags & PYMALLOC_POOL_MESHED)
		return PYMALLOC_POOL_SIZE / pool->size;
	return blocks(pool);
}

/**
 * pool_bar() - a bar of a pool's allocated, free and untouched blocks, in proportion
 * @bar: room for BAR_LEN characters and a NUL
 * @pool: the pool
 *
 * The rest is what the other pools have that share its page.
 *
 * Return: @bar.
 */
const char *pool_bar(char *bar, const struct pymalloc_pool_info *pool)
{
	unsigned int all = bar_blocks(pool);
	unsigned int allocated, touched, own;

	bar[0] = '\0';
	if (!all)
		return bar;
	allocated = pool->allocated * BAR_LEN / all;
	touched = (pool->allocated + pool->free) * BAR_LEN / all;
	own = blocks(pool) * BAR_LEN / all;
	memset(bar, 'm', BAR_LEN);
	memset(bar, '.', own);
	memset(bar, '-', touched);
	memset(bar, '#', allocated);
	bar[BAR_LEN] = '\0';
	return bar;
}

static const char *colour_of(char letter)
{
	size_t i;

	for (i = 0; i < COLOURS; i++)
		if (strchr(colours[i].letters, letter))
			return colours[i].colour;
	return "";
}

static void print_letters(const char *letters, size_t count, bool in_colour)
{
	const char *colour = "";
	size_t i;

	for (i = 0; i < count; i++) {
		const char *next = in_colour ? colour_of(letters[i]) : "";

		if (strcmp(next, colour))
			printf(RESET "%s", next);
		colour = next;
		putchar(letters[i]);
	}
	if (*colour)
		fputs(RESET, stdout);
}

/*
 * How many pools fit on a line behind its offset: 64, 32, 16 or 8, so that lines begin at
 * round offsets.
 */
static size_t pools_a_line(int width)
{
	int room = terminal_columns() - width - (int)strlen(" ||");
	int pools = PYMALLOC_ARENA_POOLS;

	while (pools > room && pools > POOLS_A_LINE_MIN)
		pools /= 2;
	return pools;
}

/**
 * print_arena() - print an arena: one line, or more if the terminal is narrow
 * @offset: its offset, with which the first line begins
 * @width: characters to pad the offset to
 * @letters: a letter for each of its pools
 */
void print_arena(__u64 offset, int width, const char *letters)
{
	bool in_colour = terminal_has_colours();
	size_t pools = pools_a_line(width);
	size_t length = strlen(letters);
	size_t i;

	for (i = 0; i < length; i += pools) {
		size_t count = length - i < pools ? length - i : pools;

		if (i)
			printf("%*s |", width, "");
		else
			printf("%#*llx |", width, offset);
		print_letters(letters + i, count, in_colour);
		puts("|");
	}
}

/**
 * print_legend() - print what the letters mean
 */
void print_legend(void)
{
	bool in_colour = terminal_has_colours();
	int columns = terminal_columns();
	int at = 0;
	size_t i;

	for (i = 0; i < LEGENDS; i++) {
		const char *letters = legend[i].letters;
		const char *meaning = legend[i].meaning;
		int length = strlen(letters) + 1 + strlen(meaning);

		if (at && at + 2 + length > columns) {
			putchar('\n');
			at = 0;
		}
		at += printf("%s", at ? "  " : "") + length;
		print_letters(letters, strlen(letters), in_colour);
		printf(" %s", meaning);
	}
	putchar('\n');
}
