// SPDX-License-Identifier: GPL-2.0
/*
 * Objects: batches are allocated and freed.  A size of up to 512 bytes is served by a
 * block: this file finds its class, gives the class new pools, and gives pools without
 * blocks back to their arenas.  A larger size is served by a run.
 */
#include <linux/err.h>
#include <linux/string.h>

#include "arena.h"
#include "bits.h"
#include "copy.h"
#include "mesh.h"
#include "object.h"
#include "ops.h"
#include "page.h"
#include "pool.h"
#include "quota.h"
#include "run.h"
#include "trace.h"
#include "trim.h"
#include "typetable.h"

/* The number of the class that serves a size of at most PYMALLOC_BLOCK_MAX. */
static u32 class_number(const struct pym_heap *heap, u64 size)
{
	return ALIGN(size, heap->alignment) / PYMALLOC_BLOCK_MIN;
}

/* Blocks of one class, which may be a type's, that are being allocated. */
struct wanted {
	struct pym_class *class;
	struct pym_type *type;
	u8 number;
	u32 flags;
	u64 *refs;
	unsigned int nr;
	unsigned int done;
};

static bool wants_pinned(const struct wanted *wanted)
{
	return wanted->flags & PYM_ALLOC_PINNED;
}

static void object_take_locked(struct pym_heap *heap, struct pym_class *class,
			       struct wanted *wanted)
{
	wanted->done += pym_class_take_locked(heap, class, wanted->refs + wanted->done,
					      wanted->nr - wanted->done, wants_pinned(wanted));
}

/* Give a pool its class, and take all of its blocks if so many are wanted. */
static void class_add_pool_locked(struct pym_class *class, struct pym_pool *pool,
				  struct wanted *wanted)
{
	bool pinned = wants_pinned(wanted);

	if (wanted->nr - wanted->done < class->capacity) {
		pym_class_add_locked(class, pool, wanted->number, pinned);
		return;
	}
	pym_class_add_full_locked(class, pool, wanted->number, pinned,
				  wanted->refs + wanted->done);
	wanted->done += class->capacity;
}

/*
 * Give busy pools, which have a page, their class, and take blocks of them.  Uses only as
 * many pools as are needed, because another task may have freed blocks meanwhile.
 * Returns the pools that have got the class.
 */
static u64 class_add(struct pym_heap *heap, struct pym_span span, struct wanted *wanted)
{
	struct pym_class *class = wanted->class;
	struct pym_pool *pool;
	unsigned int index;

	/* Before a ref is returned: the process reads the class here, without a lock. */
	pym_for_each_bit(index, span.bits)
		WRITE_ONCE(span.arena->map[index],
			   pym_class_shown(wanted->number, wants_pinned(wanted)));

	spin_lock(&heap->lock);
	span.arena->busy &= ~span.bits;
	spin_unlock(&heap->lock);

	spin_lock(&class->lock);
	object_take_locked(heap, class, wanted);
	span.bits = pym_lowest_bits(span.bits,
				    DIV_ROUND_UP(wanted->nr - wanted->done, class->capacity));
	pym_for_each_pool(pool, span) {
		class_add_pool_locked(class, pool, wanted);
		trace_pool_new(heap->id, pym_pool_offset(pool), class->size);
	}
	object_take_locked(heap, class, wanted);
	spin_unlock(&class->lock);
	return span.bits;
}

/*
 * How many pages to take before they are needed.  Many pages together cost less, and are
 * mapped together at the first access.  An eighth of the heap's pages is at most what
 * trim.c keeps in empty pools anyway; one arena less one pool is what one call can take.
 */
static unsigned int pages_ahead(struct pym_heap *heap)
{
	return min_t(u64, READ_ONCE(heap->pages) / 8, PYMALLOC_ARENA_POOLS - 1);
}

/* Give a class new pools for all missing blocks, or for some, and take those blocks. */
static int class_grow_once(struct pym_heap *heap, struct wanted *wanted)
{
	const struct pym_class *class = wanted->class;
	unsigned int want = DIV_ROUND_UP(wanted->nr - wanted->done, class->capacity);
	struct pym_span span, filled;
	int err;

	span = pym_pools_reserve(heap, wanted->type, want, pages_ahead(heap));
	if (IS_ERR(span.arena))
		return PTR_ERR(span.arena);
	filled.arena = span.arena;
	filled.bits = pym_lowest_bits(pym_pages_fill(heap, span, class->order, &err), want);
	if (filled.bits)
		span.bits &= ~class_add(heap, filled, wanted);
	pym_pools_release(heap, span);
	return filled.bits ? 0 : err;
}

/* Take blocks that the class has. */
static void class_take(struct pym_heap *heap, struct wanted *wanted)
{
	struct pym_class *class = wanted->class;

	spin_lock(&class->lock);
	object_take_locked(heap, class, wanted);
	spin_unlock(&class->lock);
}

