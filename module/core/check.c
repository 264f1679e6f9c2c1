// SPDX-License-Identifier: GPL-2.0
/*
 * The checker of a heap at rest: proves that its bitmaps, counts, lists and pages
 * agree.
 *
 * It holds the gate, so that only those pools are busy whose task has left the gate: they
 * are leaving.  Every other pool is either free or in use, and
 * every sum must be exact.
 */
#include <linux/bitops.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "arena.h"
#include "bits.h"
#include "block.h"
#include "check.h"
#include "face.h"
#include "frame.h"
#include "pool.h"
#include "record.h"
#include "typetable.h"

/**
 * pym_tally_new() - begin a check
 * @heap: the heap to check
 * @verdict: where findings go; is cleared
 *
 * Context: Sleeps.
 * Return: the tally, to be freed by kfree(), or NULL.
 */
struct pym_tally *pym_tally_new(struct pym_heap *heap, struct pym_verdict *verdict)
{
	struct pym_tally *tally = kzalloc(sizeof(*tally), GFP_KERNEL);

	memset(verdict, 0, sizeof(*verdict));
	if (tally) {
		tally->heap = heap;
		tally->verdict = verdict;
	}
	return tally;
}

/**
 * pym_contradict() - note a contradiction
 * @verdict: where
 * @offset: its place in the window, if it has one
 * @message: what is wrong
 */
void pym_contradict(struct pym_verdict *verdict, u64 offset, const char *message)
{
	if (verdict->errors++)
		return;
	verdict->offset = offset;
	strscpy(verdict->message, message, sizeof(verdict->message));
}

/* Does a list have @nr entries?  Stops after that: a broken list may be a circle. */
static bool check_list_has(const struct list_head *list, u64 nr)
{
	const struct list_head *entry;

	list_for_each(entry, list)
		if (!nr--)
			return false;
	return !nr;
}

/* How many blocks are allocated, according to the bitmap. */
static unsigned int count_allocated(const struct pym_pool *pool)
{
	unsigned int word, nr = 0;

	for (word = 0; word < 1U << pool->order; word++)
		nr += hweight64(~pool->free[word]);
	return nr;
}

/* Does the bitmap say that a block is allocated that was never handed out, or is none? */
static bool allocated_beyond_boundary(const struct pym_class *class,
				      const struct pym_pool *pool)
{
	unsigned int index;

	for (index = 0; index < 64U << pool->order; index++)
		if (pym_block_is_allocated(pool, index) &&
		    (index >= class->capacity ||
		     pym_block_turn(class, pool, index) >= pool->boundary))
			return true;
	return false;
}

/* What the faces of a frame are together. */
struct frame_sum {
	unsigned int faces, primaries, blocks, taken;
	bool same_page, same_class;
};

/* Look at all faces of a frame; at no more than there may be, as a ring may be broken. */
static struct frame_sum check_sum_faces(struct pym_heap *heap, const struct pym_class *class,
					struct pym_pool *pool)
{
	struct frame_sum sum = { .same_page = true, .same_class = true };
	unsigned long all[PYMALLOC_POOL_SIZE / PYMALLOC_BLOCK_MIN / 64] = {};
	struct pym_pool *face;
	unsigned int word;

	rcu_read_lock();
	pym_for_each_face(face, pool, heap) {
		sum.primaries += !pym_pool_is_face(face);
		sum.blocks += face->nr_alloc;
		sum.same_page &= READ_ONCE(face->page) == READ_ONCE(pool->page);
		sum.same_class &= face->class == pool->class;
		for (word = 0; word < pym_bitmap_words(class); word++)
			all[word] |= ~face->free[word];
		if (sum.faces++ == PYM_FACES_MAX)
			break;
	}
	rcu_read_unlock();
	sum.taken = bitmap_weight(all, class->capacity);
	return sum;
}

/* Check a frame with several faces, once: at its primary face. */
static void check_frame(struct pym_tally *tally, const struct pym_class *class,
			struct pym_pool *pool, u64 offset)
{
	struct frame_sum sum = check_sum_faces(tally->heap, class, pool);

	pym_expect(tally, sum.faces <= PYM_FACES_MAX && sum.primaries == 1, offset,
		   "the faces of a frame are no ring around one primary face");
	pym_expect(tally, sum.same_page && sum.same_class, offset,
		   "two faces of a frame differ in page or class");
	pym_expect(tally, pool->nr_frame == sum.blocks, offset,
		   "the frame's count of allocated blocks is not what its faces say");
	pym_expect(tally, sum.taken == sum.blocks, offset,
		   "two faces of a frame have allocated the same slot");
}

