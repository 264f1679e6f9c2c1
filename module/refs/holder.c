// SPDX-License-Identifier: GPL-2.0
/*
 * Holders: what a client holds, a bit for each block, and his inbox.
 *
 * A block that was given to a client is needed by his inbox until he receives it: so it is never
 * nobody's, whoever dies.
 */
#include <linux/bitmap.h>
#include <linux/slab.h>

#include "holder.h"

/* Holds that are given up with the lock held at once. */
#define LEAVE_MAX	4096

/**
 * struct held - which blocks of a pool a client holds
 * @nr: how many; 0 is a spare one
 * @capacity: bits
 * @bits: one for each block
 */
struct held {
	u16 nr;
	u16 capacity;
	unsigned long bits[];
};

/* As many as make the struct a page. */
#define PARCEL_REFS	509

/**
 * struct parcel - a part of an inbox
 * @link: its place in the inbox
 * @first: the first ref that has not been received
 * @end: the number of the refs that have come
 * @refs: the refs
 */
struct parcel {
	struct list_head link;
	u32 first;
	u32 end;
	u64 refs[PARCEL_REFS];
};

static_assert(sizeof(struct parcel) == PYMALLOC_POOL_SIZE);

/**
 * pym_holder_init() - a client that holds nothing
 * @holder: the client
 * @max: the most that he may hold; 0 is no limit
 *
 * Context: Any.
 */
void pym_holder_init(struct pym_holder *holder, u64 max)
{
	*holder = (struct pym_holder) { .max = max };
	xa_init_flags(&holder->bits, XA_FLAGS_ACCOUNT);
	INIT_LIST_HEAD(&holder->inbox);
}

/**
 * pym_holder_destroy() - the reverse of pym_holder_init()
 * @holder: a client that holds nothing
 *
 * Context: Any.
 */
void pym_holder_destroy(struct pym_holder *holder)
{
	xa_destroy(&holder->bits);
}

static size_t held_size(unsigned int capacity)
{
	return struct_size((struct held *)NULL, bits, BITS_TO_LONGS(capacity));
}

static unsigned long held_bytes(unsigned int capacity)
{
	return roundup_pow_of_two(held_size(capacity)) + PYM_ENTRY_BYTES;
}

static struct held *held_insert(struct pym_holder *holder, u32 number, unsigned int capacity)
{
	struct held *held = kzalloc(held_size(capacity), PYM_GFP);

	if (!held)
		return ERR_PTR(-ENOMEM);
	held->capacity = capacity;
	if (!xa_err(xa_store(&holder->bits, number, held, PYM_GFP)))
		return held;
	kfree(held);
	return ERR_PTR(-ENOMEM);
}

static void held_delete(struct pym_refs *refs, struct pym_holder *holder, struct held *held,
			u32 number)
{
	xa_erase(&holder->bits, number);
	pym_heap_remove_meta(refs->heap, held_bytes(held->capacity));
	kfree(held);
}

/* What a holder holds in the pool of a place, or NULL. */
static struct held *held_find(struct pym_holder *holder, struct pym_cursor *cursor)
{
	u32 number = cursor->place.counts->number;

	if (cursor->number != number) {
		cursor->number = number;
		cursor->held = xa_load(&holder->bits, number);
	}
	return cursor->held;
}

static struct held *held_new(struct pym_refs *refs, struct pym_holder *holder,
			     const struct pym_counts *counts)
{
	struct held *held;
	int err;

	err = pym_heap_add_meta(refs->heap, held_bytes(counts->capacity));
	if (err)
		return ERR_PTR(err);
	held = held_insert(holder, counts->number, counts->capacity);
	if (IS_ERR(held))
		pym_heap_remove_meta(refs->heap, held_bytes(counts->capacity));
	return held;
}

/* The bits of the pool of a place, which are made if there are none. */
static struct held *held_get(struct pym_refs *refs, struct pym_holder *holder,
			     struct pym_cursor *cursor)
{
	const struct pym_counts *counts = cursor->place.counts;
	struct held *held = held_find(holder, cursor);