/* The heap has met a limit: give back what can be, and try again. */
static int class_grow_at_limit(struct pym_heap *heap, struct wanted *wanted, int err)
{
	if (!pym_reclaim(heap))
		return err;
	class_take(heap, wanted);
	return wanted->done < wanted->nr ? class_grow_once(heap, wanted) : 0;
}

static int class_grow(struct pym_heap *heap, struct wanted *wanted)
{
	int err = class_grow_once(heap, wanted);

	if (err && err != -EINTR && pym_trim_gated(heap, 0))
		err = class_grow_once(heap, wanted);
	if (pym_error_is_limit(err))
		err = class_grow_at_limit(heap, wanted, err);
	return err;
}

static void take_wanted(struct pym_heap *heap, struct wanted *wanted, int *err)
{
	class_take(heap, wanted);
	while (wanted->done < wanted->nr && !*err)
		*err = class_grow(heap, wanted);
}

/* Allocate blocks of a type's own pools. */
static unsigned int alloc_typed_blocks(struct pym_heap *heap, u64 size, u32 flags, u64 *refs,
				       unsigned int nr, int *err)
{
	struct pym_type *type = pym_type_find(heap, flags >> PYM_ALLOC_TYPE_SHIFT);
	struct wanted wanted = { .type = type, .flags = flags, .refs = refs, .nr = nr };

	if (!type || !type->class.size || size != type->info.size) {
		*err = -EINVAL;
		return 0;
	}
	wanted.class = &type->class;
	wanted.number = PYMALLOC_NR_CLASSES + type->info.number;
	/* So that it stays when the gate is left. */
	atomic_inc(&type->users);
	take_wanted(heap, &wanted, err);
	atomic_dec(&type->users);
	return wanted.done;
}

static unsigned int alloc_blocks(struct pym_heap *heap, u64 size, u32 flags, u64 *refs,
				 unsigned int nr, int *err)
{
	struct wanted wanted = {
		.number = class_number(heap, size), .flags = flags, .refs = refs, .nr = nr,
	};

	if (unlikely(flags >> PYM_ALLOC_TYPE_SHIFT))
		return alloc_typed_blocks(heap, size, flags, refs, nr, err);
	wanted.class = &heap->classes[wanted.number];
	take_wanted(heap, &wanted, err);
	return wanted.done;
}

static unsigned int alloc_runs(struct pym_heap *heap, u64 size, u64 *refs,
			       unsigned int nr, int *err)
{
	unsigned int done;

	for (done = 0; done < nr; done++) {
		refs[done] = pym_run_alloc(heap, size, err);
		if (!refs[done])
			break;
	}
	return done;
}

/*
 * Free blocks, from the batch's next ref on, as long as they are of one class, whose lock
 * is taken once.  Returns false if the next ref is not in a pool of blocks.
 */
static bool free_in_class(struct pym_heap *heap, struct pym_batch *batch)
{
	struct pym_class *class;
	struct pym_pool *pool;
	bool found = false;

	rcu_read_lock();
	pool = pym_pool_find(heap, batch->refs[batch->done]);
	if (pool) {
		class = pym_pool_class_lock(heap, pool);
		found = class->size;
		if (found)
			pym_class_give_locked(heap, class, pool, batch);
		spin_unlock(&class->lock);
	}
	rcu_read_unlock();
	return found;
}

/* Give pools without blocks back to their arenas: they are empty from then on. */
static void free_pools(struct pym_heap *heap, struct list_head *empty)
{
	if (list_empty(empty))
		return;
	pym_pools_retire(heap, empty);
	pym_trim_excess(heap);
}

/*
 * The batch's next ref is not in a pool of blocks: free it if it is a large object.  That
 * leaves the gate, so that pools without blocks must have been given back before.
 */
static void free_elsewhere(struct pym_heap *heap, struct pym_batch *batch)
{
	u64 ref = batch->refs[batch->done];
	enum pymalloc_ref_status status = PYMALLOC_REF_RANGE;

	free_pools(heap, &batch->empty);
	if (ref >= PYMALLOC_ARENA_SIZE && ref < heap->window)
		status = pym_run_free(heap, ref);
	batch->status[batch->done++] = status;
	batch->bad += status != PYMALLOC_REF_OK;
}

/* Nothing in a sealed heap is freed. */
static void refuse_sealed(struct pym_batch *batch)
{
	batch->done = batch->until_bad ? min(batch->nr, 1U) : batch->nr;
	batch->bad = batch->done;
	memset(batch->status, PYMALLOC_REF_SEALED, batch->done);
}

