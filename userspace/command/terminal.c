// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the terminal at stdout can show. */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "terminal.h"

/* What is no terminal gets lines of the usual width. */
#define COLUMNS_DEFAULT	80
/* COLUMNS from here on are taken for nonsense. */
#define COLUMNS_LARGEST	10000

/**
 * terminal_columns() - how wide stdout is
 *
 * Return: what COLUMNS says, else what the terminal says, else 80.
 */
int terminal_columns(void)
{
	const char *columns = getenv("COLUMNS");
	int wanted = columns ? atoi(columns) : 0;
	struct winsize size;

	if (wanted > 0 && wanted < COLUMNS_LARGEST)
		return wanted;
	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col)
		return size.ws_col;
	return COLUMNS_DEFAULT;
}

/**
 * terminal_has_colours() - whether to print in colour
 *
 * Return: true on a terminal, unless NO_COLOR is set, or TERM is dumb or not set.
 */
bool terminal_has_colours(void)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no_color && *no_color) &&
	       term && *term && strcmp(term, "dumb");
}
