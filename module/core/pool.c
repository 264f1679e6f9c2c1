// SPDX-License-Identifier: GPL-2.0
/*
 * Pools of one size class, and their blocks.
 *
 * The state of a block is a bit and the pool's boundary.  The bit says whether the block is
 * allocated: to free it, nothing else is looked at.  If it is not, the boundary says
 * whether it is free or untouched: untouched blocks are handed out in turn, from a block
 * on that differs from pool to pool, and from the boundary's turn on they are untouched.
 * Everything here runs under the class's lock.  Batches of blocks are taken by whole
 * words of the bitmap.
 */
#include <linux/bitops.h>
#include <linux/hash.h>
#include <linux/log2.h>
#include <linux/random.h>
#include <linux/string.h>

#include "arena.h"
#include "bits.h"
#include "block.h"
#include "face.h"
#include "pool.h"
#include "typetable.h"

/* So many spent faces are taken out of the mappings together. */
#define SPENT_MAX	64

/**
 * pym_class_init() - prepare a size class
 * @class: the class
 * @size: bytes of its blocks, a multiple of 8
 * @spread: each pool hands out its blocks from a block of its own on; else from the first
 */
void pym_class_init(struct pym_class *class, u32 size, bool spread)
{
	unsigned int group;

	spin_lock_init(&class->lock);
	class->size = size;
	class->inverse = (1ULL << 32) / size + 1;
	class->capacity = PYMALLOC_POOL_SIZE / size;
	class->order = order_base_2(DIV_ROUND_UP(class->capacity, 64));
	class->seed = get_random_u32();
	class->spread = spread ? GOLDEN_RATIO_32 : 0;
	class->group_scale = DIV_ROUND_UP(65536 * PYM_GROUPS, class->capacity);
	for (group = 0; group < PYM_GROUPS; group++)
		INIT_LIST_HEAD(&class->partial[group]);
	INIT_LIST_HEAD(&class->pinned);
	INIT_LIST_HEAD(&class->spent);
}

/**
 * pym_pool_group() - which of its class's lists a pool belongs to
 * @class: its class
 * @pool: the pool
 *
 * Return: an index of @class->partial, or PYM_GROUP_FULL.
 */
u8 pym_pool_group(const struct pym_class *class, const struct pym_pool *pool)
{
	/*
	 * Blocks * PYM_GROUPS / capacity without a division.  It is exact for a full
	 * pool; in between, rounding only makes a difference for the order.
	 */
	return pym_frame_blocks(pool) * class->group_scale >> 16;
}

static struct list_head *pool_list(struct pym_class *class, const struct pym_pool *pool,
				   u8 group)
{
	return pool->role == PYM_POOL_PINNED ? &class->pinned : &class->partial[group];
}

static void pool_move(struct pym_class *class, struct pym_pool *pool, u8 group)
{
	if (pool->group == PYM_GROUP_FULL) {
		if (pym_pool_is_withheld(pool))
			return;
		class->pools_full--;
		class->pools_used++;
	} else {
		list_del_init(&pool->link);
	}
	if (group == PYM_GROUP_FULL) {
		class->pools_full++;
		class->pools_used--;
	} else {
		list_add(&pool->link, pool_list(class, pool, group));
	}
	pool->group = group;
}

/* Move a pool to the list of its fullness, and adjust the counts. */
static __always_inline void pool_regroup(struct pym_class *class, struct pym_pool *pool)
{
	u8 group = pym_pool_group(class, pool);

	if (group != pool->group)
		pool_move(class, pool, group);
}

/* What an empty pool becomes with a class, whose first @nr blocks are allocated. */
static __always_inline void pool_begin(struct pym_pool *pool, u8 number, bool pinned, u8 group,
				       unsigned int nr)
{
	/* Most have one word, for which a call would take longer. */
	pool->free[0] = ~0UL;
	if (pool->order)
		memset(pool->free, 0xff, sizeof(*pool->free) << pool->order);
	pool->nr_alloc = nr;
	pool->boundary = nr;
	pool->group = group;
	pool->role = pinned ? PYM_POOL_PINNED : PYM_POOL_PLAIN;
	pool->error = false;
	pool->next_face = 0;
	WRITE_ONCE(pool->class, number);
}

/**
 * pym_class_add_locked() - give an empty pool its class
 * @class: the class
 * @pool: a pool with a page, which no other task can reach, and with a bitmap that is long
 *	enough for the class
 * @number: the class's number
 * @pinned: it is for pinned blocks only
 *
 * All its blocks are untouched.
 */
