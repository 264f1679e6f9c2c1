// SPDX-License-Identifier: LGPL-2.1-or-later
/* Amounts of memory, for people. */
#include <stdio.h>

#include "command.h"

/* @text has room for SIZE_LEN characters. */
const char *format_bytes(char *text, __u64 bytes)
{
	static const char units[] = "BKMGTPE";
	const char *unit = units;
	__u64 tenths = 10 * bytes;

	while (tenths >= 10 * 1024) {
		tenths = (tenths + 512) / 1024;
		unit++;
	}
	if (unit == units || tenths >= 100)
		snprintf(text, SIZE_LEN, "%llu%c", (tenths + 5) / 10, *unit);
	else
		snprintf(text, SIZE_LEN, "%llu.%llu%c", tenths / 10,
			 tenths % 10, *unit);
	return text;
}

/* The share of what is held that is not used, in percent. */
__u64 fragmentation(__u64 held, __u64 used)
{
	if (used >= held)
		return 0;
	return (held - used) * 100 / held;
}
