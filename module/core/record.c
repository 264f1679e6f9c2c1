// SPDX-License-Identifier: GPL-2.0
/*
 * Records: a struct pym_pool exists exactly as long as its pool has a page.  Those of a dead
 * heap stay without one.
 *
 * It is made before it gets the page, and goes with the page, or when the pool needs one
 * with a longer bitmap.  So a heap that has become small has few of them, whatever
 * it once had: what stays in each arena is a pointer for each pool.  The length of the
 * bitmap follows the class for which the page was taken.
 *
 * The records of pages that are taken from the system together are one piece of memory, a
 * sheet.  Its memory, and the charge for it, goes with its last record.  One object of the
 * slab allocator for each record would cost a page's first use 200 instructions more,
 * half of them for the memory cgroup.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "quota.h"
#include "record.h"

#define SHIFTS	(PYM_SHEET_SHIFT_MAX + 1)

static struct kmem_cache *sheet_caches[PYM_RECORD_ORDERS][SHIFTS];

static size_t sheet_size(unsigned int order, unsigned int shift)
{
	return sizeof(struct pym_sheet) + (pym_record_size(order) << shift);
}

/**
 * pym_sheet_bytes() - what records that are allocated together take
 * @order: the bitmap of each has 2 to the power of @order words
 * @shift: there are 2 to the power of @shift of them
 *
 * Return: the bytes, with what the slab allocator rounds up: it takes the smallest number of
 *	pages, a power of two, of which at most a 16th is left.
 */
unsigned long pym_sheet_bytes(unsigned int order, unsigned int shift)
{
	unsigned long slab = PYMALLOC_POOL_SIZE, size = sheet_size(order, shift);

	while (slab % size > slab / 16)
		slab *= 2;
	return slab / (slab / size);
}

/**
 * pym_record_caches_init() - make the slab caches for struct pym_pool
 *
 * Return: 0 or -ENOMEM.
 */
int pym_record_caches_init(void)
{
	unsigned int order, shift;
	char name[32];

	/* The longest bitmap has a bit for each of the smallest blocks. */
	static_assert(64 << (PYM_RECORD_ORDERS - 1) == PYMALLOC_POOL_SIZE / PYMALLOC_BLOCK_MIN);

	for (order = 0; order < PYM_RECORD_ORDERS; order++)
		for (shift = 0; shift < SHIFTS; shift++) {
			snprintf(name, sizeof(name), "pymalloc_pools_%u_%u", 1 << order,
				 1 << shift);
			sheet_caches[order][shift] =
				kmem_cache_create(name, sheet_size(order, shift), 0, SLAB_ACCOUNT,
						  NULL);
			if (!sheet_caches[order][shift]) {
				pym_record_caches_exit();
				return -ENOMEM;
			}
		}
	return 0;
}

/**
 * pym_record_caches_exit() - the reverse of pym_record_caches_init()
 *
 * Context: No heap exists, and rcu_barrier() has been called since the last one ended.
 */
void pym_record_caches_exit(void)
{
	unsigned int order, shift;

	for (order = 0; order < PYM_RECORD_ORDERS; order++)
		for (shift = 0; shift < SHIFTS; shift++) {
			kmem_cache_destroy(sheet_caches[order][shift]);
			sheet_caches[order][shift] = NULL;
		}
}

/* Allocate the records of one sheet.  Returns false if there is no memory. */
static bool sheet_make(unsigned int order, unsigned int shift, gfp_t gfp, struct pym_pool **pools)
{
	struct pym_sheet *sheet = kmem_cache_alloc(sheet_caches[order][shift], gfp);
	const size_t size = pym_record_size(order);
	unsigned int place;
	char *record;

	if (!sheet)
		return false;
	atomic_set(&sheet->live, BIT(1 << shift) - 1);
	sheet->order = order;
	sheet->shift = shift;
	record = (char *)(sheet + 1);
	for (place = 0; place < 1U << shift; place++, record += size) {
		pools[place] = (struct pym_pool *)record;
		*pools[place] = (struct pym_pool) { .place = place, .order = order };
	}
	return true;
}

