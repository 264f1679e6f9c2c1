// SPDX-License-Identifier: GPL-2.0
/*
 * Idle pages: since when the pages of a heap have not been touched.
 *
 * The processor notes in a page table entry that a page was accessed, but no function that
 * a module may call clears that note for one address space, and DAMON cannot be called by
 * modules.  So pages are taken out of the page tables in rounds, and a fault tells which of
 * them are touched again.  Between two rounds, a page that is in use costs one fault.  One
 * that is not costs nothing: as long as it is not mapped, it need not be taken out again.
 *
 * A round, for each pool, and a fault do this:
 *
 *	round				fault
 *	1. the pool's word = now	1. lock the page
 *	2. look the page up		2. see that it is still there
 *	3. wait for its lock		3. the pool's word = 0
 *	4. unmap it			4. map the page, unlock it
 *
 * A page that is mapped when both have ended has a word of 0.  If the round misses the fault's
 * lock, its time is in the word before the fault writes 0 there: the barriers in idle_mark()
 * and pym_idle_touch() see to that.  If it finds the lock, it unmaps what the fault has
 * mapped.  If it finds another page, because the fault maps one that has just come, that page
 * came after the round had written its time.
 *
 * In the other case, that the fault is over before the page is unmapped, a word of 0 may stay
 * at a page that is not mapped.  It counts as touched for a round longer.
 *
 * Locks: @lock, upkeep->busy, mmap_lock, page lock.  The thread of upkeep only tries @lock.
 */
#include <linux/bitops.h>
#include <linux/err.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>

#include "idle.h"
#include "service_heap.h"

#define IDLE_BYTES	roundup_pow_of_two(sizeof(struct pym_idle))

/*
 * Pools of a record, which is a page: 4 MiB of the window.  So much is done with the mappings
 * held.
 */
#define RECORD_POOLS	(PAGE_SIZE / sizeof(u32))
#define RECORD_WINDOW	((u64)RECORD_POOLS << PYM_POOL_SHIFT)

static struct pym_idle *idle_of(struct pym_service_heap *sheap)
{
	/* Pairs with the cmpxchg in idle_get(). */
	return smp_load_acquire(&sheap->idle);
}

static struct pym_idle *idle_get(struct pym_service_heap *sheap)
{
	struct pym_idle *idle = idle_of(sheap), *fresh;
	int err;

	if (idle)
		return idle;
	err = pym_heap_add_meta(&sheap->heap, IDLE_BYTES);
	if (err)
		return ERR_PTR(err);
	fresh = kzalloc(sizeof(*fresh), PYM_GFP);
	if (fresh) {
		xa_init_flags(&fresh->records, XA_FLAGS_ACCOUNT);
		mutex_init(&fresh->lock);
		idle = cmpxchg(&sheap->idle, NULL, fresh);
		if (!idle)
			return fresh;
	}
	kfree(fresh);
	pym_heap_remove_meta(&sheap->heap, IDLE_BYTES);
	return idle ?: ERR_PTR(-ENOMEM);
}

/* The word of a pool, by its place in the window; NULL if there is no record. */
static u32 *idle_word(struct pym_idle *idle, u64 pool)
{
	u32 *record = xa_load(&idle->records, pool / RECORD_POOLS);

	return record ? record + pool % RECORD_POOLS : NULL;
}

/*
 * The first of the pools is touched; with @note, note that.  Returns how many of them from the
 * first one on count as touched.  An arena's words are in one record.
 */
static unsigned int idle_touched(struct pym_idle *idle, u64 pool, unsigned int nr, bool note)
{
	unsigned int i;
	u32 *words;

	rcu_read_lock();
	words = READ_ONCE(idle->on) ? idle_word(idle, pool) : NULL;
	if (words && note && READ_ONCE(*words))
		WRITE_ONCE(*words, 0);
	for (i = 1; words && i < nr && !READ_ONCE(words[i]); i++)
		;
	rcu_read_unlock();
	return words ? i : nr;
}

/**
 * pym_idle_room() - how many pages a fault may map at once
 * @sheap: the heap
 * @offset: where in the window the touched page is
 * @nr: how many places there are, at least the one, all in its arena
 *
 * Context: Any.
 * Return: how many of them are worth looking at; pym_idle_touch() decides.
 */