	/* What was left of the pool may be from a time when it had another size class. */
	if (held && held->capacity != counts->capacity) {
		held_delete(refs, holder, held, counts->number);
		held = NULL;
	}
	if (!held)
		held = held_new(refs, holder, counts);
	cursor->held = IS_ERR(held) ? NULL : held;
	return held;
}

/* A pool of which a client holds nothing any more: keep its bits for a while. */
static void held_retire(struct pym_refs *refs, struct pym_holder *holder, u32 number)
{
	struct held *old = NULL;

	if (holder->spare && holder->spare != number)
		old = xa_load(&holder->bits, holder->spare);
	if (old && !old->nr)
		held_delete(refs, holder, old, holder->spare);
	holder->spare = number;
}

/* A client comes to hold a block for which somebody has counted him already. */
static int held_set(struct pym_refs *refs, struct pym_holder *holder, struct pym_cursor *cursor)
{
	struct held *held;

	if (holder->max && holder->nr >= holder->max)
		return -EDQUOT;
	held = held_get(refs, holder, cursor);
	if (IS_ERR(held))
		return PTR_ERR(held);
	__set_bit(cursor->place.index, held->bits);
	held->nr++;
	holder->nr++;
	return 0;
}

static bool held_test(struct pym_holder *holder, struct pym_cursor *cursor)
{
	const struct held *held = held_find(holder, cursor);

	return held && held->nr && test_bit(cursor->place.index, held->bits);
}

/* Returns false if he does not hold it. */
static bool held_clear(struct pym_refs *refs, struct pym_holder *holder,
		       struct pym_cursor *cursor)
{
	struct held *held = held_find(holder, cursor);

	if (!held || !held->nr || !__test_and_clear_bit(cursor->place.index, held->bits))
		return false;
	holder->nr--;
	if (!--held->nr)
		held_retire(refs, holder, cursor->number);
	return true;
}

/**
 * pym_holder_bits() - which blocks of a pool a client holds
 * @holder: the client
 * @number: the pool's number
 *
 * Context: Holds @refs->lock.
 * Return: a bit for each block, or NULL if he holds none.
 */
const unsigned long *pym_holder_bits(struct pym_holder *holder, u32 number)
{
	const struct held *held = xa_load(&holder->bits, number);

	return held && held->nr ? held->bits : NULL;
}

/**
 * pym_holder_begin() - blocks have been allocated: their client holds them
 * @refs: the counts
 * @holder: the client
 * @blocks: the blocks
 * @nr: how many
 * @done: out: how many of them he holds now
 *
 * Context: Holds @refs->lock.  Sleeps.
 * Return: 0; or -ENOMEM or -EDQUOT (his limit, or the user's): the caller frees the others.
 */
int pym_holder_begin(struct pym_refs *refs, struct pym_holder *holder, const u64 *blocks,
		     unsigned int nr, unsigned int *done)
{
	struct pym_cursor cursor = {};
	int err;

	for (*done = 0; *done < nr; ++*done) {
		err = pym_count_begin(refs, blocks[*done], &cursor.place);
		if (err)
			return err;
		err = held_set(refs, holder, &cursor);
		if (err) {
			/* The caller frees it with the others. */
			pym_count_less(refs, &cursor.place);
			return err;
		}
	}
	return 0;
}

/**
 * pym_hold() - a client comes to hold a block that somebody needs
 * @refs: the counts
 * @holder: the client, who may hold it already
 * @ref: the block
 * @serial: its allocation; 0 is whichever
 * @cursor: of the batch
 * @status: out: PYMALLOC_REF_OK, or what is wrong with @ref
 *
 * Context: Holds @refs->lock.  Sleeps.
 * Return: 0; or -ENOMEM or -EDQUOT, and he does not hold it.
 */
int pym_hold(struct pym_refs *refs, struct pym_holder *holder, u64 ref, u32 serial,
	     struct pym_cursor *cursor, u8 *status)
{
	int err;

