// SPDX-License-Identifier: LGPL-2.1-or-later
/* One line on stderr, without stdio's streams: they allocate. */
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "heap.h"

void pyml_say(const char *format, ...)
{
	char line[160];
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	/* Nobody is left to hear that stderr is gone. */
	if (length > 0 && write(STDERR_FILENO, line, length) < 0)
		return;
}