unsigned int pym_idle_room(struct pym_service_heap *sheap, u64 offset, unsigned int nr)
{
	struct pym_idle *idle = idle_of(sheap);

	return idle ? idle_touched(idle, offset >> PYM_POOL_SHIFT, nr, false) : nr;
}

/**
 * pym_idle_touch() - a fault is about to map a page that is touched, and some behind it
 * @sheap: the heap
 * @offset: where in the window the page is
 * @nr: how many pages there are, at least the one, all in its arena and locked
 *
 * Context: Any.  The pages stay locked until they are mapped.
 * Return: how many may be mapped: none that would count as touched because of that.
 */
unsigned int pym_idle_touch(struct pym_service_heap *sheap, u64 offset, unsigned int nr)
{
	struct pym_idle *idle;

	/* The locks come first.  Pairs with the barrier in idle_mark(). */
	smp_mb();
	idle = idle_of(sheap);
	return idle ? idle_touched(idle, offset >> PYM_POOL_SHIFT, nr, true) : nr;
}

/**
 * pym_idle_is_on() - does a heap look for idle pages?
 * @sheap: the heap
 *
 * Context: Any.
 * Return: true if so.
 */
bool pym_idle_is_on(struct pym_service_heap *sheap)
{
	struct pym_idle *idle = idle_of(sheap);

	return idle && READ_ONCE(idle->on);
}

/* The thread of upkeep waits for no heap's gate. */
static int idle_charge(struct pym_service_heap *sheap)
{
	if (current->flags & PF_KTHREAD)
		return pym_heap_try_add_meta(&sheap->heap, PAGE_SIZE);
	return pym_heap_add_meta(&sheap->heap, PAGE_SIZE);
}

/* See that there is a record. */
static int idle_make_record(struct pym_service_heap *sheap, unsigned long number)
{
	struct pym_idle *idle = sheap->idle;
	u32 *record;
	int err;

	if (xa_load(&idle->records, number))
		return 0;
	err = idle_charge(sheap);
	if (err)
		return err;
	record = kzalloc(PAGE_SIZE, PYM_GFP);
	err = record ? xa_err(xa_store(&idle->records, number, record, PYM_GFP)) : -ENOMEM;
	if (err) {
		kfree(record);
		pym_heap_remove_meta(&sheap->heap, PAGE_SIZE);
	}
	return err;
}

/*
 * The time from which on a page is idle that is about to be unmapped.  A second is added, so
 * that it is never longer ago than the page is unmapped, and never 0.
 */
static u32 idle_now(void)
{
	return ktime_get_boottime_seconds() + 1;
}

/* Write the time into those of an arena's words that are 0.  Returns a bit for each. */
static u64 idle_mark(u32 *words)
{
	u32 now = idle_now();
	unsigned int i;
	u64 due = 0;

	for (i = 0; i < PYMALLOC_ARENA_POOLS; i++) {
		if (READ_ONCE(words[i]))
			continue;
		WRITE_ONCE(words[i], now);
		due |= BIT_ULL(i);
	}
	/* Before the pages are looked up, and their locks.  Pairs with that in pym_idle_touch(). */
	smp_mb();
	return due;
}

/*
 * The pages of an arena, each with a reference.  Returns in which places behind *@first they
 * are looked for in @pages; what is not there is NULL.
 */
static unsigned int idle_get_pages(struct pym_heap *heap, u64 offset, struct page **pages,
				   unsigned int *first)
{
	unsigned int nr = 0;

	for (*first = 0; *first < PYMALLOC_ARENA_POOLS && !nr; *first += !nr)
		nr = pym_pages_get(heap, offset + ((u64)*first << PYM_POOL_SHIFT), pages,
				   PYMALLOC_ARENA_POOLS - *first);
	return nr;
}

/* Wait for faults that hold pages which are due; put all.  Returns those that are there. */
static u64 idle_wait(struct page **pages, unsigned int first, unsigned int nr, u64 due)
{
	u64 there = 0;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		u64 bit = BIT_ULL(first + i);

		if (!pages[i])
			continue;
		if (due & bit) {
			wait_on_page_locked(pages[i]);
			there |= bit;
		}
		put_page(pages[i]);
	}
	return there;
}

/*
 * Pools that have no page now, or are just getting or losing it, are left alone.  One of the
 * latter kind may be mapped.
 */