void pym_class_add_locked(struct pym_class *class, struct pym_pool *pool, u8 number, bool pinned)
{
	lockdep_assert_held(&class->lock);

	pool_begin(pool, number, pinned, 0, 0);
	list_add_tail(&pool->link, pool_list(class, pool, 0));
	class->pools_used++;
	class->untouched += class->capacity;
}

/* Take a pool out of the lists of used pools, before it is withheld. */
static void pool_unlist(struct pym_class *class, struct pym_pool *pool)
{
	lockdep_assert_held(&class->lock);

	if (pool->group != PYM_GROUP_FULL)
		pool_move(class, pool, PYM_GROUP_FULL);
}

/**
 * pym_class_withhold_locked() - hand out no more blocks of a frame
 * @heap: the heap
 * @class: the frame's class
 * @pool: one of its pools; its page has a memory error
 *
 * The allocated blocks can be freed; after the last one the pool is empty like any other.
 *
 * Context: Under RCU.
 */
void pym_class_withhold_locked(struct pym_heap *heap, struct pym_class *class,
			       struct pym_pool *pool)
{
	struct pym_pool *primary = pym_face_primary(heap, pool);

	pool_unlist(class, primary);
	primary->error = true;
}

/**
 * pym_class_hold_locked() - hand out no more blocks of a frame, until it has been meshed
 * @class: its class
 * @pool: its primary face, in a list of used pools
 *
 * It also stays in its class when its last block is freed.
 */
void pym_class_hold_locked(struct pym_class *class, struct pym_pool *pool)
{
	pool_unlist(class, pool);
	pool->role = PYM_POOL_HELD;
	if (pool->next_face)
		return;
	pool->next_face = pool->number;
	pool->nr_frame = pool->nr_alloc;
}

/* Take a pool without blocks out of its class, and put it into the caller's list. */
static void pool_retire(struct pym_class *class, struct pym_pool *pool,
			struct list_head *empty)
{
	class->untouched -= class->capacity - pool->boundary;
	if (pool->group == PYM_GROUP_FULL)
		class->pools_full--;
	else
		class->pools_used--;
	WRITE_ONCE(pool->class, PYM_CLASS_NONE);
	list_move(&pool->link, empty);
}

/**
 * pym_class_resume_locked() - the reverse of pym_class_hold_locked()
 * @class: its class
 * @pool: the pool, still a primary face
 * @empty: a list: a pool that has no block and no other faces goes there, without a class
 */
void pym_class_resume_locked(struct pym_class *class, struct pym_pool *pool,
			     struct list_head *empty)
{
	lockdep_assert_held(&class->lock);

	if (pool->next_face == pool->number)
		pool->next_face = 0;
	pool->role = PYM_POOL_PLAIN;
	if (pool->next_face || pool->nr_alloc)
		pool_regroup(class, pool);
	else
		pool_retire(class, pool, empty);
}

/**
 * pym_class_touch_locked() - count all blocks of a pool as handed out before
 * @class: its class
 * @pool: the pool
 */
void pym_class_touch_locked(struct pym_class *class, struct pym_pool *pool)
{
	class->untouched -= class->capacity - pool->boundary;
	pool->boundary = class->capacity;
}

/**
 * pym_class_unface_locked() - what is to be done when a spent face has left its ring
 * @class: its class
 * @pool: what pym_face_leave_locked() has returned
 * @empty: as for pym_class_resume_locked()
 */
void pym_class_unface_locked(struct pym_class *class, struct pym_pool *pool,
			     struct list_head *empty)
{
	if (pool && !pool->nr_alloc)
		pool_retire(class, pool, empty);
}

/* The bits of a word of the bitmap that are those of the blocks from @first to @end. */
static unsigned long word_bits(unsigned int word, unsigned int first, unsigned int end)
{
	first = max(first, word * 64);
	end = min(end, word * 64 + 64);
	return first < end ? pym_bits(first % 64, end - first) : 0;
}

/* The bits of a word of the bitmap that are those of blocks which are not untouched. */
static unsigned long pool_touched_word(const struct pym_class *class,
				       const struct pym_pool *pool, unsigned int word)
{
	unsigned int start = pym_pool_start(class, pool), end = start + pool->boundary;

	if (end <= class->capacity)
		return word_bits(word, start, end);
	return word_bits(word, start, class->capacity) |
	       word_bits(word, 0, end - class->capacity);
}