static void free_batch(struct pym_heap *heap, struct pym_batch *batch)
{
	if (heap->sealed) {
		refuse_sealed(batch);
		return;
	}
	INIT_LIST_HEAD(&batch->empty);
	memset(batch->status, PYMALLOC_REF_OK, batch->nr);
	while (batch->done < batch->nr && !(batch->until_bad && batch->bad))
		if (!free_in_class(heap, batch))
			free_elsewhere(heap, batch);
	free_pools(heap, &batch->empty);
	if (batch->many_spent)
		pym_faces_reclaim_gated(heap);
}

static unsigned int free_gated(struct pym_heap *heap, const u64 *refs, u8 *status,
			       unsigned int nr)
{
	struct pym_batch batch = { .refs = refs, .status = status, .nr = nr };

	free_batch(heap, &batch);
	if (batch.bad)
		atomic64_add(batch.bad, &heap->nr_bad_refs);
	return batch.bad;
}

/**
 * pym_free() - free a batch of any mix of sizes
 * @heap: the heap
 * @refs: the refs
 * @status: out: an enum pymalloc_ref_status for each
 * @nr: how many
 *
 * Context: Sleeps.
 * Return: how many of them were bad.
 */
unsigned int pym_free(struct pym_heap *heap, const u64 *refs, u8 *status, unsigned int nr)
{
	unsigned int bad;

	down_read(&heap->gate);
	bad = free_gated(heap, refs, status, nr);
	up_read(&heap->gate);
	trace_free_batch(heap->id, nr, bad);
	return bad;
}

/**
 * pym_free_until_bad() - free a batch up to its first bad ref
 * @heap: the heap
 * @refs: the refs
 * @status: out: an enum pymalloc_ref_status for each ref up to that one
 * @nr: how many
 *
 * The heap does not count the bad ref: that is left to the caller, which may try to free
 * it again.
 *
 * Context: Sleeps.
 * Return: how many were freed; the next one, if there is one, is bad.
 */
unsigned int pym_free_until_bad(struct pym_heap *heap, const u64 *refs, u8 *status,
				unsigned int nr)
{
	struct pym_batch batch = {
		.refs = refs, .status = status, .nr = nr, .until_bad = true,
	};

	down_read(&heap->gate);
	free_batch(heap, &batch);
	up_read(&heap->gate);
	trace_free_batch(heap->id, batch.done, batch.bad);
	return batch.done - batch.bad;
}

/**
 * pym_free_blocks() - free blocks and nothing else
 * @heap: the heap
 * @refs: the refs; that of a large object is a bad one
 * @status: out: an enum pymalloc_ref_status for each
 * @nr: how many
 *
 * Gives no page back, so that it needs no mapping.  pym_trim_surplus() makes up for that.
 *
 * Context: Holds @heap->gate for reading, and does not leave it.
 * Return: how many of them were bad; the heap does not count them.
 */
unsigned int pym_free_blocks(struct pym_heap *heap, const u64 *refs, u8 *status,
			     unsigned int nr)
{
	struct pym_batch batch = { .refs = refs, .status = status, .nr = nr };

	if (heap->sealed) {
		refuse_sealed(&batch);
		return batch.bad;
	}
	INIT_LIST_HEAD(&batch.empty);
	memset(status, PYMALLOC_REF_OK, nr);
	while (batch.done < nr) {
		if (free_in_class(heap, &batch))
			continue;
		status[batch.done++] = PYMALLOC_REF_FOREIGN;
		batch.bad++;
	}
	pym_pools_retire(heap, &batch.empty);
	trace_free_batch(heap->id, nr, batch.bad);
	return batch.bad;
}

/* Clear blocks.  If one fails, free it and all after it.  Returns how many are left. */
static unsigned int zero_blocks(struct pym_heap *heap, u64 size, u64 *refs,
				unsigned int nr, int *err)
{
	unsigned int done = 0;
	int failed = 0;
	u8 status;

	while (done < nr && !failed) {
		failed = pym_pages_zero(heap, refs[done], size);
		done += !failed;
	}
	if (!failed)
		return nr;
	if (failed == -EHWPOISON)
		pym_pool_withhold(heap, refs[done]);
	*err = failed;
	while (nr > done)
		free_gated(heap, &refs[--nr], &status, 1);
	return done;
}

/* Allocate cleared blocks; others instead of those on a page with a memory error. */
static unsigned int alloc_zeroed_blocks(struct pym_heap *heap, u64 size, u32 flags,
					u64 *refs, unsigned int nr, int *err)
{
	unsigned int done = 0, got;

	do {
		*err = 0;
		got = alloc_blocks(heap, size, flags, refs + done, nr - done, err);
		done += zero_blocks(heap, ALIGN(size, heap->alignment), refs + done, got, err);
	} while (*err == -EHWPOISON);
	return done;
}

