// SPDX-License-Identifier: GPL-2.0
/*
 * The checker of a heap that is in use meanwhile: for callers that only inspect it.
 *
 * It never takes the gate, but only one spinlock at a time, and that for one pool or one
 * arena.  A task with a spinlock is not preempted, so its low priority or a limit on
 * its CPU time cannot make the heap's process wait.
 *
 * So each pool and each arena is checked at a moment of its own, and a sum over them need
 * not be exact.  But it has bounds.  What was there before the walk and has not been
 * given back by its end is counted.  What is counted was there before, or has
 * come meanwhile.  If nothing changes during the walk, the sums must be exact.
 */
#include <linux/bitops.h>
#include <linux/errno.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "arena.h"
#include "face.h"
#include "live.h"
#include "ops.h"
#include "pool.h"
#include "typetable.h"

/**
 * struct flow - how many there are of something, at one moment
 * @nr: how many
 * @in: how many have come so far
 * @out: how many have gone so far
 */
struct flow {
	u64 nr, in, out;
};

/* All that can be counted in two ways: pool by pool, and in the heap. */
struct flows {
	struct flow pages, runs;
	struct flow blocks[PYM_CLASS_RUN];
};

struct live {
	struct pym_tally *tally;
	struct flows before;
	struct flows after;
	u64 nr_types;	/* heap->nr_types when the walk began */
	u64 busy;	/* busy pools, which may have a page or not */
	bool sound;	/* the present arena: its pools can be checked */
};

static void live_take_blocks(struct live *live, struct flow *flow, struct pym_class *class)
{
	spin_lock(&class->lock);
	*flow = (struct flow) { class->blocks, class->nr_allocs, class->nr_frees };
	spin_unlock(&class->lock);
	pym_expect(live->tally, flow->in - flow->out == flow->nr, 0,
		   "a class's allocations and frees do not make its blocks");
}

static void live_take_pages(struct live *live, struct flows *flows)
{
	struct pym_heap *heap = live->tally->heap;
	u64 charged;

	spin_lock(&heap->lock);
	flows->pages = (struct flow) { heap->pages, heap->pages_in, heap->pages_out };
	flows->runs = (struct flow) { heap->runs, heap->nr_run_allocs, heap->nr_run_frees };
	/* A page is charged before it is counted, and uncharged after that has ended. */
	charged = atomic_long_read(&heap->quota.used);
	spin_unlock(&heap->lock);
	pym_expect(live->tally, flows->pages.in - flows->pages.out == flows->pages.nr, 0,
		   "the pages taken and given back do not make those held");
	pym_expect(live->tally, flows->runs.in - flows->runs.out == flows->runs.nr, 0,
		   "large objects allocated and freed do not make those held");
	pym_expect(live->tally, charged >= flows->pages.nr << PYM_POOL_SHIFT, 0,
		   "what is charged is not what is held");
}

static void live_take_flows(struct live *live, struct flows *flows)
{
	struct pym_heap *heap = live->tally->heap;
	u32 step = heap->alignment / PYMALLOC_BLOCK_MIN, number;
	struct pym_type *type;

	for (number = step; number <= PYMALLOC_NR_CLASSES; number += step)
		live_take_blocks(live, &flows->blocks[number], &heap->classes[number]);
	rcu_read_lock();
	pym_for_each_type(type, number, heap)
		live_take_blocks(live, &flows->blocks[PYMALLOC_NR_CLASSES + number],
				 &type->class);
	rcu_read_unlock();
	live_take_pages(live, flows);
}

/*
 * Can a walk between two moments have counted @seen?  It may have missed up to @unknown,
 * of which it could not tell whether they are there.
 */
static bool lies_between(const struct flow *before, const struct flow *after, u64 seen,
			 u64 unknown)
{
	return seen <= before->nr + (after->in - before->in) &&
	       seen + unknown + (after->out - before->out) >= before->nr;
}

