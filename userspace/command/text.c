// SPDX-License-Identifier: LGPL-2.1-or-later
/* Figures and names as text. */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "text.h"

/**
 * format_bytes() - an amount of memory for people, as 512B, 3.8M or 52M
 * @text: room for SIZE_LEN characters
 * @bytes: the amount
 *
 * Return: @text.
 */
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

/**
 * fragmentation() - the share of a heap's pages that is not used
 * @held: bytes of pages
 * @used: bytes of objects
 *
 * Return: percent, rounded down.
 */
__u64 fragmentation(__u64 held, __u64 used)
{
	if (used >= held)
		return 0;
	return (held - used) * 100 / held;
}

/* Bytes of the UTF-8 character at @text; 0 if there is none. */
static size_t utf8_length(const char *text)
{
	mbstate_t state = { 0 };
	wchar_t character;
	size_t length = mbrtowc(&character, text, strnlen(text, 4), &state);

	/* The C library accepts numbers of characters that Unicode does not have. */
	return length <= 4 && character <= 0x10ffff ? length : 0;
}

/* Made once, as that opens files. */
static locale_t utf8_locale(void)
{
	static locale_t utf8;

	if (!utf8)
		utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	return utf8;
}

/**
 * valid_utf8() - make any bytes valid UTF-8, as JSON must be
 * @text: the bytes: the name of a process may be any, or end with half of a character
 *
 * Return: a copy, with U+FFFD for each byte that belongs to no character; or NULL if there
 * is no memory.  The caller frees it.
 */
char *valid_utf8(const char *text)
{
	static const char replacement[] = "\xef\xbf\xbd";
	char *copy = malloc(3 * strlen(text) + 1);
	locale_t before = uselocale(utf8_locale());
	char *end = copy;

	while (copy && *text) {
		size_t length = utf8_length(text);

		end = mempcpy(end, length ? text : replacement, length ?: 3);
		text += length ?: 1;
	}
	if (copy)
		*end = '\0';
	uselocale(before);
	return copy;
}
