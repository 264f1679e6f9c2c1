// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Freed blocks, kept for a while: long enough for a late write to hit them, and
 * for a second free to find out whose they were.  All are looked at when they
 * leave, at the latest when the process ends.
 */
#include "fatal.h"
#include "place.h"
#include "quarantine.h"

#define SLOTS	1024

static struct guarded *slots[SLOTS];

static void check(const char *function, struct guarded *block)
{
	struct place place;
	const __u8 *bad;

	/* To the kernel it is allocated: it is there, whatever the program did. */
	if (!place_find(block, &place))
		fatal_bad(function, block, PYMALLOC_REF_FOREIGN);
	if (!guard_is(&place, DEBUG_FREED))
		fatal_no_header(function, guard_object(block), &place);
	bad = guard_broken_fill(&place);
	if (bad)
		fatal_overwritten(function, &place, bad);
}

static struct guarded *exchange(size_t slot, struct guarded *block)
{
	return __atomic_exchange_n(&slots[slot], block, __ATOMIC_ACQ_REL);
}

/* Takes the block in, and gives another one that was here for long back. */
void quarantine_add(struct guarded *block)
{
	static size_t next;
	size_t slot = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED) % SLOTS;

	block = exchange(slot, block);
	if (!block)
		return;
	check("free", block);
	pymalloc_free(shim_heap, block);
}

static __attribute__((destructor)) void check_all(void)
{
	size_t slot;

	for (slot = 0; slot < SLOTS; slot++) {
		struct guarded *block = exchange(slot, NULL);

		if (block)
			check("exit", block);
	}
}
