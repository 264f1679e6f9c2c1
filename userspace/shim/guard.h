/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Objects in the debug modes.  A block, or a run of one page if no block is large enough,
 * contains
 *
 *	header | guard | the object | guard, up to the end
 */
#ifndef _SHIM_GUARD_H
#define _SHIM_GUARD_H

#include <assert.h>

#include "shim.h"

/*
 * The bytes of CPython's own debug hooks, which people know when they see them: as pointers
 * they are not canonical, and as numbers they are odd and large.
 */
#define DEBUG_GUARD	0xfd
#define DEBUG_NEW	0xcd
#define DEBUG_FREED	0xdd
/* What struct guarded has as its id while the object is allocated. */
#define DEBUG_ID	'm'
/*
 * Guard bytes behind each object, at least: a write of one word beyond an object hits them.
 * More would move more objects to the next size class.
 */
#define DEBUG_GUARD_MIN	8

/**
 * struct guarded - the header at the beginning of a block
 * @mark: used by the library while the block is in a magazine
 * @serial: its number among the process's allocations
 * @size: bytes that were asked for
 * @offset: where in the block the object begins
 * @class: the block's size class; 0 for a run
 * @id: DEBUG_ID, or DEBUG_FREED
 * @guard: the first of the guard bytes, which go on up to @offset
 *
 * It stays when the object is freed, so that the report of a second free can name the object.
 */
struct guarded {
	const void *mark;
	__u64 serial;
	__u16 size;
	__u16 offset;
	__u8 class;
	__u8 id;
	__u8 guard[10];
};

static_assert(sizeof(struct guarded) == 2 * SHIM_ALIGNMENT);

/**
 * struct place - a block of the heap
 * @block: where it begins
 * @bytes: how long it is
 * @class: its size class; 0 for a run of one page
 */
struct place {
	struct guarded *block;
	size_t bytes;
	size_t class;
};

#pragma GCC visibility push(hidden)

void guard_new(const struct place *place, size_t size, size_t offset,
	       __u64 serial);
bool guard_is(const struct place *place, __u8 id);
const __u8 *guard_broken(const struct place *place);
const __u8 *guard_broken_fill(const struct place *place);

#pragma GCC visibility pop

static inline __u8 *guard_object(const struct guarded *block)
{
	return (__u8 *)block + block->offset;
}

#endif /* _SHIM_GUARD_H */