	*status = pym_count_find(refs, ref, &cursor->place);
	if (*status != PYMALLOC_REF_OK)
		return 0;
	if (serial && serial != pym_count_at(&cursor->place)->serial) {
		*status = PYMALLOC_REF_STALE;
		return 0;
	}
	if (held_test(holder, cursor))
		return 0;
	err = held_set(refs, holder, cursor);
	if (!err)
		pym_count_more(refs, &cursor->place);
	return err;
}

/* Find a block that a client holds. */
static u8 find_held(struct pym_refs *refs, struct pym_holder *holder, u64 ref,
		    struct pym_cursor *cursor)
{
	enum pymalloc_ref_status status = pym_count_find(refs, ref, &cursor->place);

	if (status == PYMALLOC_REF_OK && !held_test(holder, cursor))
		status = PYMALLOC_REF_NOT_HELD;
	return status;
}

/**
 * pym_drop() - a client holds a block no more
 * @refs: the counts
 * @holder: the client
 * @ref: the block
 * @cursor: of the batch
 * @unneeded: gets the block if nobody else needs it; has room
 * @status: out: PYMALLOC_REF_OK, or what is wrong with @ref
 *
 * Context: Holds @refs->lock.  Sleeps.
 */
void pym_drop(struct pym_refs *refs, struct pym_holder *holder, u64 ref,
	      struct pym_cursor *cursor, struct pym_unneeded *unneeded, u8 *status)
{
	*status = pym_count_find(refs, ref, &cursor->place);
	if (*status != PYMALLOC_REF_OK)
		return;
	if (held_clear(refs, holder, cursor))
		pym_count_drop(refs, &cursor->place, ref, unneeded);
	else
		*status = PYMALLOC_REF_NOT_HELD;
}

/**
 * pym_hold_serial() - which allocation a block is that a client holds
 * @refs: the counts
 * @holder: the client
 * @ref: the block
 * @cursor: of the batch
 * @status: out: PYMALLOC_REF_OK, or what is wrong with @ref
 *
 * Context: Holds @refs->lock.
 * Return: the serial number, or 0.
 */
u32 pym_hold_serial(struct pym_refs *refs, struct pym_holder *holder, u64 ref,
		    struct pym_cursor *cursor, u8 *status)
{
	*status = find_held(refs, holder, ref, cursor);
	return *status == PYMALLOC_REF_OK ? pym_count_at(&cursor->place)->serial : 0;
}

static struct parcel *parcel_new(struct pym_refs *refs, struct pym_holder *to)
{
	struct parcel *parcel;
	int err;

	err = pym_heap_add_meta(refs->heap, sizeof(*parcel));
	if (err)
		return ERR_PTR(err);
	parcel = kmalloc(sizeof(*parcel), PYM_GFP);
	if (!parcel) {
		pym_heap_remove_meta(refs->heap, sizeof(*parcel));
		return ERR_PTR(-ENOMEM);
	}
	parcel->first = 0;
	parcel->end = 0;
	list_add_tail(&parcel->link, &to->inbox);
	return parcel;
}

static void parcel_delete(struct pym_refs *refs, struct parcel *parcel)
{
	list_del(&parcel->link);
	kfree(parcel);
	pym_heap_remove_meta(refs->heap, sizeof(*parcel));
}

static int inbox_put(struct pym_refs *refs, struct pym_holder *to, u64 ref)
{
	struct parcel *parcel = NULL;

	if (!list_empty(&to->inbox))
		parcel = list_last_entry(&to->inbox, struct parcel, link);
	if (!parcel || parcel->end == PARCEL_REFS)
		parcel = parcel_new(refs, to);
	if (IS_ERR(parcel))
		return PTR_ERR(parcel);
	parcel->refs[parcel->end++] = ref;
	WRITE_ONCE(to->nr_inbox, to->nr_inbox + 1);
	return 0;
}

static u64 inbox_first(struct pym_holder *holder)
{
	struct parcel *parcel = list_first_entry(&holder->inbox, struct parcel, link);

	return parcel->refs[parcel->first];
}

