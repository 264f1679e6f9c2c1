// SPDX-License-Identifier: GPL-2.0
/*
 * Pools and their blocks.
 *
 * A block's state is a bit and the pool's boundary: from the boundary on it is
 * untouched, below it the bit says free or allocated.  Everything here runs
 * under the class's lock and moves blocks by words of the bitmap.
 */
#include <linux/bitops.h>
#include <linux/string.h>

#include "core.h"

/**
 * pym_class_init() - prepare a size class
 * @class: the class
 * @size: bytes of its blocks, a multiple of 8
 */
void pym_class_init(struct pym_class *class, u32 size)
{
	unsigned int group;

	spin_lock_init(&class->lock);
	class->size = size;
	class->inverse = 65536 / (size / PYMALLOC_BLOCK_MIN) + 1;
	class->capacity = PYMALLOC_POOL_SIZE / size;
	class->group_scale = DIV_ROUND_UP(65536 * PYM_GROUPS, class->capacity);
	for (group = 0; group < PYM_GROUPS; group++)
		INIT_LIST_HEAD(&class->partial[group]);
}

/**
 * pym_pool_group() - where a pool's fullness puts it
 * @class: its class
 * @pool: the pool
 *
 * Return: an index of @class->partial, or PYM_GROUP_FULL.
 */
u8 pym_pool_group(const struct pym_class *class, const struct pym_pool *pool)
{
	/* nr_alloc * PYM_GROUPS / capacity; exact where it counts, at full. */
	return pool->nr_alloc * class->group_scale >> 16;
}

/* Count the pool where its fullness puts it, and move it there. */
static void pool_regroup(struct pym_class *class, struct pym_pool *pool)
{
	u8 group = pym_pool_group(class, pool);

	if (group == pool->group)
		return;

	if (pool->group == PYM_GROUP_FULL) {
		class->pools_full--;
		class->pools_used++;
	} else if (group == PYM_GROUP_FULL) {
		class->pools_full++;
		class->pools_used--;
	}
	pool->group = group;
	list_del_init(&pool->link);
	if (group != PYM_GROUP_FULL)
		list_add(&pool->link, &class->partial[group]);
}

/**
 * pym_class_add_locked() - give an empty pool its class
 * @class: the class
 * @pool: a pool with a page that nobody else can reach
 * @number: the class's number, at most PYMALLOC_NR_CLASSES
 *
 * All its blocks are untouched.
 */
void pym_class_add_locked(struct pym_class *class, struct pym_pool *pool, u8 number)
{
	lockdep_assert_held(&class->lock);

	memset(pool->free, 0, sizeof(pool->free));
	pool->nr_alloc = 0;
	pool->boundary = 0;
	pool->group = 0;
	WRITE_ONCE(pool->class, number);
	list_add_tail(&pool->link, &class->partial[0]);
	class->pools_used++;
	class->untouched += class->capacity;
}

/* Take the class from a pool without blocks, and leave it to the caller. */
static void pool_retire(struct pym_class *class, struct pym_pool *pool,
			struct list_head *empty)
{
	class->untouched -= class->capacity - pool->boundary;
	class->pools_used--;
	WRITE_ONCE(pool->class, PYM_CLASS_NONE);
	list_move(&pool->link, empty);
}

/* Take up to @nr blocks: those that are free, then those that are untouched. */
static unsigned int pool_take(struct pym_class *class, struct pym_pool *pool,
			      u64 *refs, unsigned int nr)
{
	const u64 base = pym_pool_offset(pool);
	const unsigned int size = class->size;
	unsigned int done = 0, word, fresh;
	u64 at;

	for (word = 0; word * 64 < pool->boundary && done < nr; word++) {
		u64 bits = pool->free[word];

		at = base + word * 64 * size;
		for (; bits && done < nr; bits &= bits - 1)
			refs[done++] = at + __ffs64(bits) * size;
		pool->free[word] = bits;
	}

	fresh = min(nr - done, class->capacity - pool->boundary);
	at = base + pool->boundary * size;
	pool->boundary += fresh;
	class->untouched -= fresh;
	for (; fresh; fresh--, at += size)
		refs[done++] = at;

	pool->nr_alloc += done;
	return done;
}

/**
 * pym_class_clone() - take over the counts of another heap's class
 * @class: the class
 * @child: the same class of the clone
 */