/* Check a pool whose frame belongs to another pool. */
static void check_face(struct pym_tally *tally, const struct pym_class *class,
		       struct pym_pool *pool, u64 offset)
{
	pym_expect(tally, pool->next_face && pool->next_face != pool->number, offset,
		   "a face has no frame");
	pym_expect(tally, pool->boundary == class->capacity, offset,
		   "a face has untouched blocks");
	pym_expect(tally, list_empty(&pool->link) == !!pool->nr_alloc, offset,
		   "a face is on the list of spent ones, or is not, against its count");
	tally->class[pool->class].faces++;
	tally->class[pool->class].spent += !pool->nr_alloc;
}

/* Check a pool with a frame of its own, and that frame. */
static void check_primary(struct pym_tally *tally, const struct pym_class *class,
			  struct pym_pool *pool, u64 offset)
{
	bool pinned = pool->role == PYM_POOL_PINNED;
	u8 group = PYM_GROUP_FULL;

	if (pool->next_face)
		check_frame(tally, class, pool, offset);
	pym_expect(tally, pool->next_face || pool->nr_alloc, offset,
		   "a pool without blocks has a class");
	if (!pym_pool_is_withheld(pool))
		group = pym_pool_group(class, pool);
	pym_expect(tally, pool->group == group, offset,
		   "the pool is in the list of another fullness");
	pym_expect(tally, list_empty(&pool->link) == (group == PYM_GROUP_FULL), offset,
		   "the pool is in a list though it is full, or in none though it is not");
	if (pinned && group != PYM_GROUP_FULL)
		tally->class[pool->class].pinned++;
	else
		tally->class[pool->class].groups[group]++;
}

/* Check a whole pool: its bitmap, which changes meanwhile, is its tenant's. */
static void check_whole(struct pym_tally *tally, const struct pym_class *class,
			const struct pym_pool *pool, u64 offset)
{
	bool whole = pool->nr_alloc == class->capacity && pool->boundary == class->capacity;
	bool alone = pool->group == PYM_GROUP_FULL && pool->role == PYM_POOL_PLAIN;

	pym_expect(tally, whole, offset, "a whole pool has blocks that are the core's");
	pym_expect(tally, alone && !pool->next_face, offset,
		   "a whole pool is in a list of the core's");
	tally->class[pool->class].groups[PYM_GROUP_FULL]++;
	tally->class[pool->class].blocks += class->capacity;
}

/**
 * pym_check_blocks() - check a pool of blocks
 * @tally: what has been seen so far; is added to
 * @pool: the pool
 * @offset: where it is
 *
 * Context: Holds the lock of its class, or the gate for writing.
 */
void pym_check_blocks(struct pym_tally *tally, struct pym_pool *pool, u64 offset)
{
	struct pym_class *class = pym_class_of(tally->heap, pool->class);

	if (!pym_expect(tally, class->size, offset,
			"the pool's class is not one of the heap's"))
		return;
	if (!pym_expect(tally, pool->order >= class->order, offset,
			"the pool's bitmap is too short for its class"))
		return;
	if (!pym_expect(tally, pool->boundary <= class->capacity, offset,
			"the untouched boundary lies beyond the pool"))
		return;
	if (tally->heap->tenant) {
		check_whole(tally, class, pool, offset);
		return;
	}
	pym_expect(tally, !allocated_beyond_boundary(class, pool), offset,
		   "an untouched block is marked as allocated");
	if (!pym_expect(tally, pool->nr_alloc == count_allocated(pool), offset,
			"the pool's count of allocated blocks is not what its bitmap says"))
		return;
	if (pym_pool_is_face(pool))
		check_face(tally, class, pool, offset);
	else
		check_primary(tally, class, pool, offset);
	tally->class[pool->class].blocks += pool->nr_alloc;
	tally->class[pool->class].untouched += class->capacity - pool->boundary;
}

/**
 * pym_check_run() - check a page of a run
 * @tally: what has been seen so far, up to the page before; is added to
 * @pool: the page's pool
 * @offset: where it is
 *
 * Context: Holds the heap's lock, or the gate for writing.
 */