/* The last parcel stays when it is empty, and is filled again, until its client goes. */
static void inbox_remove_first(struct pym_refs *refs, struct pym_holder *holder)
{
	struct parcel *parcel = list_first_entry(&holder->inbox, struct parcel, link);

	WRITE_ONCE(holder->nr_inbox, holder->nr_inbox - 1);
	if (++parcel->first < parcel->end)
		return;
	parcel->first = 0;
	parcel->end = 0;
	if (!list_is_singular(&holder->inbox))
		parcel_delete(refs, parcel);
}

/**
 * pym_give() - a client gives another one a block
 * @refs: the counts
 * @from: the client, who holds it
 * @to: the other one, in whose inbox it comes
 * @ref: the block
 * @keep: the first one goes on to hold it
 * @cursor: of the batch
 * @status: out: PYMALLOC_REF_OK, or what is wrong with @ref
 *
 * Context: Holds @refs->lock.  Sleeps.
 * Return: 0; or -EAGAIN (the inbox is full), -ENOMEM or -EDQUOT, and nothing has changed.
 */
int pym_give(struct pym_refs *refs, struct pym_holder *from, struct pym_holder *to, u64 ref,
	     bool keep, struct pym_cursor *cursor, u8 *status)
{
	int err;

	*status = find_held(refs, from, ref, cursor);
	if (*status != PYMALLOC_REF_OK)
		return 0;
	if (to->nr_inbox >= PYM_INBOX_MAX)
		return -EAGAIN;
	err = inbox_put(refs, to, ref);
	if (err)
		return err;
	if (keep)
		pym_count_more(refs, &cursor->place);
	else
		held_clear(refs, from, cursor);
	return 0;
}

/* What an inbox needs, its client comes to hold. */
static int receive_first(struct pym_refs *refs, struct pym_holder *holder,
			 struct pym_cursor *cursor)
{
	int err;

	pym_count_find(refs, inbox_first(holder), &cursor->place);
	if (held_test(holder, cursor)) {
		/* Never the last one. */
		pym_count_less(refs, &cursor->place);
	} else {
		err = held_set(refs, holder, cursor);
		if (err)
			return err;
	}
	inbox_remove_first(refs, holder);
	return 0;
}

/**
 * pym_receive() - a client takes blocks out of his inbox, and holds them
 * @refs: the counts
 * @holder: the client
 * @blocks: out: the blocks, in the order in which they were given
 * @nr: how many at most
 * @err: out: 0; or why he gets no more of them: -ENOMEM or -EDQUOT
 *
 * Context: Holds @refs->lock.  Sleeps.
 * Return: how many he has got.
 */
unsigned int pym_receive(struct pym_refs *refs, struct pym_holder *holder, u64 *blocks,
			 unsigned int nr, int *err)
{
	struct pym_cursor cursor = {};
	unsigned int done;

	*err = 0;
	for (done = 0; done < nr && holder->nr_inbox; done++) {
		blocks[done] = inbox_first(holder);
		*err = receive_first(refs, holder, &cursor);
		if (*err)
			break;
	}
	return done;
}

/* A client comes to hold all blocks of a pool that another one holds. */
static int held_clone(struct pym_refs *refs, struct pym_holder *to, const struct held *held,
		      u32 number)
{
	struct pym_place place = { .counts = xa_load(&refs->pools, number) };
	struct held *copy = held_new(refs, to, place.counts);
	unsigned int index;

	if (IS_ERR(copy))
		return PTR_ERR(copy);
	copy->nr = held->nr;
	bitmap_copy(copy->bits, held->bits, held->capacity);
	for_each_set_bit(index, held->bits, held->capacity) {
		place.index = index;
		pym_count_more(refs, &place);
	}
	to->nr += held->nr;
	return 0;
}

/**
 * pym_holder_clone() - a client comes to hold all that another one holds
 * @refs: the counts
 * @from: the other one
 * @to: the client, who holds nothing
 *
 * What is in the other one's inbox stays his alone.
 *
 * Context: Holds @refs->lock.  Sleeps.
 * Return: 0; or -ENOMEM or -EDQUOT, and he holds some of it.
 */
