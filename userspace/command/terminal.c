// SPDX-License-Identifier: LGPL-2.1-or-later
/* What stdout can show. */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "terminal.h"

#define COLUMNS_DEFAULT	80
#define COLUMNS_LARGEST	10000

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

bool terminal_has_colours(void)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no_color && *no_color) &&
	       term && *term && strcmp(term, "dumb");
}