void pym_check_run(struct pym_tally *tally, struct pym_pool *pool, u64 offset)
{
	if (pool->class == PYM_CLASS_TAIL) {
		pym_expect(tally, offset < tally->tail_end, offset,
			   "a run's page belongs to no run");
		return;
	}
	pym_expect(tally, pool->run_pages, offset, "a run has no length");
	tally->tail_end = offset + ((u64)pool->run_pages << PYM_POOL_SHIFT);
	tally->runs++;
	tally->run_pages += pool->run_pages;
}

/**
 * pym_check_record() - check that a pool is described by its own record
 * @tally: where contradictions go
 * @pool: the pool; NULL if it has no page
 * @offset: where it is
 *
 * Context: Holds the heap's lock, or the gate for writing.
 * Return: false if it is not.
 */
bool pym_check_record(struct pym_tally *tally, const struct pym_pool *pool, u64 offset)
{
	if (!pool)
		return true;
	return pym_expect(tally, pym_pool_offset(pool) == offset, offset,
			  "the pool has forgotten its place") &&
	       pym_expect(tally, pool->page || tally->heap->dead, offset,
			  "a pool without a page has a record") &&
	       pym_expect(tally, !pool->page || !tally->heap->dead, offset,
			  "a pool of a dead heap has a page");
}

/* Count the metadata of a pool: that of its sheet, if it is the first live one of that. */
static void check_sheet(struct pym_tally *tally, const struct pym_pool *pool, u64 offset)
{
	const struct pym_sheet *sheet = pym_sheet_of(pool);
	unsigned int live = atomic_read(&sheet->live);

	pym_expect(tally, live & BIT(pool->place) && sheet->order == pool->order, offset,
		   "the pool's record is not one of its sheet");
	if (live && pool->place == __ffs64(live))
		tally->meta += pym_sheet_bytes(sheet->order, sheet->shift);
}

/* Check that nothing is said of a pool that has no page. */
static void check_bare_pool(struct pym_tally *tally, struct pym_arena *arena,
			    unsigned int index, u64 offset)
{
	bool free = (arena->free | arena->leaving) & BIT_ULL(index);

	pym_expect(tally, free, offset, "a pool in use has no page");
	pym_expect(tally, !(arena->empty & BIT_ULL(index)), offset,
		   "an empty pool's page is not counted, or counted without being there");
	pym_expect(tally, !arena->map[index], offset, "the pool map shows another class");
	pym_expect(tally, offset >= tally->tail_end, offset,
		   "a run has lost one of its pages");
}

static void check_pool(struct pym_tally *tally, struct pym_arena *arena,
		       unsigned int index, u64 offset)
{
	struct pym_pool *pool = pym_pool_in(arena, index);
	bool free = (arena->free | arena->leaving) & BIT_ULL(index);
	bool leaving = arena->leaving & BIT_ULL(index);
	bool empty = arena->empty & BIT_ULL(index);
	bool blocks;

	if (!pool) {
		check_bare_pool(tally, arena, index, offset);
		return;
	}
	if (!pym_check_record(tally, pool, offset))
		return;
	check_sheet(tally, pool, offset);
	if (pool->page && !pym_pool_is_face(pool)) {
		tally->pages++;
		tally->maybe_shared += pym_frame_maybe_shared(pool->page);
	}
	blocks = pym_class_is_of_blocks(pool->class);
	pym_expect(tally, pym_class_exists(tally->heap, pool->class), offset,
		   "the pool's class does not exist");
	pym_expect(tally, !pool->class == free, offset,
		   "the pool is free and has a class, or is neither");
	pym_expect(tally, !free || leaving || empty, offset,
		   "an empty pool's page is not counted, or counted without being there");
	pym_expect(tally, pool->class < PYM_CLASS_RUN || arena->runs, offset,
		   "a run lies in an arena of pools");
	pym_expect(tally, !blocks || !arena->runs, offset,
		   "a pool of blocks lies in an arena of runs");
	pym_expect(tally, !blocks || pym_class_type(pool->class) == arena->type, offset,
		   "a pool lies in an arena of another type");
	pym_expect(tally, arena->map[index] == (blocks ? pym_pool_shown_class(pool) : 0), offset,
		   "the pool map shows another class");
	pym_expect(tally, pool->class == PYM_CLASS_TAIL || offset >= tally->tail_end,
		   offset, "a run has lost one of its pages");

	if (blocks)
		pym_check_blocks(tally, pool, offset);
	else if (pool->class >= PYM_CLASS_RUN)
		pym_check_run(tally, pool, offset);
}

