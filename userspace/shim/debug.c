// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The debug modes: objects between guards, looked at whenever they are freed,
 * resized or asked for their size.  With SHIM_STRICT no magazine keeps a block
 * from the kernel, so that it judges each free at once.
 */
#include <stdlib.h>
#include <string.h>

#include "debug.h"
#include "fatal.h"
#include "guard.h"
#include "place.h"
#include "quarantine.h"
#include "report.h"
#include "shim.h"

enum shim_debug shim_debug;

/* As the environment says. */
void shim_debug_choose(void)
{
	const char *value = getenv("PYMALLOC_DEBUG");

	if (!value || !*value)
		return;
	if (!strcmp(value, "debug"))
		shim_debug = SHIM_GUARDS;
	else if (!strcmp(value, "strict"))
		shim_debug = SHIM_STRICT;
	else
		pyml_say("pymalloc: PYMALLOC_DEBUG=%.40s: neither debug nor strict; ignored\n",
			 value);
}

/* What the kernel refused is the block, if the object in it is known. */
static void on_bad_free(struct pymalloc_heap *heap, void *object,
			unsigned int status)
{
	struct place place;

	(void)heap;
	if (place_find(object, &place) && place.block == object &&
	    guard_is(&place, DEBUG_FREED))
		object = guard_object(place.block);
	fatal_bad("free", object, status);
}

/* There is a heap. */
void shim_debug_start(void)
{
	pymalloc_set_bad_free(on_bad_free);
}

/*
 * With no magazine in between, a block that the kernel hands out again is as
 * the last free left it, or its pool has been another class's meanwhile and no
 * header is left.
 */
static void check_reused(const struct place *place)
{
	const __u8 *bad;

	if (!guard_is(place, DEBUG_FREED))
		return;
	bad = guard_broken_fill(place);
	if (bad)
		fatal_overwritten("malloc", place, bad);
}

/* Returns NULL if the service has no memory. */
void *shim_debug_malloc(size_t size, size_t alignment)
{
	static __u64 serial;
	struct place place;
	size_t offset = sizeof(struct guarded);
	size_t mask = alignment - 1;
	size_t bytes;

	if (offset < alignment)
		offset = alignment;
	bytes = (offset + size + DEBUG_GUARD_MIN + mask) & ~mask;
	place.block = pymalloc_malloc(shim_heap, bytes);
	if (!place.block)
		return NULL;
	place.class = bytes / PYMALLOC_BLOCK_MIN;
	place.bytes = bytes;
	if (bytes > PYMALLOC_BLOCK_MAX) {
		place.class = 0;
		place.bytes = PYMALLOC_POOL_SIZE;
	}
	if (shim_debug == SHIM_STRICT)
		check_reused(&place);
	guard_new(&place, size, offset,
		  __atomic_add_fetch(&serial, 1, __ATOMIC_RELAXED));
	return guard_object(place.block);
}

/* What is no object any more, or never was: the kernel may know more. */
static void judge(const char *function, void *object, const struct place *place)
{
	bool freed = guard_is(place, DEBUG_FREED);

	if (shim_debug == SHIM_STRICT)
		pymalloc_free_slow(shim_heap, place->block);
	if (freed)
		fatal_bad(function, object, PYMALLOC_REF_FREE);
	fatal_no_header(function, object, place);
}

/* Returns only if @object is one, and its guards are unbroken. */
struct guarded *shim_debug_check(const char *function, void *object)
{
	struct place place;
	const __u8 *bad;

	if (!place_find(object, &place))
		fatal_bad(function, object, PYMALLOC_REF_FOREIGN);
	if (!guard_is(&place, DEBUG_ID))
		judge(function, object, &place);
	if (object != guard_object(place.block))
		fatal_bad(function, object, PYMALLOC_REF_MISALIGNED);
	bad = guard_broken(&place);
	if (bad)
		fatal_overwritten(function, &place, bad);
	return place.block;
}

/* Of two threads that free the same object at the same time, one is wrong. */
void shim_debug_release(void *object, struct guarded *block)
{
	if (__atomic_exchange_n(&block->id, DEBUG_FREED, __ATOMIC_ACQ_REL) !=
	    DEBUG_ID)
		fatal_bad("free", object, PYMALLOC_REF_FREE);
	memset(object, DEBUG_FREED, block->size);
	if (shim_debug == SHIM_STRICT)
		pymalloc_free_slow(shim_heap, block);
	else
		quarantine_add(block);
}

void shim_debug_free(void *object)
{
	shim_debug_release(object, shim_debug_check("free", object));
}

size_t shim_debug_usable(void *object)
{
	return shim_debug_check("malloc_usable_size", object)->size;
}