/* Take the @nr free blocks that lie first in the pool; it has at least so many. */
static u64 *pool_take_free(const struct pym_class *class, struct pym_pool *pool, u64 *refs,
			   unsigned int nr)
{
	const bool all_touched = pool->boundary == class->capacity;
	const unsigned int size = class->size;
	u64 at = pym_pool_offset(pool);
	unsigned int word;

	for (word = 0; nr; word++, at += 64 * size) {
		unsigned long free = pool->free[word], bits;

		if (!all_touched)
			free &= pool_touched_word(class, pool, word);
		for (bits = free; bits && nr; bits &= bits - 1, nr--)
			*refs++ = at + __ffs64(bits) * size;
		pool->free[word] ^= free ^ bits;
	}
	return refs;
}

/* Mark blocks as allocated.  As bitmap_clear(), but without a call. */
static void pool_clear_bits(struct pym_pool *pool, unsigned int first, unsigned int nr)
{
	unsigned long *word = &pool->free[first / 64];
	unsigned int here = 64 - first % 64;

	if (nr <= here) {
		*word &= ~(~0UL >> (64 - nr) << first % 64);
		return;
	}
	*word++ &= ~(~0UL << first % 64);
	for (nr -= here; nr > 64; nr -= 64)
		*word++ = 0;
	*word &= ~(~0UL >> (64 - nr));
}

/* Write the refs of the @nr blocks from @first on to @refs.  Returns where the next one goes. */
static __always_inline u64 *pool_write_refs(const struct pym_class *class,
					    const struct pym_pool *pool, u64 *refs,
					    unsigned int first, unsigned int nr)
{
	const unsigned int size = class->size;
	u64 at = pym_pool_offset(pool) + first * size;

	/*
	 * The counting of the loop would cost more than the store.  8 is a cache line of
	 * refs; more would only make the code longer.
	 */
#pragma GCC unroll 8
	for (; nr; nr--, at += size)
		*refs++ = at;
	return refs;
}

/* Take untouched blocks in turn, round the end of the pool; it has at least @nr. */
static void pool_take_untouched(const struct pym_class *class, struct pym_pool *pool,
				u64 *refs, unsigned int nr)
{
	unsigned int first = pym_pool_start(class, pool) + pool->boundary, row;

	pool->boundary += nr;
	if (first >= class->capacity)
		first -= class->capacity;
	/* At most twice: up to the end of the pool, and from its beginning on. */
	for (; nr; nr -= row, first = 0) {
		row = min(nr, class->capacity - first);
		pool_clear_bits(pool, first, row);
		refs = pool_write_refs(class, pool, refs, first, row);
	}
}

/**
 * pym_class_add_full_locked() - give an empty pool its class, and allocate all its blocks
 * @class: the class
 * @pool: as for pym_class_add_locked()
 * @number: the class's number
 * @pinned: it is for pinned blocks only
 * @refs: out: where the refs of its blocks go, in turn
 *
 * As pym_class_add_locked() and then pym_class_take_locked(), without a list in between.
 */
void pym_class_add_full_locked(struct pym_class *class, struct pym_pool *pool, u8 number,
			       bool pinned, u64 *refs)
{
	const unsigned int capacity = class->capacity;
	const unsigned int start = pym_pool_start(class, pool);

	lockdep_assert_held(&class->lock);

	pool_begin(pool, number, pinned, PYM_GROUP_FULL, capacity);
	pool_clear_bits(pool, 0, capacity);
	refs = pool_write_refs(class, pool, refs, start, capacity - start);
	pool_write_refs(class, pool, refs, 0, start);
	class->pools_full++;
	class->blocks += capacity;
	class->nr_allocs += capacity;
}

/* Take up to @nr blocks: those that are free, then those that are untouched. */
static unsigned int pool_take(struct pym_heap *heap, struct pym_class *class,
			      struct pym_pool *pool, u64 *refs, unsigned int nr)
{
	unsigned int old = min_t(unsigned int, nr, pool->boundary - pool->nr_alloc);
	unsigned int fresh = min(nr - old, class->capacity - pool->boundary);

	if (unlikely(pool->next_face))
		return pym_frame_take(heap, class, pool, refs, nr);
	pool->nr_alloc += old + fresh;
	if (old)
		refs = pool_take_free(class, pool, refs, old);
	if (fresh) {
		class->untouched -= fresh;
		pool_take_untouched(class, pool, refs, fresh);
	}
	return old + fresh;
}

/**
 * pym_class_clone() - copy the counts and the seed of a class to that of a clone
 * @class: the class
 * @child: the same class of the clone
 */