/*
 * Has the type of a class, if it is one of a type, come or gone during the walk?  Then its
 * counts cannot be compared: those of another one with its number may have been taken before.
 */
static bool types_have_changed(const struct live *live, u32 number)
{
	return number > PYMALLOC_NR_CLASSES &&
	       live->nr_types != READ_ONCE(live->tally->heap->nr_types);
}

static void compare_flows(struct live *live)
{
	const struct flows *before = &live->before, *after = &live->after;
	struct pym_tally *tally = live->tally;
	u32 number;

	for (number = 1; number < PYM_CLASS_RUN; number++)
		pym_expect(tally, types_have_changed(live, number) ||
			   lies_between(&before->blocks[number], &after->blocks[number],
					tally->class[number].blocks, 0), 0,
			   "a class's count of allocated blocks is wrong");
	pym_expect(tally,
		   lies_between(&before->pages, &after->pages, tally->pages, live->busy),
		   0, "the heap's count of pages is wrong");
	pym_expect(tally, lies_between(&before->runs, &after->runs, tally->runs, 0), 0,
		   "the heap's count of large objects is wrong");
}

/* Check what the heap's lock protects: which pools are free, and pages of runs. */
static void live_check_pool_locked(struct live *live, struct pym_arena *arena,
				   unsigned int index, u64 offset)
{
	struct pym_pool *pool = pym_pool_in(arena, index);
	bool free = arena->free & BIT_ULL(index);
	bool empty = arena->empty & BIT_ULL(index);
	u8 class = pool ? READ_ONCE(pool->class) : PYM_CLASS_NONE;
	struct pym_tally *tally = live->tally;

	if (arena->busy & BIT_ULL(index)) {
		live->busy++;
		return;
	}
	tally->pages += pool && pool->page && !pym_pool_is_face(pool);
	pym_expect(tally, !free || !class, offset,
		   "the pool is free and has a class, or is neither");
	pym_expect(tally, free || pool, offset, "a pool in use has no page");
	pym_expect(tally, !free || !pool == !empty, offset,
		   "an empty pool's page is not counted, or counted without being there");
	pym_expect(tally, !free || !READ_ONCE(arena->map[index]), offset,
		   "the pool map shows another class");
	pym_expect(tally, class < PYM_CLASS_RUN || arena->runs, offset,
		   "a run lies in an arena of pools");
	pym_expect(tally, !pym_class_is_of_blocks(class) || !arena->runs, offset,
		   "a pool of blocks lies in an arena of runs");
	pym_expect(tally, pym_class_exists(tally->heap, class), offset,
		   "the pool's class does not exist");
	pym_expect(tally, !pym_class_is_of_blocks(class) || pym_class_type(class) == arena->type,
		   offset, "a pool lies in an arena of another type");
	pym_expect(tally, class == PYM_CLASS_TAIL || offset >= tally->tail_end, offset,
		   "a run has lost one of its pages");
	if (class >= PYM_CLASS_RUN)
		pym_check_run(tally, pool, offset);
}

/* Where the run ends that began in an arena before this one; @offset if there is none. */
static u64 first_tail_end(const struct pym_arena *arena, u64 offset)
{
	unsigned int i;

	for (i = 0; i < PYMALLOC_ARENA_POOLS; i++) {
		struct pym_pool *pool = pym_pool_in(arena, i);

		if (!pool || READ_ONCE(pool->class) != PYM_CLASS_TAIL)
			break;
	}
	return offset + ((u64)i << PYM_POOL_SHIFT);
}

