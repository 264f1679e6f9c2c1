// SPDX-License-Identifier: LGPL-2.1-or-later
/* Which block an address lies in. */
#include "call.h"
#include "place.h"

/**
 * place_find() - find the block in which an address lies
 * @object: the address, in the heap's window
 * @place: where to store the block
 *
 * Return: true; false if it lies in none.  Then there may be no page that could be read.
 */
bool place_find(const void *object, struct place *place)
{
	__u64 ref = pyml_ref(shim_heap, object);
	size_t within = ref % PYMALLOC_POOL_SIZE;
	__u64 pool = ref - within;

	place->class = shim_window.pool_map[ref / PYMALLOC_POOL_SIZE];
	place->bytes = place->class * PYMALLOC_BLOCK_MIN;
	if (!place->class) {
		place->bytes = PYMALLOC_POOL_SIZE;
		if (!pyml_call_usable(shim_heap, pool))
			return false;
	}
	within -= within % place->bytes;
	place->block = (struct guarded *)(shim_window.base + pool + within);
	/* A pool's last bytes are in no block if 4096 is no multiple of the size. */
	return within + place->bytes <= PYMALLOC_POOL_SIZE;
}
