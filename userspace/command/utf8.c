// SPDX-License-Identifier: LGPL-2.1-or-later
/* Text from elsewhere, made valid UTF-8. */
#include <err.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "table.h"

/* U+FFFD, for a byte that belongs to no character. */
#define REPLACEMENT "\xef\xbf\xbd"

/* Continuation bytes that follow a first byte; -1 if it is none. */
static int nr_following(unsigned char first)
{
	if (first < 0x80)
		return 0;
	if (first >= 0xc2 && first <= 0xdf)
		return 1;
	if (first >= 0xe0 && first <= 0xef)
		return 2;
	return first >= 0xf0 && first <= 0xf4 ? 3 : -1;
}

/* Not too long a form, no surrogate, and not beyond U+10FFFF. */
static int second_is_valid(unsigned char first, unsigned char second)
{
	switch (first) {
	case 0xe0:
		return second >= 0xa0;
	case 0xed:
		return second <= 0x9f;
	case 0xf0:
		return second >= 0x90;
	case 0xf4:
		return second <= 0x8f;
	default:
		return 1;
	}
}

/* The bytes of the character that a NUL-terminated text begins with; 0 for none. */
static size_t character_length(const char *text)
{
	const unsigned char *bytes = (const unsigned char *)text;
	int i, nr = nr_following(bytes[0]);

	for (i = 1; i <= nr; i++)
		if ((bytes[i] & 0xc0) != 0x80 || !second_is_valid(i > 1 ? 0 : bytes[0], bytes[i]))
			return 0;
	return nr + 1;
}

char *utf8_copy(const char *text)
{
	char *copy = malloc(strlen(text) * strlen(REPLACEMENT) + 1), *to = copy;

	if (!copy)
		errx(EXIT_FAILED, "out of memory");
	while (*text) {
		size_t length = character_length(text);

		to = mempcpy(to, length ? text : REPLACEMENT, length ?: strlen(REPLACEMENT));
		text += length ?: 1;
	}
	*to = '\0';
	return copy;
}