/* Check an arena.  Returns whether the blocks of its pools can be checked as well. */
static bool arena_is_sound(struct live *live, struct pym_arena *arena, u64 offset)
{
	struct pym_tally *tally = live->tally;
	unsigned int i;

	lockdep_assert_held(&tally->heap->lock);

	if (!pym_check_arena(tally, arena, offset))
		return false;
	pym_expect(tally, !(arena->busy & arena->free), offset,
		   "a pool is free and on its way at once");
	for (i = 0; i < PYMALLOC_ARENA_POOLS; i++)
		if (!pym_check_record(tally, pym_pool_in(arena, i),
				      offset + ((u64)i << PYM_POOL_SHIFT)))
			return false;
	tally->tail_end = first_tail_end(arena, offset);
	for (i = 0; i < PYMALLOC_ARENA_POOLS; i++)
		live_check_pool_locked(live, arena, i,
				       offset + ((u64)i << PYM_POOL_SHIFT));
	return true;
}

/* Check what the class's lock protects.  A pool of blocks keeps its class under it. */
static void live_check_blocks(struct pym_tally *tally, struct pym_arena *arena,
			      struct pym_pool *pool, u64 offset)
{
	struct pym_class *class = pym_pool_class_lock(tally->heap, pool);
	u8 number = READ_ONCE(pool->class);

	if (pym_class_is_of_blocks(number)) {
		pym_check_blocks(tally, pool, offset);
		pym_expect(tally, READ_ONCE(arena->map[pym_pool_index(pool)]) ==
			   pym_pool_shown_class(pool), offset,
			   "the pool map shows another class");
	}
	spin_unlock(&class->lock);
}

static void live_check_arena_locked(struct pym_heap *heap, struct pym_arena *arena,
				    u64 offset, void *data)
{
	struct live *live = data;

	pym_expect(live->tally, offset, 0, "an arena lies where none may be");
	live->sound = arena_is_sound(live, arena, offset);
}

static void live_check_arena_blocks(struct pym_heap *heap, struct pym_arena *arena,
				    u64 offset, void *data)
{
	struct pym_span span = { arena, ~0ULL };
	struct live *live = data;
	struct pym_pool *pool;

	if (!live->sound)
		return;
	pym_for_each_pool(pool, span)
		live_check_blocks(live->tally, arena, pool, pym_pool_offset(pool));
}

static int live_check_arenas(struct live *live)
{
	const struct pym_visit visit = {
		.arena_locked = live_check_arena_locked, .arena = live_check_arena_blocks,
		.pause = pym_pause, .data = live,
	};

	return pym_arenas_visit(live->tally->heap, &visit);
}

static int live_check_regions(struct live *live)
{
	struct pym_heap *heap = live->tally->heap;
	unsigned long number;
	int err = 0;

	for (number = 0; number < READ_ONCE(heap->made_regions) && !err; number++) {
		/* The count of regions and the table agree under the lock only. */
		spin_lock(&heap->lock);
		pym_check_region(live->tally, number);
		spin_unlock(&heap->lock);
		err = pym_pause(heap);
	}
	return err;
}

/**
 * pym_check_live() - prove what can be proved of a heap that is in use meanwhile
 * @heap: the heap
 * @verdict: out: what was found
 *
 * Other tasks wait at most as long as the check of one arena takes.  That the heap's
 * lists are complete can only be seen in a heap at rest: pym_check() does that.
 *
 * Context: Sleeps.
 * Return: 0, -ENOMEM, or an error of pym_pause().
 */
int pym_check_live(struct pym_heap *heap, struct pym_verdict *verdict)
{
	struct live *live = kzalloc(sizeof(*live), GFP_KERNEL);
	int err = -ENOMEM;

	if (!live)
		return -ENOMEM;
	live->tally = pym_tally_new(heap, verdict);
	if (!live->tally)
		goto free;
	live->nr_types = READ_ONCE(heap->nr_types);
	live_take_flows(live, &live->before);
	err = live_check_arenas(live);
	if (!err)
		err = live_check_regions(live);
	if (err)
		goto free_tally;
	live_take_flows(live, &live->after);
	compare_flows(live);
free_tally:
	kfree(live->tally);
free:
	kfree(live);
	return err;
}