/* Where an arena's part of the pool map must be. */
static u8 *check_map_of(struct pym_heap *heap, const struct pym_arena *arena)
{
	struct pym_region *region = pym_region_get(heap, arena->number / PYM_REGION_ARENAS);

	return (u8 *)page_address(region->map) +
	       arena->number % PYM_REGION_ARENAS * PYMALLOC_ARENA_POOLS;
}

/**
 * pym_check_arena() - check an arena's place, masks and lists
 * @tally: where contradictions go
 * @arena: the arena
 * @offset: where it was found
 *
 * Context: Holds the heap's lock, or the gate for writing.
 * Return: false if the arena is not at its place, so that its pools cannot be checked.
 */
bool pym_check_arena(struct pym_tally *tally, struct pym_arena *arena, u64 offset)
{
	unsigned int room = pym_arena_room(arena);

	if (!pym_expect(tally, (u64)arena->number << PYM_ARENA_SHIFT == offset, offset,
			"the arena is not where it believes to be"))
		return false;
	if (!pym_expect(tally, arena->map == check_map_of(tally->heap, arena), offset,
			"the arena has another's part of the pool map"))
		return false;
	pym_expect(tally, !(arena->empty & ~arena->free), offset,
		   "a pool is both empty and in use");
	pym_expect(tally, arena->bucket == room, offset,
		   "the arena is in the list of another fullness");
	pym_expect(tally, list_empty(&arena->link) == !room, offset,
		   "the arena is in a list though it is full, or in none though it is not");
	pym_expect(tally, list_empty(&arena->empty_link) == !arena->empty, offset,
		   "the arena's empty pools are not on the list of those to trim");
	pym_expect(tally, arena->empty || ~arena->free || arena->type, offset,
		   "an arena with nothing in it still exists");
	pym_expect(tally, !arena->type || pym_type_find(tally->heap, arena->type), offset,
		   "the arena is one of a type that does not exist");
	pym_expect(tally, arena->number < tally->heap->top, offset,
		   "the arena lies above all that there have been");
	return true;
}

/* In which lists the arena is. */
static void count_arena_list(struct pym_tally *tally, const struct pym_arena *arena)
{
	unsigned int room = pym_arena_room(arena);

	if (arena->type > PYMALLOC_TYPES_MAX)
		return;
	if (!arena->type) {
		tally->buckets[arena->runs][room]++;
		return;
	}
	tally->type_arenas[arena->type]++;
	tally->type_usable[arena->type] += !!room;
}

static void check_arena_at_rest(struct pym_tally *tally, struct pym_arena *arena,
				u64 offset)
{
	unsigned int i;

	tally->arenas += !arena->runs;
	tally->run_arenas += arena->runs;
	tally->meta += PYM_ARENA_BYTES;
	count_arena_list(tally, arena);
	tally->empty += hweight64(arena->empty);
	tally->empty_arenas += !!arena->empty;
	if (!pym_check_arena(tally, arena, offset))
		return;
	pym_expect(tally, arena->busy == arena->leaving, offset,
		   "pools of the arena are on their way at rest");
	tally->apart += hweight64(arena->apart);
	for (i = 0; i < PYMALLOC_ARENA_POOLS; i++)
		check_pool(tally, arena, i, offset + ((u64)i << PYM_POOL_SHIFT));
}

/* Let others run between two pieces.  Returns -EINTR if the caller is being killed. */
static int pause_check(const struct pym_tally *tally)
{
	cond_resched();
	return tally->killable && fatal_signal_pending(current) ? -EINTR : 0;
}

static int check_arenas(struct pym_tally *tally)
{
	struct pym_arena *arena;
	u64 offset;
	int err;

	pym_for_each_arena(arena, offset, tally->heap) {
		pym_expect(tally, offset, 0, "an arena lies where none may be");
		check_arena_at_rest(tally, arena, offset);
		err = pause_check(tally);
		if (err)
			return err;
	}
	return 0;
}

/**
 * pym_check_region() - check that a region is there, and which of its arena numbers are
 *	in use
 * @tally: what has been seen so far; is added to
 * @number: the region's number, below @made_regions of the heap
 *
 * Context: Holds the heap's lock, or the gate for writing.
 */