int pym_holder_clone(struct pym_refs *refs, struct pym_holder *from, struct pym_holder *to)
{
	struct held *held;
	unsigned long number;
	int err;

	xa_for_each(&from->bits, number, held) {
		err = held->nr ? held_clone(refs, to, held, number) : 0;
		if (err)
			return err;
	}
	return 0;
}

/* Give up holds of one pool.  Returns how many. */
static unsigned int leave_pool(struct pym_refs *refs, struct pym_holder *holder,
			       struct held *held, u32 number, struct pym_unneeded *unneeded)
{
	struct pym_place place = { .counts = xa_load(&refs->pools, number) };
	unsigned int index, done = 0;

	for_each_set_bit(index, held->bits, held->capacity) {
		if (unneeded->nr == PYM_UNNEEDED_MAX)
			break;
		__clear_bit(index, held->bits);
		held->nr--;
		holder->nr--;
		done++;
		place.index = index;
		pym_count_drop(refs, &place, pym_count_ref(place.counts, index), unneeded);
	}
	if (!held->nr)
		held_delete(refs, holder, held, number);
	return done;
}

static void leave_inbox(struct pym_refs *refs, struct pym_holder *holder,
			struct pym_unneeded *unneeded)
{
	struct pym_place place = {};

	while (holder->nr_inbox && unneeded->nr < PYM_UNNEEDED_MAX) {
		u64 ref = inbox_first(holder);

		pym_count_find(refs, ref, &place);
		inbox_remove_first(refs, holder);
		pym_count_drop(refs, &place, ref, unneeded);
	}
	if (!holder->nr_inbox && !list_empty(&holder->inbox))
		parcel_delete(refs, list_first_entry(&holder->inbox, struct parcel, link));
}

/**
 * pym_holder_leave_some() - give up a part of what a client needs who has gone
 * @refs: the counts
 * @holder: the client
 * @unneeded: gets the blocks that nobody else needs; empty before
 *
 * The caller frees them, without the lock, and comes again.
 *
 * Context: Holds @refs->lock.  Sleeps.
 * Return: true if there is more.
 */
bool pym_holder_leave_some(struct pym_refs *refs, struct pym_holder *holder,
			   struct pym_unneeded *unneeded)
{
	unsigned int done = 0;
	unsigned long number;
	struct held *held;

	xa_for_each(&holder->bits, number, held) {
		done += leave_pool(refs, holder, held, number, unneeded);
		if (unneeded->nr == PYM_UNNEEDED_MAX || done >= LEAVE_MAX)
			break;
	}
	leave_inbox(refs, holder, unneeded);
	return !xa_empty(&holder->bits) || holder->nr_inbox;
}

/**
 * pym_inbox_visit() - look at all blocks in an inbox
 * @holder: whose it is
 * @visit: called for each
 * @data: for @visit
 *
 * Context: Holds @refs->lock.
 */
void pym_inbox_visit(const struct pym_holder *holder, void (*visit)(u64 ref, void *data),
		     void *data)
{
	const struct parcel *parcel;
	u32 i;

	list_for_each_entry(parcel, &holder->inbox, link)
		for (i = parcel->first; i < parcel->end; i++)
			visit(parcel->refs[i], data);
}

/**
 * pym_holder_read() - which blocks a client holds
 * @refs: the counts
 * @holder: the client
 * @after: only those that lie behind this ref
 * @blocks: out: the blocks, in the order of their refs
 * @nr: how many at most
 *
 * Context: Holds @refs->lock.
 * Return: how many there are; if fewer than @nr, those were the last ones.
 */
unsigned int pym_holder_read(struct pym_refs *refs, struct pym_holder *holder, u64 after,
			     u64 *blocks, unsigned int nr)
{
	unsigned int index, done = 0;
	const struct pym_counts *counts;
	unsigned long number;
	struct held *held;
	u64 ref;

	xa_for_each_start(&holder->bits, number, held, after >> PYM_POOL_SHIFT) {
		counts = xa_load(&refs->pools, number);
		for_each_set_bit(index, held->bits, held->capacity) {
			ref = pym_count_ref(counts, index);
			if (ref <= after)
				continue;
			if (done == nr)
				return done;
			blocks[done++] = ref;
		}
	}
	return done;
}