void pym_class_clone(const struct pym_class *class, struct pym_class *child)
{
	child->pools_used = class->pools_used;
	child->pools_full = class->pools_full;
	child->blocks = class->blocks;
	child->untouched = class->untouched;
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
	if (pool->group != PYM_GROUP_FULL)
		list_add(&pool->link, &class->partial[pool->group]);
}

static struct pym_pool *fullest_used_pool(struct pym_class *class)
{
	int group;

	for (group = PYM_GROUPS - 1; group >= 0; group--)
		if (!list_empty(&class->partial[group]))
			return list_first_entry(&class->partial[group],
						struct pym_pool, link);
	return NULL;
}

/**
 * pym_class_take_locked() - allocate blocks from the class's used pools
 * @class: the class
 * @refs: where the refs go
 * @nr: how many are wanted
 *
 * The fullest pools serve first (CPython takes the fullest arena; this keeps
 * its rule and extends it to pools).
 *
 * Return: how many were allocated.
 */
unsigned int pym_class_take_locked(struct pym_class *class, u64 *refs, unsigned int nr)
{
	unsigned int done = 0;

	lockdep_assert_held(&class->lock);

	while (done < nr) {
		struct pym_pool *pool = fullest_used_pool(class);
		unsigned int taken;

		if (!pool)
			break;
		taken = pool_take(class, pool, refs + done, nr - done);
		pool_regroup(class, pool);
		done += taken;
	}
	class->blocks += done;
	class->nr_allocs += done;
	return done;
}

/*
 * offset / block size.  Exact for all multiples of 8 below 4096 and all
 * classes; what is no multiple of the block size does not multiply back.
 */
static unsigned int block_index(unsigned int inverse, unsigned int offset)
{
	return (offset / PYMALLOC_BLOCK_MIN * inverse) >> 16;
}

/**
 * pym_pool_find_block() - say exactly what a ref names
 * @class: the pool's class
 * @pool: the pool that the ref points into
 * @ref: the ref
 *
 * Context: Holds @class->lock.
 * Return: PYMALLOC_REF_OK if it is an allocated block, else what is wrong.
 */
enum pymalloc_ref_status pym_pool_find_block(const struct pym_class *class,
					     const struct pym_pool *pool, u64 ref)
{
	unsigned int offset = ref & (PYMALLOC_POOL_SIZE - 1);
	unsigned int index = block_index(class->inverse, offset);

	lockdep_assert_held(&class->lock);

	if (index * class->size != offset || index >= class->capacity)
		return PYMALLOC_REF_MISALIGNED;
	if (index >= pool->boundary)
		return PYMALLOC_REF_UNTOUCHED;
	if (pool->free[index / 64] & BIT_ULL(index % 64))
		return PYMALLOC_REF_FREE;
	return PYMALLOC_REF_OK;
}

/**
 * pym_pool_give_locked() - free blocks of one pool
 * @class: the pool's class
 * @pool: the pool that the batch's next ref points into
 * @batch: the batch; from its next ref on those are dealt with that lie in the
 *	pool, at least one and as long as the pool has blocks
 */
void pym_pool_give_locked(struct pym_class *class, struct pym_pool *pool,
			  struct pym_batch *batch)
{
	/* In registers: a store to a status could be to anything. */
	const u64 *refs = batch->refs;
	u8 *status = batch->status;
	const unsigned int nr = batch->nr, allocated = pool->nr_alloc;
	const unsigned int boundary = pool->boundary, inverse = class->inverse;
	const unsigned int size = class->size;
	const u64 base = round_down(refs[batch->done], PYMALLOC_POOL_SIZE);
	unsigned int i, freed = 0;

	lockdep_assert_held(&class->lock);

	for (i = batch->done; i < nr && freed < allocated; i++) {
		u64 offset = refs[i] - base, *word, bit;
		unsigned int index;

		if (offset >= PYMALLOC_POOL_SIZE)
			break;
		index = block_index(inverse, offset);
		word = &pool->free[index / 64];
		bit = BIT_ULL(index % 64);
		if (likely(index * size == offset && index < boundary && !(*word & bit))) {
			*word |= bit;
			status[i] = PYMALLOC_REF_OK;
			freed++;
		} else {
			status[i] = pym_pool_find_block(class, pool, refs[i]);
		}
	}
	batch->bad += i - batch->done - freed;
	batch->done = i;
	pool->nr_alloc -= freed;
	class->blocks -= freed;
	class->nr_frees += freed;
	pool_regroup(class, pool);
	if (!pool->nr_alloc)
		pool_retire(class, pool, &batch->empty);
}