void pym_check_region(struct pym_tally *tally, unsigned long number)
{
	const struct pym_region *region = pym_region_get(tally->heap, number);
	u64 offset = (u64)number << PYM_REGION_SHIFT;
	unsigned int room, slot;
	u64 used;

	if (!pym_expect(tally, region && region->number == number, 0,
			"the region is not where it believes to be"))
		return;
	used = pym_region_outside(tally->heap, region);
	room = pym_longest_run(~region->used);
	for (slot = 0; slot < PYM_REGION_ARENAS; slot++)
		if (rcu_access_pointer(region->arenas[slot]))
			used |= BIT_ULL(slot);
	pym_expect(tally, region->used == used, offset,
		   "the arena numbers in use are not those of arenas");
	pym_expect(tally, region->bucket == (region->fresh ? 0 : room), offset,
		   "the region is in the list of another room");
	tally->region_buckets[region->fresh ? 0 : room]++;
}

static int check_regions(struct pym_tally *tally)
{
	struct pym_heap *heap = tally->heap;
	unsigned long number;
	int err = 0;

	rcu_read_lock();
	tally->meta += pym_table_bytes(rcu_dereference(heap->table));
	rcu_read_unlock();
	for (number = 0; number < heap->made_regions && !err; number++) {
		pym_check_region(tally, number);
		tally->meta += PYM_REGION_BYTES;
		err = pause_check(tally);
	}
	return err;
}

static void check_lists(struct pym_tally *tally, const struct pym_buckets *buckets,
			const u64 *nr)
{
	unsigned int room;

	for (room = 1; room < ARRAY_SIZE(buckets->list); room++) {
		pym_expect(tally, check_list_has(&buckets->list[room], nr[room]), 0,
			   "a list of arenas or regions has more or fewer than there are");
		pym_expect(tally, !nr[room] == !(buckets->mask & BIT_ULL(room - 1)), 0,
			   "a mask of lists is not what the lists are");
	}
}

static void check_class(struct pym_tally *tally, u32 number)
{
	struct pym_class *class = pym_class_of(tally->heap, number);
	const u64 *groups = tally->class[number].groups;
	unsigned int group;
	u64 used = tally->class[number].pinned;

	pym_expect(tally, !class->size || check_list_has(&class->pinned, used), 0,
		   "a class's list of pinned pools has more or fewer than there are");
	pym_expect(tally, !class->size || check_list_has(&class->spent, class->nr_spent), 0,
		   "a class's list of spent faces has more or fewer than there are");
	pym_expect(tally, class->nr_spent == tally->class[number].spent, 0,
		   "a class's count of spent faces is wrong");
	pym_expect(tally, class->faces == tally->class[number].faces, 0,
		   "a class's count of faces is wrong");
	for (group = 0; group < PYM_GROUPS; group++) {
		used += groups[group];
		pym_expect(tally, !class->size || check_list_has(&class->partial[group],
								 groups[group]), 0,
			   "a class's list of used pools has more or fewer than there are");
	}
	pym_expect(tally, class->pools_used == used, 0,
		   "a class's count of used pools is wrong");
	pym_expect(tally, class->pools_full == groups[PYM_GROUP_FULL], 0,
		   "a class's count of full pools is wrong");
	pym_expect(tally, class->blocks == tally->class[number].blocks, 0,
		   "a class's count of allocated blocks is wrong");
	pym_expect(tally, class->untouched == tally->class[number].untouched, 0,
		   "a class's count of untouched blocks is wrong");
	pym_expect(tally, class->nr_allocs - class->nr_frees == class->blocks, 0,
		   "a class's allocations and frees do not make its blocks");
}

/* How many arenas are in a type's lists?  Stops behind @most, as check_list_has(). */
static u32 count_usable(const struct pym_type *type, u32 most)
{
	const struct list_head *entry;
	unsigned int room;
	u32 nr = 0;

	for (room = 1; room < ARRAY_SIZE(type->usable.list); room++)
		list_for_each(entry, &type->usable.list[room])
			if (nr++ == most)
				return nr;
	return nr;
}

static void check_types(struct pym_tally *tally)
{
	struct pym_type *type;
	u32 number;

	tally->meta += tally->heap->types ? PYM_TYPE_BYTES : 0;
	pym_for_each_type(type, number, tally->heap) {
		u32 usable = tally->type_usable[number];

		tally->meta += PYM_TYPE_BYTES;
		pym_expect(tally, type->info.number == number, 0,
			   "a type is not where it believes to be");
		pym_expect(tally, type->nr_arenas == tally->type_arenas[number], 0,
			   "a type's count of arenas is wrong");
		pym_expect(tally, count_usable(type, usable) == usable, 0,
			   "a type's lists of arenas have more or fewer than there are");
		if (type->class.size)
			check_class(tally, PYMALLOC_NR_CLASSES + number);
	}
}

