// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The debug modes: objects lie between guards, which are checked whenever an object is
 * freed, resized or asked for its size.  With SHIM_STRICT there are no magazines between
 * the program and the kernel, so that the kernel judges each free at once.
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

/* Set once, before the heap is there. */
enum shim_debug shim_debug;

/**
 * shim_debug_choose() - read from the environment which mode is wanted
 */
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

/* The kernel refuses a block; if it has a header, the report names the object in it. */
static void report_bad_block(struct pymalloc_heap *heap, void *object,
			     unsigned int status)
{
	struct place place;

	(void)heap;
	if (place_find(object, &place) && place.block == object &&
	    guard_is(&place, DEBUG_FREED))
		object = guard_object(place.block);
	fatal_bad("free", object, status);
}

/**
 * shim_debug_start() - begin, when there is a heap
 */
void shim_debug_start(void)
{
	pymalloc_set_bad_free(report_bad_block);
	shim_heap->untraced = true;
}

/*
 * Without magazines, nothing has been written to a block between its free and the moment
 * when the kernel hands it out again; unless its pool has had another class meanwhile, and
 * then there is no header any more.
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

/**
 * shim_debug_malloc() - allocate an object between guards
 * @size: bytes
 * @alignment: a power of two, of at least SHIM_ALIGNMENT
 *
 * Return: the object; or NULL if the service has no memory.
 */
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

/*
 * Aborts for what is no object any more, or never was one.  With SHIM_STRICT the kernel may
 * know more about the block, and then does not return from the free.
 */
static void report_no_object(const char *function, void *object,
			     const struct place *place)
{
	bool freed = guard_is(place, DEBUG_FREED);

	if (shim_debug == SHIM_STRICT)
		pymalloc_free_slow(shim_heap, place->block);
	if (freed)
		fatal_bad(function, object, PYMALLOC_REF_FREE);
	fatal_no_header(function, object, place);
}

/**
 * shim_debug_check() - check an object's header and guards; abort if they are not right
 * @function: the function that the program has called, for the report
 * @object: what should be an object
 *
 * Return: the block that it lies in.
 */
struct guarded *shim_debug_check(const char *function, void *object)
{
	struct place place;
	const __u8 *bad;

	if (!place_find(object, &place))
		fatal_bad(function, object, PYMALLOC_REF_FOREIGN);
	if (!guard_is(&place, DEBUG_ID))
		report_no_object(function, object, &place);
	if (object != guard_object(place.block))
		fatal_bad(function, object, PYMALLOC_REF_MISALIGNED);
	bad = guard_broken(&place);
	if (bad)
		fatal_overwritten(function, &place, bad);
	return place.block;
}

/**
 * shim_debug_release() - free an object that has been checked
 * @object: the object
 * @block: its block
 *
 * Aborts if another thread frees it at the same time.
 */
void shim_debug_release(void *object, struct guarded *block)
{
	/* Of two threads, only one finds that it is allocated: pairs with itself. */
	if (__atomic_exchange_n(&block->id, DEBUG_FREED, __ATOMIC_ACQ_REL) !=
	    DEBUG_ID)
		fatal_bad("free", object, PYMALLOC_REF_FREE);
	memset(object, DEBUG_FREED, block->size);
	if (shim_debug == SHIM_STRICT)
		pymalloc_free_slow(shim_heap, block);
	else
		quarantine_add(block);
}

/**
 * shim_debug_free() - check an object and free it
 * @object: the object
 */
void shim_debug_free(void *object)
{
	shim_debug_release(object, shim_debug_check("free", object));
}

/**
 * shim_debug_usable() - check an object, and how large it is
 * @object: the object
 *
 * Return: the bytes that were asked for.
 */
size_t shim_debug_usable(void *object)
{
	return shim_debug_check("malloc_usable_size", object)->size;
}