void pym_class_clone(const struct pym_class *class, struct pym_class *child)
{
	child->pools_used = class->pools_used;
	child->pools_full = class->pools_full;
	child->faces = class->faces;
	child->nr_spent = class->nr_spent;
	child->nr_meshed = class->nr_meshed;
	child->blocks = class->blocks;
	child->untouched = class->untouched;
	/* Its pools have the same numbers, so the same blocks are their first ones. */
	child->seed = class->seed;
	child->nr_allocs = class->nr_allocs;
	child->nr_frees = class->nr_frees;
}

/**
 * pym_class_link() - put a cloned pool into the list of its fullness
 * @class: its class
 * @pool: the pool
 */
void pym_class_link(struct pym_class *class, struct pym_pool *pool)
{
	if (pym_pool_is_face(pool)) {
		if (!pool->nr_alloc)
			list_add(&pool->link, &class->spent);
	} else if (pool->group != PYM_GROUP_FULL) {
		list_add(&pool->link, pool_list(class, pool, pool->group));
	}
}

static struct pym_pool *fullest_used_pool(struct pym_class *class, bool pinned)
{
	int group;

	if (pinned)
		return list_first_entry_or_null(&class->pinned, struct pym_pool, link);
	for (group = PYM_GROUPS - 1; group >= 0; group--)
		if (!list_empty(&class->partial[group]))
			return list_first_entry(&class->partial[group],
						struct pym_pool, link);
	return NULL;
}

/**
 * pym_class_take_locked() - allocate blocks from the class's used pools
 * @heap: the heap
 * @class: the class
 * @refs: where the refs go
 * @nr: how many are wanted
 * @pinned: from pools for pinned blocks, or from the others
 *
 * The fullest pools serve first (CPython takes the fullest arena; this keeps
 * its rule and extends it to pools).
 *
 * Return: how many were allocated.
 */
unsigned int pym_class_take_locked(struct pym_heap *heap, struct pym_class *class, u64 *refs,
				   unsigned int nr, bool pinned)
{
	unsigned int done = 0;

	lockdep_assert_held(&class->lock);

	while (done < nr) {
		struct pym_pool *pool = fullest_used_pool(class, pinned);
		unsigned int taken;

		if (!pool)
			break;
		taken = pool_take(heap, class, pool, refs + done, nr - done);
		pool_regroup(class, pool);
		done += taken;
	}
	class->blocks += done;
	class->nr_allocs += done;
	return done;
}

/*
 * Mark blocks as free, as long as the refs from @next on name blocks of @pool.
 * Returns the first one that does not, or @end.
 */
static __always_inline const u64 *pool_mark(const struct pym_class *class,
					    struct pym_pool *pool, const u64 *next,
					    const u64 *end)
{
	const u64 start = round_down(*next, PYMALLOC_POOL_SIZE);
	const u32 inverse = class->inverse;

	do {
		u64 offset = *next - start, position;

		if (offset >= PYMALLOC_POOL_SIZE)
			break;
		position = pym_block_position(inverse, offset);
		/* Behind the last block there is at most a part of one: its bit is set. */
		if ((u32)position >= inverse || __test_and_set_bit(position >> 32, pool->free))
			break;
	} while (++next != end);
	return next;
}

/* A face has lost blocks. */
static void face_give(struct pym_heap *heap, struct pym_class *class, struct pym_pool *pool,
		      unsigned int nr)
{
	struct pym_pool *primary = pym_face_primary(heap, pool);

	primary->nr_frame -= nr;
	if (pool != primary && !pool->nr_alloc)
		pym_face_spend_locked(class, pool);
	pool_regroup(class, primary);
}

/* Count @nr blocks of a pool, which have been marked as free, and move the pool. */
static __always_inline void pool_give(struct pym_heap *heap, struct pym_class *class,
				      struct pym_pool *pool, unsigned int nr,
				      struct list_head *empty)
{
	pool->nr_alloc -= nr;
	if (unlikely(pool->next_face))
		face_give(heap, class, pool, nr);
	else if (pool->nr_alloc)
		pool_regroup(class, pool);
	else
		pool_retire(class, pool, empty);
}

/**
 * pym_class_give_locked() - free blocks of one class
 * @heap: the heap
 * @class: the class
 * @pool: the pool of the class that the batch's next ref points into
 * @batch: the batch; its refs are processed, from the next one on, as long as they
 *	lie in pools of the class; at least one is
 *
 * Context: Under RCU.  Holds @class->lock.
 */
void pym_class_give_locked(struct pym_heap *heap, struct pym_class *class,
			   struct pym_pool *pool, struct pym_batch *batch)
{
	const u8 number = READ_ONCE(pool->class);
	const u64 *first = batch->refs + batch->done, *end = batch->refs + batch->nr;
	const u64 *next = first;
	unsigned int bad = 0;