static void idle_unmark(u32 *words, u64 pools)
{
	unsigned int i;

	for (i = 0; i < PYMALLOC_ARENA_POOLS; i++)
		if (pools & BIT_ULL(i))
			WRITE_ONCE(words[i], 0);
}

/* Take the pages of an arena that have been touched out of the page tables, at once. */
static void idle_look_at_arena(struct pym_service_heap *sheap,
			       const struct pym_mappings *mappings, u64 offset)
{
	struct page *pages[PYMALLOC_ARENA_POOLS];
	u32 *words = idle_word(sheap->idle, offset >> PYM_POOL_SHIFT);
	struct pym_heap *heap = &sheap->heap;
	u64 due = idle_mark(words), there;
	unsigned int first, nr;

	if (!due)
		return;
	nr = idle_get_pages(heap, offset, pages, &first);
	there = idle_wait(pages, first, nr, due);
	idle_unmark(words, due & ~there);
	if (!there)
		return;
	/* What lies between them is not mapped, or may be mapped again. */
	first = __ffs64(there);
	nr = fls64(there) - first;
	heap->ops->zap(heap, mappings, offset + ((u64)first << PYM_POOL_SHIFT), NULL, nr);
}

static bool idle_next_arena(struct pym_heap *heap, u64 *at, u64 end)
{
	bool found;

	rcu_read_lock();
	found = pym_arena_next(heap, at, end);
	rcu_read_unlock();
	return found;
}

static int idle_look_at_part(struct pym_service_heap *sheap, u64 at, u64 end)
{
	struct pym_heap *heap = &sheap->heap;
	struct pym_mappings mappings;
	int err;

	err = idle_make_record(sheap, at / RECORD_WINDOW);
	if (!err)
		err = heap->ops->hold(heap, &mappings);
	if (err)
		return err;
	for (; idle_next_arena(heap, &at, end); at += PYMALLOC_ARENA_SIZE)
		idle_look_at_arena(sheap, &mappings, at);
	heap->ops->release(heap, &mappings);
	return 0;
}

/*
 * The thread of upkeep passes over what it cannot get.  What has no record is not known to be
 * idle; what is not looked at counts as touched.
 */
static int idle_look(struct pym_service_heap *sheap)
{
	struct pym_heap *heap = &sheap->heap;
	u64 at = 0, end;
	int err = 0;

	while (!err && idle_next_arena(heap, &at, heap->window)) {
		end = min(round_down(at, RECORD_WINDOW) + RECORD_WINDOW, heap->window);
		err = idle_look_at_part(sheap, at, end);
		if (current->flags & PF_KTHREAD)
			err = 0;
		at = end;
		cond_resched();
	}
	return err;
}

/* Nobody uses them. */
static void idle_free_records(struct pym_service_heap *sheap)
{
	struct pym_idle *idle = sheap->idle;
	unsigned long number;
	u32 *record;

	xa_for_each(&idle->records, number, record) {
		xa_erase(&idle->records, number);
		kfree(record);
		pym_heap_remove_meta(&sheap->heap, PAGE_SIZE);
	}
}

static void idle_stop_locked(struct pym_service_heap *sheap)
{
	struct pym_idle *idle = sheap->idle;

	if (!idle->on)
		return;
	WRITE_ONCE(idle->on, false);
	/* Faults and walks that have found it on may be using records. */
	synchronize_rcu();
	idle_free_records(sheap);
}

/**
 * pym_idle_begin() - look for idle pages from now on; and now
 * @sheap: the heap; the caller has a reference
 *
 * When it returns, no page counts as touched that has not been since the call.  If it fails,
 * all is as it was, but pages that were touched before may count as idle since the call.
 *
 * Context: Sleeps.  Not with an mmap_lock held.  What is allocated is charged to the active
 *	memory cgroup.
 * Return: 0; or -ENOMEM, -EDQUOT or -EINTR (the caller is being killed).
 */
int pym_idle_begin(struct pym_service_heap *sheap)
{
	struct pym_idle *idle = idle_get(sheap);
	bool was_on;
	int err;

	if (IS_ERR(idle))
		return PTR_ERR(idle);
	if (mutex_lock_killable(&idle->lock))
		return -EINTR;
	was_on = idle->on;
	WRITE_ONCE(idle->on, true);
	err = idle_look(sheap);
	if (err && !was_on)
		idle_stop_locked(sheap);
	mutex_unlock(&idle->lock);
	return err;
}