/* Charge and allocate the records of one sheet. */
static int sheet_new(struct pym_heap *heap, unsigned int order, unsigned int shift,
		     struct pym_pool **pools)
{
	unsigned long bytes = pym_sheet_bytes(order, shift);
	int err = pym_meta_charge(heap, bytes);

	if (err)
		return err;
	if (sheet_make(order, shift, PYM_GFP, pools))
		return 0;
	pym_meta_uncharge(heap, bytes);
	return -ENOMEM;
}

/**
 * pym_record_make() - allocate a record that is not charged yet
 * @order: its bitmap has 2 to the power of @order words
 * @gfp: how
 *
 * Context: Any that @gfp allows.
 * Return: the record, as of pym_records_new(); or NULL.
 */
struct pym_pool *pym_record_make(unsigned int order, gfp_t gfp)
{
	struct pym_pool *pool;

	return sheet_make(order, 0, gfp, &pool) ? pool : NULL;
}

/**
 * pym_record_charge() - charge a record of pym_record_make(), even beyond a limit
 * @heap: the heap that it belongs to from now on
 * @pool: the record
 *
 * Context: Holds @heap->gate.
 */
void pym_record_charge(struct pym_heap *heap, struct pym_pool *pool)
{
	pym_meta_force(heap, pym_sheet_bytes(pool->order, 0));
}

/**
 * pym_records_new() - charge and allocate records
 * @heap: the heap
 * @order: each has a bitmap of 2 to the power of @order words
 * @pools: out: the records, all zero but for @order and @place; the bitmaps are not set;
 *	they must go to pools of one arena
 * @nr: how many, at least 1
 *
 * Context: Sleeps.  As pym_meta_charge().
 * Return: 0, or an error as of pym_meta_charge() and there are none.
 */
int pym_records_new(struct pym_heap *heap, unsigned int order, struct pym_pool **pools,
		    unsigned int nr)
{
	unsigned int done = 0, shift;
	int err;

	while (done < nr) {
		shift = min_t(unsigned int, ilog2(nr - done), PYM_SHEET_SHIFT_MAX);
		err = sheet_new(heap, order, shift, pools + done);
		if (err)
			goto retire;
		done += 1 << shift;
	}
	return 0;

retire:
	while (done--)
		pym_record_retire(heap, pools[done]);
	return err;
}

static void sheet_free_rcu(struct rcu_head *rcu)
{
	struct pym_sheet *sheet = pym_sheet_of(container_of(rcu, struct pym_pool, rcu));

	kmem_cache_free(sheet_caches[sheet->order][sheet->shift], sheet);
}

/**
 * pym_record_retire() - free a record that has just been removed from its arena, or that
 *	has never been in one
 * @heap: the heap
 * @pool: the record.  Its class is PYM_CLASS_NONE, so that a task that has found it under
 *	RCU leaves it alone
 *
 * Context: Any, but otherwise as pym_meta_charge().
 */
void pym_record_retire(struct pym_heap *heap, struct pym_pool *pool)
{
	struct pym_sheet *sheet = pym_sheet_of(pool);

	/* Pairs with itself: the last one comes after all that others did to their records. */
	if (atomic_fetch_andnot(BIT(pool->place), &sheet->live) != BIT(pool->place))
		return;
	pym_meta_uncharge(heap, pym_sheet_bytes(sheet->order, sheet->shift));
	call_rcu(&pool->rcu, sheet_free_rcu);
}

/**
 * pym_record_unmake() - the reverse of pym_record_make()
 * @pool: the record, which is not charged
 *
 * Context: Any.
 */
void pym_record_unmake(struct pym_pool *pool)
{
	call_rcu(&pool->rcu, sheet_free_rcu);
}

/**
 * pym_record_copy() - make a record one of the same pool, or of its clone
 * @to: the record, in no list; it has a bitmap as long as that of @from
 * @from: the other one
 *
 * Context: Any in which @from does not change.
 */
void pym_record_copy(struct pym_pool *to, const struct pym_pool *from)
{
	unsigned int place = to->place;

	memcpy(to, from, pym_record_size(from->order));
	to->place = place;
	INIT_LIST_HEAD(&to->link);
}
