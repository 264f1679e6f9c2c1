// SPDX-License-Identifier: LGPL-2.1-or-later
/* Where the block begins that an address lies in. */
#include "call.h"
#include "place.h"

/* Returns false for what lies in no block; then there may be no page. */
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
	/* What is left at the end of a pool is no block. */
	return within + place->bytes <= PYMALLOC_POOL_SIZE;
}