/**
 * pym_idle_end() - look for idle pages no more, and forget what was found
 * @sheap: the heap; the caller has a reference
 *
 * Context: Sleeps.
 * Return: 0, or -EINTR (the caller is being killed).
 */
int pym_idle_end(struct pym_service_heap *sheap)
{
	struct pym_idle *idle = idle_of(sheap);

	if (!idle)
		return 0;
	if (mutex_lock_killable(&idle->lock))
		return -EINTR;
	idle_stop_locked(sheap);
	mutex_unlock(&idle->lock);
	return 0;
}

/**
 * pym_idle_round() - look for idle pages, if the heap is to do that
 * @sheap: the heap; the caller has a reference
 *
 * Context: The thread of upkeep.  Waits for nothing but pages that faults lock.  The active
 *	memory cgroup is the heap's.
 */
void pym_idle_round(struct pym_service_heap *sheap)
{
	struct pym_idle *idle = idle_of(sheap);

	if (!idle || !READ_ONCE(idle->on) || !mutex_trylock(&idle->lock))
		return;
	if (idle->on)
		idle_look(sheap);
	mutex_unlock(&idle->lock);
}

/* Seconds for which none of @nr pools has been touched. */
static u32 idle_seconds(struct pym_idle *idle, u64 pool, unsigned int nr, u32 now)
{
	u32 least = PYMALLOC_NO_IDLE;
	u32 *word, since;

	for (; nr && least; nr--, pool++) {
		word = idle_word(idle, pool);
		if (!word)
			return PYMALLOC_NO_IDLE;
		since = READ_ONCE(*word);
		least = since && since < now ? min(least, now - since) : 0;
	}
	return least;
}

/* A block lies in one pool, and a run fills its pools. */
static u32 idle_of_block(struct pym_idle *idle, const struct pym_block_info *block)
{
	u32 idle_for = PYMALLOC_NO_IDLE;

	rcu_read_lock();
	if (READ_ONCE(idle->on))
		idle_for = idle_seconds(idle, block->ref >> PYM_POOL_SHIFT,
					DIV_ROUND_UP(block->size, PYMALLOC_POOL_SIZE),
					ktime_get_boottime_seconds());
	rcu_read_unlock();
	return idle_for;
}

static bool idle_same_pool(const struct pym_block_info *a, const struct pym_block_info *b)
{
	return a->ref >> PYM_POOL_SHIFT == b->ref >> PYM_POOL_SHIFT;
}

/**
 * pym_idle_label() - add to blocks for how long their pages have not been touched
 * @sheap: the heap
 * @blocks: the blocks, in the order of their refs
 * @nr: how many
 *
 * Context: Any.
 */
void pym_idle_label(struct pym_service_heap *sheap, struct pym_block_info *blocks,
		    unsigned int nr)
{
	struct pym_idle *idle = idle_of(sheap);
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (i && idle_same_pool(&blocks[i - 1], &blocks[i]))
			blocks[i].idle = blocks[i - 1].idle;
		else
			blocks[i].idle = idle ? idle_of_block(idle, &blocks[i]) :
						PYMALLOC_NO_IDLE;
	}
}

/**
 * pym_idle_clone() - have the heap of a child look for idle pages, if its parent's does
 * @sheap: the parent's heap
 * @child: the child's heap, which nobody else knows yet
 *
 * Context: Sleeps.  Both address spaces are locked for writing.
 * Return: 0 or -ENOMEM.
 */
int pym_idle_clone(struct pym_service_heap *sheap, struct pym_service_heap *child)
{
	struct pym_idle *idle;

	if (!pym_idle_is_on(sheap))
		return 0;
	/* As in the rest of fork(), no limit makes it fail. */
	child->heap.cloning = true;
	idle = idle_get(child);
	child->heap.cloning = false;
	if (IS_ERR(idle))
		return PTR_ERR(idle);
	idle->on = true;
	return 0;
}

/**
 * pym_idle_destroy() - free what describes idle pages
 * @sheap: the heap, which nobody uses or maps any more
 *
 * Context: Sleeps.
 */
void pym_idle_destroy(struct pym_service_heap *sheap)
{
	struct pym_idle *idle = sheap->idle;

	if (!idle)
		return;
	idle_free_records(sheap);
	sheap->idle = NULL;
	kfree(idle);
	pym_heap_remove_meta(&sheap->heap, IDLE_BYTES);
}
