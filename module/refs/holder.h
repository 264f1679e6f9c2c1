/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Holders: who holds which blocks, and what others have given him.  See holder.c.
 */
#ifndef PYM_HOLDER_H
#define PYM_HOLDER_H

#include <linux/list.h>

#include "count.h"

struct held;

/**
 * struct pym_cursor - what was looked up for the last ref of a batch
 * @place: where its count is
 * @held: what the holder holds in its pool, if @number is that of the pool
 * @number: the pool's number
 *
 * Zeroes are a cursor that knows nothing.  It is of use as long as refs->lock is held, and for
 * one holder.
 */
struct pym_cursor {
	struct pym_place place;
	struct held *held;
	u32 number;
};

/* Blocks that have been given to a client and that he has not received: no more than this. */
#define PYM_INBOX_MAX	65536

/**
 * struct pym_holder - what one client holds
 * @gone: the client is leaving: he gets nothing any more
 * @bits: struct held by number of the pool
 * @spare: the pool of which he held a block last, and holds none any more: its bits stay until
 *	there is another such pool.  0 is none
 * @nr: blocks that he holds
 * @max: the most that he may hold; 0 is no limit
 * @inbox: struct parcel in the order in which they came
 * @nr_inbox: blocks in them
 *
 * refs->lock protects all of it.  @nr_inbox may be read without.
 */
struct pym_holder {
	bool gone;
	struct xarray bits;
	u32 spare;
	u64 nr;
	u64 max;
	struct list_head inbox;
	u32 nr_inbox;
};

void pym_holder_init(struct pym_holder *holder, u64 max);
int pym_holder_begin(struct pym_refs *refs, struct pym_holder *holder, const u64 *blocks,
		     unsigned int nr, unsigned int *done);
int pym_hold(struct pym_refs *refs, struct pym_holder *holder, u64 ref, u32 serial,
	     struct pym_cursor *cursor, u8 *status);
void pym_drop(struct pym_refs *refs, struct pym_holder *holder, u64 ref,
	      struct pym_cursor *cursor, struct pym_unneeded *unneeded, u8 *status);
u32 pym_hold_serial(struct pym_refs *refs, struct pym_holder *holder, u64 ref,
		    struct pym_cursor *cursor, u8 *status);
int pym_give(struct pym_refs *refs, struct pym_holder *from, struct pym_holder *to, u64 ref,
	     bool keep, struct pym_cursor *cursor, u8 *status);
unsigned int pym_receive(struct pym_refs *refs, struct pym_holder *holder, u64 *blocks,
			 unsigned int nr, int *err);
int pym_holder_clone(struct pym_refs *refs, struct pym_holder *from, struct pym_holder *to);
bool pym_holder_leave_some(struct pym_refs *refs, struct pym_holder *holder,
			   struct pym_unneeded *unneeded);
void pym_inbox_visit(const struct pym_holder *holder, void (*visit)(u64 ref, void *data),
		     void *data);
void pym_holder_destroy(struct pym_holder *holder);
const unsigned long *pym_holder_bits(struct pym_holder *holder, u32 number);
unsigned int pym_holder_read(struct pym_refs *refs, struct pym_holder *holder, u64 after,
			     u64 *blocks, unsigned int nr);

#endif /* PYM_HOLDER_H */