	lockdep_assert_held(&class->lock);

	do {
		const u64 *after = pool_mark(class, pool, next, end);

		if (likely(after != next)) {
			pool_give(heap, class, pool, after - next, &batch->empty);
			next = after;
		} else {
			batch->status[next - batch->refs] = pym_pool_find_block(class, pool, *next);
			next++;
			bad++;
			if (batch->until_bad)
				end = next;
		}
		if (next == end)
			break;
		pool = pym_pool_find(heap, *next);
	} while (pool && READ_ONCE(pool->class) == number);

	batch->done += next - first;
	batch->bad += bad;
	batch->many_spent |= class->nr_spent >= SPENT_MAX;
	class->blocks -= next - first - bad;
	class->nr_frees += next - first - bad;
}

/* The class of a pool; entry 0, which is no class, if it is not a pool of blocks. */
static struct pym_class *pool_class(struct pym_heap *heap, const struct pym_pool *pool)
{
	return pym_class_of(heap, READ_ONCE(pool->class));
}

/**
 * pym_pool_class_lock() - lock a pool's size class
 * @heap: the heap
 * @pool: the pool, found under RCU
 *
 * The pool can get or lose its class until the lock of that class is held: recheck, and
 * try again with the new class.
 *
 * Context: Under RCU.
 * Return: the class, locked; its size is 0 if the pool is not a pool of blocks.
 */
struct pym_class *pym_pool_class_lock(struct pym_heap *heap, struct pym_pool *pool)
	__acquires(class_lock)
{
	for (;;) {
		struct pym_class *class = pool_class(heap, pool);

		spin_lock(&class->lock);
		if (class == pool_class(heap, pool))
			return class;
		spin_unlock(&class->lock);
	}
}

/**
 * pym_pool_lock_at() - find the pool at an offset, and lock its size class
 * @heap: the heap
 * @offset: any offset
 * @pool: out: the pool; NULL if it has no record
 *
 * Who is not in the gate looks pools up by this: a record that has been replaced by another
 * one (repack.c) has no class, either.
 *
 * Context: Under RCU.  Takes the lock of the class.
 * Return: the class, as pym_pool_class_lock(); that of no size without a pool.
 */
struct pym_class *pym_pool_lock_at(struct pym_heap *heap, u64 offset, struct pym_pool **pool)
	__acquires(class_lock)
{
	struct pym_class *class;

	while ((*pool = pym_pool_find(heap, offset))) {
		class = pym_pool_class_lock(heap, *pool);
		if (class->size || *pool == pym_pool_find(heap, offset))
			return class;
		spin_unlock(&class->lock);
	}
	class = &heap->classes[PYM_CLASS_NONE];
	spin_lock(&class->lock);
	return class;
}

/**
 * pym_pool_withhold() - hand out no more blocks of a page with a memory error
 * @heap: the heap
 * @offset: where the page is; nothing happens if that is not in a pool of blocks
 *
 * Context: Any that may take the locks of size classes.
 */
void pym_pool_withhold(struct pym_heap *heap, u64 offset)
{
	struct pym_class *class;
	struct pym_pool *pool;

	rcu_read_lock();
	class = pym_pool_lock_at(heap, offset, &pool);
	if (class->size)
		pym_class_withhold_locked(heap, class, pool);
	spin_unlock(&class->lock);
	rcu_read_unlock();
}

/**
 * pym_block_is_pinned() - does the page of a block never change?
 * @heap: the heap
 * @ref: a block, or any other offset
 *
 * Return: true if so.
 */
bool pym_block_is_pinned(struct pym_heap *heap, u64 ref)
{
	struct pym_pool *pool;
	bool pinned;

	rcu_read_lock();
	pool = pym_pool_find(heap, ref);
	pinned = pool && pool->role == PYM_POOL_PINNED;
	rcu_read_unlock();
	return pinned;
}

/**
 * pym_block_size() - the size of a block
 * @heap: the heap
 * @ref: any offset
 *
 * Context: Any that may take the locks of size classes.
 * Return: its bytes; 0 if no allocated block starts there.
 */
u64 pym_block_size(struct pym_heap *heap, u64 ref)
{
	struct pym_class *class;
	struct pym_pool *pool;
	u64 size = 0;

	rcu_read_lock();
	class = pym_pool_lock_at(heap, ref, &pool);
	if (class->size && pym_pool_find_block(class, pool, ref) == PYMALLOC_REF_OK)
		size = class->size;
	spin_unlock(&class->lock);
	rcu_read_unlock();
	return size;
}