static unsigned int alloc_gated(struct pym_heap *heap, u64 size, u32 flags, u64 *refs,
				unsigned int nr, int *err)
{
	*err = heap->sealed ? -EPERM : 0;
	if (*err)
		return 0;
	/* Runs are made of fresh pages, which are zero. */
	if (size > PYMALLOC_BLOCK_MAX && !(flags >> PYM_ALLOC_TYPE_SHIFT))
		return alloc_runs(heap, size, refs, nr, err);
	if (flags & PYM_ALLOC_ZERO)
		return alloc_zeroed_blocks(heap, size, flags, refs, nr, err);
	return alloc_blocks(heap, size, flags, refs, nr, err);
}

/**
 * pym_alloc() - allocate a batch of one size
 * @heap: the heap
 * @size: bytes of each, 1 to PYMALLOC_SIZE_MAX
 * @flags: PYM_ALLOC_*; a run is made of pages of its own, which are never meshed
 * @refs: where the refs go
 * @nr: how many
 * @err: out: why there are fewer: -ENOMEM, -ENOSPC (the heap's extent is used up),
 *	-EDQUOT, -EINTR, -EPERM (the heap is sealed), -EINVAL (no type of this size has this
 *	number, and pools of its own); else 0
 *
 * Context: Sleeps.
 * Return: how many were allocated.
 */
unsigned int pym_alloc(struct pym_heap *heap, u64 size, u32 flags, u64 *refs,
		       unsigned int nr, int *err)
{
	unsigned int done;

	down_read(&heap->gate);
	done = alloc_gated(heap, size, flags, refs, nr, err);
	up_read(&heap->gate);
	trace_alloc_batch(heap->id, size, nr, done);
	return done;
}

/**
 * pym_usable() - the size of an object
 * @heap: the heap
 * @ref: any offset
 *
 * Return: the bytes that a program may use; 0 if no allocated object starts there.
 */
u64 pym_usable(struct pym_heap *heap, u64 ref)
{
	return pym_block_size(heap, ref) ?: pym_run_size(heap, ref);
}

static int resize_move_once(struct pym_heap *heap, u64 *ref, u64 old_size, u64 size)
{
	u32 flags = pym_block_is_pinned(heap, *ref) ? PYM_ALLOC_PINNED : 0;
	u8 status;
	int err;
	u64 to;

	if (!alloc_gated(heap, size, flags, &to, 1, &err))
		return err;
	err = pym_pages_copy(heap, to, *ref, min(size, old_size));
	/* Another thread may have freed it while it was copied. */
	if (!err && free_gated(heap, ref, &status, 1))
		err = -EBADSLT;
	if (err == -EAGAIN)
		pym_pool_withhold(heap, to);
	if (err)
		free_gated(heap, &to, &status, 1);
	else
		*ref = to;
	return err;
}

/*
 * Move an object.  A new place with a memory error is withheld and another one tried, so
 * that no such place is found twice, and the loop ends.
 */
static int resize_move(struct pym_heap *heap, u64 *ref, u64 old_size, u64 size)
{
	int err;

	do
		err = resize_move_once(heap, ref, old_size, size);
	while (err == -EAGAIN);
	return err;
}

static int resize_gated(struct pym_heap *heap, u64 *ref, u64 size)
{
	u64 old_size = pym_usable(heap, *ref);
	int err;

	if (heap->sealed)
		return -EPERM;
	if (!old_size)
		return -EBADSLT;
	if (size <= old_size && size > PYMALLOC_BLOCK_MAX)
		return pym_run_shrink(heap, *ref, size);
	/*
	 * CPython's rule: a block that shrinks stays where it is, unless moving it saves
	 * a quarter of its size or more.
	 */
	if (size <= old_size &&
	    (size * 4 > old_size * 3 || ALIGN(size, heap->alignment) == old_size))
		return 0;
	err = resize_move(heap, ref, old_size, size);
	/* If an object that shrinks cannot move, it stays where it is. */
	if (size <= old_size && err != -EBADSLT)
		return 0;
	return err;
}

/**
 * pym_resize() - give an object another size
 * @heap: the heap
 * @ref: in: the object; out: where it is now
 * @size: its new size, 1 to PYMALLOC_SIZE_MAX
 *
 * Context: Sleeps.
 * Return: 0; or with the object as it was -EBADSLT (no object starts there),
 *	-EHWPOISON (its memory has an error and cannot be copied), -ENOMEM, -ENOSPC,
 *	-EDQUOT, -EINTR or -EPERM (the heap is sealed).
 */
int pym_resize(struct pym_heap *heap, u64 *ref, u64 size)
{
	int err;

	down_read(&heap->gate);
	err = resize_gated(heap, ref, size);
	up_read(&heap->gate);
	return err;
}
