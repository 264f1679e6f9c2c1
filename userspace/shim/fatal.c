// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What the debug modes say before they abort: first what is wrong, then what is known about
 * the block.  Nothing here allocates.
 */
#include <stdio.h>
#include <stdlib.h>

#include "fatal.h"
#include "place.h"
#include "report.h"

/* Room for the longest text of format_block(). */
#define BLOCK_LEN	64

static const char *format_block(char *text, const struct place *place)
{
	if (place->class)
		snprintf(text, BLOCK_LEN, "the block of size class %zu at %p",
			 place->class * PYMALLOC_BLOCK_MIN, (void *)place->block);
	else
		snprintf(text, BLOCK_LEN, "the page at %p", (void *)place->block);
	return text;
}

static void say_object(const char *freed, const struct place *place)
{
	const struct guarded *block = place->block;
	char text[BLOCK_LEN];

	pyml_say("pymalloc: %p is allocation %llu, of %u bytes, %sin %s\n",
		 (void *)guard_object(block), (unsigned long long)block->serial,
		 block->size, freed, format_block(text, place));
}

/* Which object is or was in the block, if that is known. */
static void say_place(const struct place *place)
{
	char text[BLOCK_LEN];

	if (guard_is(place, DEBUG_ID))
		say_object("", place);
	else if (guard_is(place, DEBUG_FREED))
		say_object("freed, ", place);
	else
		pyml_say("pymalloc: it lies in %s, of which no more is known\n",
			 format_block(text, place));
}

/**
 * fatal_overwritten() - abort: the program has written to an object's guards or fill
 * @function: the function that has found it
 * @place: the block, which has a header
 * @at: the byte that is wrong
 */
void fatal_overwritten(const char *function, const struct place *place,
		       const __u8 *at)
{
	const struct guarded *block = place->block;
	const __u8 *object = guard_object(block);
	const char *where = "after it was freed";
	unsigned int expected = DEBUG_FREED;

	if (at < object || at >= object + block->size) {
		where = at < object ? "before its beginning" : "behind its end";
		expected = DEBUG_GUARD;
	}
	pyml_say("%s(): object %p was written to %s: byte %td is 0x%02x, not 0x%02x\n",
		 function, (const void *)object, where, at - object, *at,
		 expected);
	say_place(place);
	abort();
}

/**
 * fatal_no_header() - abort: there is no object, or its header has been overwritten
 * @function: the function that has found it
 * @object: what should be an object
 * @place: its block
 */
void fatal_no_header(const char *function, void *object,
		     const struct place *place)
{
	const struct guarded *block = place->block;
	const __u8 *id = &block->id;

	pyml_say("%s(): no object at %p, or a broken header: ", function, object);
	if (*id == DEBUG_ID || *id == DEBUG_FREED)
		pyml_say("it says size %u, class %u\n", block->size, block->class);
	else
		pyml_say("byte %td is 0x%02x, not 0x%02x\n", id - (const __u8 *)object,
			 *id, DEBUG_ID);
	say_place(place);
	abort();
}

/**
 * fatal_bad() - abort: the kernel, or the header, says that this is no object
 * @function: the function that has found it
 * @object: what should be an object
 * @status: enum pymalloc_ref_status
 */
void fatal_bad(const char *function, void *object, unsigned int status)
{
	struct place place;

	pyml_say("%s(): invalid pointer %p: %s\n", function, object,
		 pyml_describe_bad(status));
	if (place_find(object, &place))
		say_place(&place);
	abort();
}
