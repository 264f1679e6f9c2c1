/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One thread's magazines for one heap: the part that is off the fast path. */
#ifndef _PYML_MAGAZINE_H
#define _PYML_MAGAZINE_H

#include "cache.h"

/*
 * Bytes of blocks for which all magazines of a cache together may have slots: an eighth of
 * what the thread has got from the kernel and not given back, within these bounds.  The
 * least is the PYML_SLOTS_MIN of each class, which take 1 MiB, and as much again for
 * those that need more.  The most is enough for 300 slots of every class, or for
 * PYML_SLOTS_MAX of the eight largest.  With more of them programs would hold more
 * memory, with less they would make more calls.
 */
#define PYML_SLOT_BYTES_LEAST	(2 * 1024 * 1024)
#define PYML_SLOT_BYTES_MOST	(4608 * 1024)
static_assert(PYML_SLOTS_MIN * PYMALLOC_BLOCK_MIN * PYMALLOC_NR_CLASSES *
	      (PYMALLOC_NR_CLASSES + 1) / 2 <= PYML_SLOT_BYTES_LEAST);
/* With those in the queue, the most bytes of blocks in a cache: 5 MiB. */
#define PYML_CACHE_BYTES	(PYML_SLOT_BYTES_MOST + 512 * 1024)
static_assert(PYML_BATCH_MOST * PYMALLOC_BLOCK_MAX <= 512 * 1024);
/*
 * Blocks in the first batch in a direction: a quarter of the least slots.  A program that
 * needs a few objects of a class does not get many; a larger first step would more often
 * go past the point from which a program needs no more calls.
 */
#define PYML_BATCH_FIRST	16
/*
 * When doubling has brought the size of the next batch to so many times a magazine's
 * slots, the program only allocates, or only frees: batches are seven eighths of the slots
 * from then on.  From half of the slots on it takes four more batches in one direction to
 * get there, so that a program that goes up and down does not.
 */
#define PYML_ONE_WAY	8
/*
 * A magazine from which a program only frees has slots for so many bytes, but at least
 * PYML_SLOTS_MIN.  With 64 slots, what a batch costs beside its blocks was 9 instructions
 * for a block of 64 bytes; with more, threads would keep more that nobody needs.
 */
#define PYML_ONE_WAY_BYTES	(16 * 1024)
/*
 * After so many fills and flushes of other magazines, a magazine need not be as large as it
 * is.  It is four rounds of 64 classes: a magazine that is used as much as the others has
 * been filled or flushed by then.
 */
#define PYML_IDLE		256
/* Magazines of which one crossing finds out whether they are idle: an eighth of all. */
#define PYML_LOOK_AT		8

#pragma GCC visibility push(hidden)

void pyml_magazines_init(struct pyml_cache *cache);
size_t pyml_magazine_count(const struct pyml_cache *cache,
			   size_t class);
bool pyml_magazine_has(const struct pyml_cache *cache, size_t class,
		       const void *object);
bool pyml_magazine_fill(struct pyml_cache *cache, size_t class);
void pyml_magazine_flush(struct pyml_cache *cache, size_t class);
void pyml_magazines_flush(struct pyml_cache *cache);
void pyml_magazines_flush_abandoned(struct pyml_cache *cache);

#pragma GCC visibility pop

#endif /* _PYML_MAGAZINE_H */