static void check_totals(struct pym_tally *tally)
{
	struct pym_heap *heap = tally->heap;
	u32 number;

	for (number = 0; number <= PYMALLOC_NR_CLASSES; number++)
		check_class(tally, number);
	check_types(tally);
	check_lists(tally, &heap->usable_regions, tally->region_buckets);
	check_lists(tally, &heap->usable, tally->buckets[false]);
	check_lists(tally, &heap->usable_runs, tally->buckets[true]);
	pym_expect(tally, check_list_has(&heap->empty, tally->empty_arenas), 0,
		   "the list of arenas with empty pools has more or fewer than there are");
	pym_expect(tally, heap->pages == tally->pages, 0,
		   "the heap's count of pages is wrong");
	pym_expect(tally, (u64)atomic_long_read(&heap->quota.meta) == tally->meta, 0,
		   "the metadata charged is not what there is");
	pym_expect(tally, (u64)atomic_long_read(&heap->quota.used) ==
			  pym_page_bytes(tally->pages) + tally->meta, 0,
		   "what is charged is not what is held");
	pym_expect(tally, heap->pages_in - heap->pages_out == tally->pages, 0,
		   "the pages taken and given back do not make those held");
	pym_expect(tally, heap->nr_empty == tally->empty, 0,
		   "the heap's count of empty pools is wrong");
	pym_expect(tally, heap->nr_arenas == tally->arenas, 0,
		   "the heap's count of arenas is wrong");
	pym_expect(tally, heap->nr_run_arenas == tally->run_arenas, 0,
		   "the heap's count of arenas of runs is wrong");
	pym_expect(tally, heap->runs == tally->runs, 0,
		   "the heap's count of large objects is wrong");
	pym_expect(tally, heap->nr_run_allocs - heap->nr_run_frees == tally->runs, 0,
		   "large objects allocated and freed do not make those held");
	pym_expect(tally, heap->run_pages == tally->run_pages, 0,
		   "the heap's count of large objects' pages is wrong");
}

/*
 * Faults do not wait for the gate, and make pages the heap's own.  If one has done so
 * since the walk began, these counts cannot be compared.
 */
static void check_shared(struct pym_tally *tally)
{
	struct pym_heap *heap = tally->heap;

	spin_lock(&heap->lock);
	if (heap->nr_own == tally->nr_own) {
		pym_expect(tally, heap->maybe_shared == tally->maybe_shared, 0,
			   "the heap's count of pages that may be shared is wrong");
		pym_expect(tally, heap->pages_apart == tally->apart, 0,
			   "the heap's count of pages paid for apart is wrong");
	}
	spin_unlock(&heap->lock);
}

static int check_all(struct pym_tally *tally)
{
	int err;

	tally->meta = tally->heap->base_bytes;
	tally->nr_own = READ_ONCE(tally->heap->nr_own);
	err = check_arenas(tally);
	if (!err)
		err = check_regions(tally);
	if (err)
		return err;
	check_totals(tally);
	check_shared(tally);
	return 0;
}

static int enter_alone(struct pym_tally *tally)
{
	if (tally->killable)
		return down_write_killable(&tally->heap->gate);
	down_write(&tally->heap->gate);
	return 0;
}

static int check_alone(struct pym_heap *heap, struct pym_verdict *verdict, bool killable)
{
	struct pym_tally *tally = pym_tally_new(heap, verdict);
	int err;

	if (!tally)
		return -ENOMEM;
	tally->killable = killable;
	err = enter_alone(tally);
	if (!err) {
		err = check_all(tally);
		up_write(&heap->gate);
	}
	kfree(tally);
	return err;
}

/**
 * pym_check() - prove that a heap adds up
 * @heap: the heap
 * @verdict: out: what was found
 *
 * Context: Sleeps.  All other calls on the heap wait, except faults and inspections
 *	that do not take the gate.
 * Return: 0 or -ENOMEM.
 */
int pym_check(struct pym_heap *heap, struct pym_verdict *verdict)
{
	return check_alone(heap, verdict, false);
}

/**
 * pym_check_killable() - as pym_check(), but ends early if the caller is killed
 * @heap: the heap
 * @verdict: out: what was found
 *
 * Context: as pym_check().
 * Return: 0, -ENOMEM or -EINTR.
 */
int pym_check_killable(struct pym_heap *heap, struct pym_verdict *verdict)
{
	return check_alone(heap, verdict, true);
}
