// SPDX-License-Identifier: GPL-2.0
/*
 * Caches: the magazines of threads.  There are none yet.
 */
#include "cache.h"

/**
 * pym_caches_steal() - take the blocks that sleeping threads have in their magazines
 * @sheap: the heap
 * @all: those of other threads, too
 *
 * Context: Sleeps.
 * Return: how many blocks were taken.
 */
u64 pym_caches_steal(struct pym_service_heap *sheap, bool all)
{
	return 0;
}

/**
 * pym_caches_pending() - may further rounds of stealing find something?
 * @sheap: the heap
 *
 * Context: Any.
 * Return: true if so; false if nothing is left until a thread touches its cache.
 */
bool pym_caches_pending(struct pym_service_heap *sheap)
{
	return false;
}
