/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A heap and its shadow: a model that is too simple to be wrong.
 *
 * The shadow has one entry for each page of the window and, in pages of
 * blocks, one for each block.  Every call on the heap goes through the shadow: it
 * looks up what the call must return, makes the call, compares, and panics
 * if they differ.  The shadow does not predict where an object will be, but checks
 * that it may be there.  Every object is full of a pattern of its own, which must
 * be there until the object is freed.
 */
#ifndef SHADOW_H
#define SHADOW_H

#include "core.h"

/*
 * What the maker of a heap charges for itself.  An odd number, so that no other charge
 * can be mistaken for it.
 */
#define SHADOW_BASE_BYTES	1001

/**
 * struct shadow_config - a heap to be made
 * @alignment: 8 or 16
 * @window: bytes of its window
 * @extent: bytes of it for arenas at first; 0 is all
 * @limit: most bytes of pages and metadata; 0 is no limit
 * @threshold: bytes of pages at which there is a notice; 0 is never
 * @user: its user's quota; may be NULL
 */
struct shadow_config {
	u32 alignment;
	u64 window;
	u64 extent;
	u64 limit;
	u64 threshold;
	struct pym_quota *user;
};

/**
 * struct shadow_object - an allocated object
 * @ref: where it is
 * @size: bytes that a program may use
 * @tag: which pattern it contains; 0 if it could not be written to
 */
struct shadow_object {
	u64 ref;
	u64 size;
	u32 tag;
};

/* Entries of struct shadow_page.slots.  The last is added to the index of an object. */
#define SLOT_UNTOUCHED	0
#define SLOT_FREE	1
#define SLOT_OBJECT	2

/**
 * struct shadow_page - a page of the window
 * @class: as in struct pym_pool
 * @slots: one for each block; a run's first page has one for the run
 * @allocated: slots that are objects
 * @touched: slots that are not untouched
 * @first: the slot that was touched first
 */
struct shadow_page {
	u8 class;
	u32 *slots;
	unsigned int allocated;
	unsigned int touched;
	unsigned int first;
};

/**
 * struct shadow - a heap, and what it must contain
 * @heap: the heap
 * @pages: the pages of its window
 * @objects: the objects, in no order
 * @nr_objects: how many
 * @room: entries allocated for @objects
 * @last_tag: the last tag that was given
 * @nr_allocs: allocations by class; entry 0 is large objects
 * @nr_frees: frees by class
 * @nr_bad_refs: bad refs
 * @peak: the heap's peak of pages when it was last checked
 * @grown: how often the threshold was passed in this call
 */
struct shadow {
	struct pym_heap heap;
	struct shadow_page *pages;
	struct shadow_object *objects;
	size_t nr_objects;
	size_t room;
	u32 last_tag;
	u64 nr_allocs[PYMALLOC_NR_CLASSES + 1];
	u64 nr_frees[PYMALLOC_NR_CLASSES + 1];
	u64 nr_bad_refs;
	u64 peak;
	unsigned int grown;
};

/* NULL if there was no memory. */
struct shadow *shadow_new(const struct shadow_config *config);
/* A clone of a heap, with its contents; NULL if there was no memory. */
struct shadow *shadow_fork(struct shadow *parent);
void shadow_delete(struct shadow *shadow);

/* These return what the core's functions do. */
unsigned int shadow_alloc(struct shadow *shadow, u64 size, bool zero, u64 *refs,
			  unsigned int nr);
unsigned int shadow_free(struct shadow *shadow, const u64 *refs, unsigned int nr);
int shadow_resize(struct shadow *shadow, u64 *ref, u64 size);
u64 shadow_usable(struct shadow *shadow, u64 ref);
u64 shadow_trim(struct shadow *shadow);

/* Write to an object, if there is one. */
void shadow_write(struct shadow *shadow, u64 ref);

/* Walk a part of the window, @room blocks at a time. */
void shadow_walk(struct shadow *shadow, u64 start, u64 end, unsigned int room);
/* Run the checker, and compare every figure, page, pool and block. */
void shadow_verify(struct shadow *shadow);

/*
 * The enum pymalloc_arena_kind of the arena whose first page is @first; 0 if no page of
 * it has a class.
 */
u32 shadow_kind(const struct shadow *shadow, u64 first);
/* @size rounded up to what an object of it really has: its class's size, or pages. */
u64 shadow_rounded(const struct shadow *shadow, u64 size);

#endif /* SHADOW_H */
