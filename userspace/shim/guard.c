// SPDX-License-Identifier: LGPL-2.1-or-later
/* The bytes around objects and in freed ones: written and checked. */
#include <string.h>

#include "guard.h"

/**
 * guard_new() - make an object in a new block: header, guards and fill
 * @place: the block
 * @size: bytes of the object
 * @offset: where in the block it begins
 * @serial: its number
 *
 * The release of the id pairs with guard_is(): with the id, the rest is there.
 */
void guard_new(const struct place *place, size_t size, size_t offset,
	       __u64 serial)
{
	struct guarded *block = place->block;
	__u8 *object = (__u8 *)block + offset;

	/* All bytes are written, so that nothing is left of what was here before. */
	block->mark = NULL;
	block->serial = serial;
	block->size = size;
	block->offset = offset;
	block->class = place->class;
	memset(block->guard, DEBUG_GUARD, object - block->guard);
	memset(object, DEBUG_NEW, size);
	memset(object + size, DEBUG_GUARD, place->bytes - offset - size);
	__atomic_store_n(&block->id, DEBUG_ID, __ATOMIC_RELEASE);
}

/* Returns the first of @count bytes that is not @byte, or NULL. */
static const __u8 *find_other(const __u8 *bytes, int byte, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (bytes[i] != byte)
			return &bytes[i];
	return NULL;
}

/**
 * guard_is() - whether a block has a sensible header with a certain id
 * @place: the block
 * @id: DEBUG_ID or DEBUG_FREED
 *
 * The acquire pairs with guard_new().
 *
 * Return: true if it has.
 */
bool guard_is(const struct place *place, __u8 id)
{
	const struct guarded *block = place->block;

	return __atomic_load_n(&block->id, __ATOMIC_ACQUIRE) == id &&
	       block->class == place->class &&
	       block->offset >= sizeof(*block) &&
	       block->offset % SHIM_ALIGNMENT == 0 &&
	       block->size <= PYMALLOC_BLOCK_MAX &&
	       (size_t)block->offset + block->size + DEBUG_GUARD_MIN <= place->bytes;
}

/**
 * guard_broken() - find the first guard byte that has been overwritten
 * @place: the block, which has a header
 *
 * Return: the byte; NULL if there is none.
 */
const __u8 *guard_broken(const struct place *place)
{
	const struct guarded *block = place->block;
	const __u8 *object = guard_object(block);
	const __u8 *end = (const __u8 *)block + place->bytes;
	const __u8 *bad;

	bad = find_other(block->guard, DEBUG_GUARD, object - block->guard);
	if (bad)
		return bad;
	object += block->size;
	return find_other(object, DEBUG_GUARD, end - object);
}

/**
 * guard_broken_fill() - find the first byte of a freed object that has been overwritten
 * @place: the block, which has a header
 *
 * Return: the byte, of the object or else of its guards; NULL if there is none.
 */
const __u8 *guard_broken_fill(const struct place *place)
{
	const struct guarded *block = place->block;
	const __u8 *bad;

	bad = find_other(guard_object(block), DEBUG_FREED, block->size);
	return bad ? bad : guard_broken(place);
}
