// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Since when pools have had their class.
 *
 * A pool hands its untouched blocks out from any block on.  So when it has had another class
 * for a while, headers of the time before may be left in it, of blocks in which that
 * class has written.  Such a header says nothing of what is behind it.
 */
#include <sys/mman.h>

#include "call.h"
#include "past.h"

/* An entry: the class, and above that the number of the allocation that has found it first. */
#define CLASS_BITS	8
#define CLASS_MASK	((1ULL << CLASS_BITS) - 1)

/* One entry for each pool of the window; NULL if the process may not have so many. */
static __u64 *pools;

/**
 * past_start() - begin, when there is a heap
 *
 * What is not used of the table takes no memory.
 */
void past_start(void)
{
	size_t bytes = shim_heap->window / PYMALLOC_POOL_SIZE * sizeof(*pools);
	void *table = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (table != MAP_FAILED)
		pools = table;
}

/**
 * past_holds() - whether a header that is found in a new block says what is behind it
 * @place: the block
 * @serial: the number of its allocation
 *
 * To be called for each new block, so that every change of a pool's class is seen.
 *
 * Return: true if the pool has not had another class since the header was written, as far as
 *	that is known.
 */
bool past_holds(const struct place *place, __u64 serial)
{
	__u64 entry, now = serial << CLASS_BITS | place->class;
	__u64 *pool;

	if (!pools)
		return false;
	pool = &pools[pyml_ref(shim_heap, place->block) / PYMALLOC_POOL_SIZE];
	/* Relaxed: nothing else is read because of an entry. */
	entry = __atomic_load_n(pool, __ATOMIC_RELAXED);
	while ((entry & CLASS_MASK) != place->class)
		if (__atomic_compare_exchange_n(pool, &entry, now, false, __ATOMIC_RELAXED,
						__ATOMIC_RELAXED))
			entry = now;
	return place->block->serial >= entry >> CLASS_BITS;
}
