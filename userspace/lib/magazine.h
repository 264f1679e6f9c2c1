/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One thread's magazines for one heap: the part that is off the fast path. */
#ifndef _PYML_MAGAZINE_H
#define _PYML_MAGAZINE_H

#include <assert.h>

#include "types.h"

#define PYML_MAGAZINES	(PYMALLOC_NR_CLASSES + 1)
/* Slots of a magazine: what each has, and what one that needs it may get. */
#define PYML_SLOTS_MIN	64
#define PYML_SLOTS_MAX	1024
/*
 * Bytes of blocks for which all magazines of a cache together may have slots.
 * A fifth of it is PYML_SLOTS_MIN of each class.  The rest goes to those
 * that need more: all can have 300, or eight PYML_SLOTS_MAX, whatever their
 * class.
 */
#define PYML_CACHE_BYTES	(5 * 1024 * 1024)
static_assert(PYML_SLOTS_MIN * PYMALLOC_BLOCK_MIN * PYMALLOC_NR_CLASSES *
	      (PYMALLOC_NR_CLASSES + 1) / 2 <= PYML_CACHE_BYTES);
/* Blocks in one call: at first, and at most. */
#define PYML_BATCH_FIRST	16
#define PYML_BATCH_MOST	(PYML_SLOTS_MAX / 8 * 7)
/* A batch would be so many times a magazine's slots: all go the same way. */
#define PYML_ONE_WAY	8
/* Crossings of others after which a magazine need not be as large as it is. */
#define PYML_IDLE		256

/**
 * struct pyml_cache - one thread's magazines for one heap
 * @magazines: by size class; what pyml_magazines points at
 * @heap: the heap
 * @home: the owner's entry in pyml_magazines
 * @next: the heap's next cache
 * @link: what points at this one in that list
 * @nr_refills: batches allocated
 * @nr_flushes: batches given back
 * @spare: bytes of blocks for which magazines may yet get slots
 * @hand: the class that was looked at last for slots that it does not need
 * @crossed: by class, @nr_refills + @nr_flushes when it last did either
 * @batch: by class, blocks that it then wanted to move; less than 0 to flush
 * @busy: objects are on their way between it and the kernel
 * @abandoned: its thread is no more, and left it as it happened to be
 * @nr_refs: refs waiting in @refs to be freed
 * @nr_sent: refs in @refs that the kernel is freeing
 * @refs: a batch on its way to the kernel
 * @status: what the kernel says of each
 * @small: the slots of magazines that never had more than PYML_SLOTS_MIN
 * @large: the slots of the others
 *
 * Magazines fill their slots from the last one down.  The one after that is
 * the NULL below a magazine's first object.
 */
struct pyml_cache {
	struct pymalloc_magazines magazines;
	struct pymalloc_heap *heap;
	struct pymalloc_magazines **home;
	struct pyml_cache *next;
	struct pyml_cache **link;
	__u64 nr_refills;
	__u64 nr_flushes;
	size_t spare;
	size_t hand;
	__u64 crossed[PYML_MAGAZINES];
	int batch[PYML_MAGAZINES];
	bool busy;
	bool abandoned;
	unsigned int nr_refs;
	unsigned int nr_sent;
	__u64 refs[PYML_BATCH_MOST];
	__u8 status[PYML_BATCH_MOST];
	void *small[PYML_MAGAZINES][PYML_SLOTS_MIN + 1];
	void *large[PYML_MAGAZINES][PYML_SLOTS_MAX + 1];
};

#pragma GCC visibility push(hidden)

void pyml_magazines_init(struct pyml_cache *cache);
size_t pyml_magazine_count(const struct pyml_cache *cache,
			   size_t class);
bool pyml_magazine_has(const struct pyml_cache *cache, size_t class,
		       const void *object);
bool pyml_magazine_refill(struct pyml_cache *cache, size_t class);
void pyml_magazine_make_room(struct pyml_cache *cache, size_t class);
void pyml_magazines_drain(struct pyml_cache *cache);
void pyml_magazines_abandon(struct pyml_cache *cache);

#pragma GCC visibility pop

#endif /* _PYML_MAGAZINE_H */
