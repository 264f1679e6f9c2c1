// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The lines of a Python function: co_linetable, as CPython's Objects/locations.md
 * describes it.
 *
 * The table is a row of entries, each for 1 to 8 units of code.  An entry begins with a byte
 * that has its highest bit set; then come its form, 4 bits, and its units less 1, 3 bits.
 * The bytes that follow in the entry have a highest bit of 0.  A line is told by its
 * distance from that of the entry before.
 */
#include "location.h"

enum {
	/* Forms 0 to 9 have the line of the entry before; then 1 and 2 lines more. */
	FORM_SAME_LINE = 10,
	FORM_NEXT_LINE = 11,
	FORM_SECOND_LINE = 12,
	/* The distance is a number of its own. */
	FORM_NO_COLUMN = 13,
	FORM_LONG = 14,
	FORM_NO_LINE = 15,
};

#define NEW_ENTRY	0x80
#define MORE		0x40

/* A number in pieces of 6 bits, the lowest first; its own lowest bit is the sign. */
static int signed_number(const unsigned char *at, const unsigned char *end)
{
	unsigned int value = 0, shift = 0;

	while (at < end && shift < 32 && !(*at & NEW_ENTRY)) {
		value |= (unsigned int)(*at & (MORE - 1)) << shift;
		shift += 6;
		if (!(*at++ & MORE))
			break;
	}
	return value & 1 ? -(int)(value >> 1) : (int)(value >> 1);
}

static int distance(unsigned int form, const unsigned char *at, const unsigned char *end)
{
	switch (form) {
	case FORM_NEXT_LINE:
		return 1;
	case FORM_SECOND_LINE:
		return 2;
	case FORM_NO_COLUMN:
	case FORM_LONG:
		return signed_number(at, end);
	default:
		return 0;
	}
}

/**
 * pyml_location_line() - the line of an instruction
 * @table: the location table
 * @bytes: its length
 * @first_line: the line where the function begins
 * @unit: which unit of 2 bytes of the function's code
 *
 * Reads nothing but the table, whatever is in it.
 *
 * Return: the line; 0 if the instruction has none, or is not in the table.
 */
__u32 pyml_location_line(const unsigned char *table, size_t bytes, __u32 first_line,
			 size_t unit)
{
	const unsigned char *at = table, *end = table + bytes;
	__u32 line = first_line;
	unsigned int form;
	size_t units;

	while (at < end) {
		form = *at >> 3 & 15;
		units = (*at & 7) + 1;
		at++;
		line += distance(form, at, end);
		if (unit < units)
			return form == FORM_NO_LINE ? 0 : line;
		unit -= units;
		while (at < end && !(*at & NEW_ENTRY))
			at++;
	}
	return 0;
}
