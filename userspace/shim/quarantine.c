// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Freed blocks are kept for a while, so that a late write hits them and not a new object, and
 * so that the report of a second free can name the object.  They are checked when they
 * leave, at the latest when the process ends.
 */
#include "fatal.h"
#include "place.h"
#include "quarantine.h"

/*
 * How many freed blocks are kept: at most 512 KiB of them.  With more, a write is found that
 * comes later after the free; a program holds so much more.
 */
#define SLOTS	1024

static struct guarded *slots[SLOTS];

static void check_freed(const char *function, struct guarded *block)
{
	struct place place;
	const __u8 *bad;

	/* The kernel has it as allocated, so it is there, whatever the program did. */
	if (!place_find(block, &place))
		fatal_bad(function, block, PYMALLOC_REF_FOREIGN);
	if (!guard_is(&place, DEBUG_FREED))
		fatal_no_header(function, guard_object(block), &place);
	bad = guard_broken_fill(&place);
	if (bad)
		fatal_overwritten(function, &place, bad);
}

/* The release publishes the block to the thread whose acquire takes it out. */
static struct guarded *exchange(size_t slot, struct guarded *block)
{
	return __atomic_exchange_n(&slots[slot], block, __ATOMIC_ACQ_REL);
}

/**
 * quarantine_add() - keep a block, and free the one that has been kept longest
 * @block: the block, whose object has just been freed
 */
void quarantine_add(struct guarded *block)
{
	static size_t next;
	size_t slot = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED) % SLOTS;

	block = exchange(slot, block);
	if (!block)
		return;
	check_freed("free", block);
	pymalloc_free(shim_heap, block);
}

static __attribute__((destructor)) void check_quarantine(void)
{
	size_t slot;

	for (slot = 0; slot < SLOTS; slot++) {
		struct guarded *block = exchange(slot, NULL);

		if (block)
			check_freed("exit", block);
	}
}
