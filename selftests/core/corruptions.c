// SPDX-License-Identifier: GPL-2.0
/*
 * The scene: a heap with one pool of each kind, and corruptions to plant in it.
 *
 * A function that plants a corruption removes it when it is called again.  So all of them
 * can use one heap, which is sound at the end.
 */
#include <linux/bitops.h>
#include <linux/kernel.h>
#include <linux/mm.h>

#include "core/bits.h"
#include "core/block.h"
#include "corruptions.h"

#define SCENE_USED_FREE		10
#define SCENE_USED_BLOCKS	40

static bool alloc(struct pym_heap *heap, u64 size, u64 *refs, unsigned int nr)
{
	int err;

	return pym_alloc(heap, size, false, refs, nr, &err) == nr;
}

static bool give_back(struct pym_heap *heap, const u64 *refs, unsigned int nr)
{
	u8 status[SCENE_USED_FREE];

	return !pym_free(heap, refs, status, nr);
}

static struct pym_arena *arena_at(struct pym_heap *heap, u64 ref)
{
	struct pym_arena *arena;

	rcu_read_lock();
	arena = pym_arena_find(heap, ref);
	rcu_read_unlock();
	return arena;
}

static void place(struct scene *scene, enum scene_place place, u64 ref)
{
	rcu_read_lock();
	scene->pool[place] = pym_pool_find(scene->heap, ref);
	rcu_read_unlock();
	scene->offset[place] = round_down(ref, PYMALLOC_POOL_SIZE);
}

/**
 * scene_build() - fill a heap
 * @scene: out: what is where
 * @heap: a heap of alignment 16, without arenas
 *
 * Return: false if memory is short.
 */
bool scene_build(struct scene *scene, struct pym_heap *heap)
{
	u64 refs[SCENE_USED_BLOCKS];

	*scene = (struct scene) { .heap = heap };

	if (!alloc(heap, 512, refs, 8))
		return false;
	place(scene, SCENE_FULL, refs[0]);
	place(scene, SCENE_BARE, refs[0] + PYMALLOC_ARENA_SIZE - PYMALLOC_POOL_SIZE);
	scene->arena = arena_at(heap, refs[0]);

	if (!alloc(heap, 16, refs, SCENE_USED_BLOCKS) ||
	    !give_back(heap, refs, SCENE_USED_FREE))
		return false;
	place(scene, SCENE_USED, refs[0]);

	if (!alloc(heap, 32, refs, 1))
		return false;
	place(scene, SCENE_EMPTY, refs[0]);
	if (!give_back(heap, refs, 1))
		return false;

	if (!alloc(heap, 3 * PYMALLOC_POOL_SIZE, refs, 1))
		return false;
	place(scene, SCENE_RUN, refs[0]);
	place(scene, SCENE_TAIL, refs[0] + PYMALLOC_POOL_SIZE);
	scene->runs = arena_at(heap, refs[0]);

	if (!alloc(heap, 2 * PYMALLOC_POOL_SIZE, refs, 1))
		return false;
	place(scene, SCENE_NEXT, refs[0]);
	return true;
}

/* Let a link lead to @to; or, if it does so already, to where it led before. */
static void relink(struct scene *s, struct list_head *link, struct list_head *to)
{
	struct list_head *was = link->next;

	link->next = s->link ?: to;
	s->link = s->link ? NULL : was;
}

static unsigned int index_of(struct scene *s, enum scene_place place)
{
	return (s->offset[place] >> PYM_POOL_SHIFT) % PYMALLOC_ARENA_POOLS;
}

static void swap_page(struct scene *s, struct pym_pool *pool)
{
	struct page *was = pool->page;

	pool->page = s->page;
	s->page = was;
}

/* Let a place of an arena be without its pool; or, if it is so already, put that back. */
static void take_out(struct scene *s, enum scene_place place)
{
	struct pym_pool __rcu **pools = s->arena->pools;
	unsigned int index = index_of(s, place);
	struct pym_pool *out = pym_pool_in(s->arena, index) ? NULL : s->pool[place];

	rcu_assign_pointer(pools[index], out);
}

static struct pym_class *used_class(struct scene *s)
{
	return &s->heap->classes[16 / PYMALLOC_BLOCK_MIN];
}

static struct list_head *arena_list(struct scene *s)
{
	return &s->heap->usable.list[s->arena->bucket];
}

static struct list_head *runs_list(struct scene *s)
{
	return &s->heap->usable_runs.list[s->runs->bucket];
}

static struct pym_region *first_region(struct scene *s)
{
	return pym_region_get(s->heap, 0);
}

static struct list_head *region_list(struct scene *s)
{
	return &s->heap->usable_regions.list[first_region(s)->bucket];
}

static u64 bit_of(struct scene *s, enum scene_place place)
{
	return BIT_ULL(index_of(s, place));
}

#define FLIP(_name, _field, _bits)	\
	static void _name(struct scene *s) { (_field) ^= (_bits); }

#define RELINK(_name, _link, _to)	\
	static void _name(struct scene *s) { relink(s, _link, _to); }

/* Arenas */
FLIP(arena_number, s->arena->number, 1)
FLIP(arena_kind, s->arena->runs, 1)
FLIP(arena_busy, s->arena->busy, bit_of(s, SCENE_BARE))
FLIP(arena_bucket, s->arena->bucket, 1)
FLIP(arena_pool_not_free, s->arena->free, bit_of(s, SCENE_BARE))
FLIP(arena_empty_pool_in_use, s->arena->free, bit_of(s, SCENE_EMPTY))
FLIP(arena_empty_pool_forgotten, s->arena->empty, bit_of(s, SCENE_EMPTY))
FLIP(arena_empty_pool_without_page, s->arena->empty, bit_of(s, SCENE_BARE))
RELINK(arena_in_no_list, &s->arena->link, &s->arena->link)
RELINK(arena_not_to_be_trimmed, &s->arena->empty_link, &s->arena->empty_link)

static void arena_map(struct scene *s)
{
	u8 *was = s->arena->map;

	s->arena->map = s->runs->map;
	s->runs->map = was;
}

static void arena_with_nothing(struct scene *s)
{
	s->runs->free ^= pym_bits(0, 5);
	s->runs->bucket ^= (PYMALLOC_ARENA_POOLS - 5) ^ PYMALLOC_ARENA_POOLS;
}

static void arena_at_zero(struct scene *s)
{
	struct pym_arena __rcu **slot = &first_region(s)->arenas[0];

	RCU_INIT_POINTER(*slot, rcu_dereference_protected(*slot, true) ? NULL : s->arena);
}

/* Regions */
FLIP(region_number, first_region(s)->number, 1)
FLIP(heap_made_regions, s->heap->made_regions, 3)
FLIP(region_used, first_region(s)->used, BIT_ULL(63))
FLIP(region_bucket, first_region(s)->bucket, 1)
FLIP(heap_region_mask, s->heap->usable_regions.mask, BIT_ULL(0))
RELINK(heap_region_list, region_list(s), region_list(s))

/* Pools */
FLIP(pool_number, s->pool[SCENE_USED]->number, 1)
FLIP(pool_neither_free_nor_used, s->pool[SCENE_USED]->class, 16 / PYMALLOC_BLOCK_MIN)
FLIP(pool_free_and_used, s->pool[SCENE_EMPTY]->class, 16 / PYMALLOC_BLOCK_MIN)
FLIP(pool_of_no_class, s->pool[SCENE_USED]->class, 0x80)
FLIP(pool_of_run_among_pools, s->pool[SCENE_FULL]->class, 64 ^ PYM_CLASS_TAIL)
FLIP(pool_of_blocks_among_runs, s->pool[SCENE_TAIL]->class, 64 ^ PYM_CLASS_TAIL)
FLIP(pool_boundary, s->pool[SCENE_USED]->boundary, 0x1000)
/* Of 8 blocks, the ninth. */
FLIP(pool_no_block_allocated, s->pool[SCENE_FULL]->free[0], BIT_ULL(8))
FLIP(pool_count, s->pool[SCENE_USED]->nr_alloc, 1)
FLIP(pool_group, s->pool[SCENE_USED]->group, 1)
FLIP(pool_bitmap, s->pool[SCENE_USED]->order, 1 ^ 2)
FLIP(pool_map, s->arena->map[index_of(s, SCENE_EMPTY)], 1)
FLIP(pool_map_without_pool, s->arena->map[index_of(s, SCENE_BARE)], 1)
RELINK(pool_in_no_list, &s->pool[SCENE_USED]->link, &s->pool[SCENE_USED]->link)
RELINK(pool_in_list_though_full, &s->pool[SCENE_FULL]->link, &s->pool[SCENE_USED]->link)

static void pool_of_foreign_class(struct scene *s)
{
	s->pool[SCENE_USED]->class ^= 1;
	s->arena->map[index_of(s, SCENE_USED)] ^= 1;
}

/* Flip the bit of a block of the used pool: of the one that is handed out at that turn. */
static void flip_block(struct scene *s, unsigned int turn)
{
	const struct pym_class *class = used_class(s);
	struct pym_pool *pool = s->pool[SCENE_USED];
	unsigned int index = (pym_pool_start(class, pool) + turn) % class->capacity;

	pool->free[index / 64] ^= BIT_ULL(index % 64);
}

static void pool_untouched_block_allocated(struct scene *s)
{
	flip_block(s, SCENE_USED_BLOCKS);
}

static void pool_last_block_allocated(struct scene *s)
{
	flip_block(s, used_class(s)->capacity - 1);
}

static void pool_block_free(struct scene *s)
{
	flip_block(s, SCENE_USED_FREE);
}

static void pool_block_not_free(struct scene *s)
{
	flip_block(s, 0);
}

static void pool_without_blocks(struct scene *s)
{
	unsigned int turn;

	for (turn = SCENE_USED_FREE; turn < SCENE_USED_BLOCKS; turn++)
		flip_block(s, turn);
	s->pool[SCENE_USED]->nr_alloc ^= SCENE_USED_BLOCKS - SCENE_USED_FREE;
}

static void pool_without_page(struct scene *s)
{
	swap_page(s, s->pool[SCENE_USED]);
}

static void empty_pool_without_page(struct scene *s)
{
	swap_page(s, s->pool[SCENE_EMPTY]);
}

static void pool_retired(struct scene *s)
{
	struct pym_sheet *sheet = pym_sheet_of(s->pool[SCENE_USED]);

	atomic_set(&sheet->live, atomic_read(&sheet->live) ^ BIT(s->pool[SCENE_USED]->place));
}

static void pool_lost(struct scene *s)
{
	take_out(s, SCENE_USED);
}

static void empty_pool_lost(struct scene *s)
{
	take_out(s, SCENE_EMPTY);
}

static void pool_in_anothers_place(struct scene *s)
{
	struct pym_pool *first = pym_pool_in(s->arena, index_of(s, SCENE_FULL));
	struct pym_pool *second = pym_pool_in(s->arena, index_of(s, SCENE_USED));

	rcu_assign_pointer(s->arena->pools[index_of(s, SCENE_FULL)], second);
	rcu_assign_pointer(s->arena->pools[index_of(s, SCENE_USED)], first);
}

/* Runs */
FLIP(run_record, s->pool[SCENE_RUN]->order, 1)
FLIP(run_without_length, s->pool[SCENE_RUN]->run_pages, 3)
FLIP(run_too_short, s->pool[SCENE_RUN]->run_pages, 3 ^ 1)
FLIP(run_too_long, s->pool[SCENE_RUN]->run_pages, 3 ^ 4)
FLIP(run_within_run, s->pool[SCENE_TAIL]->class, PYM_CLASS_RUN ^ PYM_CLASS_TAIL)
FLIP(run_page_not_used, s->pool[SCENE_TAIL]->class, PYM_CLASS_TAIL)

/* Classes */
/* The first blocks of all its pools are others, a quarter of a pool away. */
FLIP(class_seed, used_class(s)->seed, BIT(30))
FLIP(class_pools_used, used_class(s)->pools_used, 1)
FLIP(class_pools_full, used_class(s)->pools_full, 1)
FLIP(class_blocks, used_class(s)->blocks, 1)
FLIP(class_untouched, used_class(s)->untouched, 1)
FLIP(class_allocs, used_class(s)->nr_allocs, 1)
FLIP(class_frees, used_class(s)->nr_frees, 1)
RELINK(class_list, &used_class(s)->partial[0], &used_class(s)->partial[0])

/* The heap */
FLIP(heap_mask, s->heap->usable.mask, BIT_ULL(0))
FLIP(heap_runs_mask, s->heap->usable_runs.mask, BIT_ULL(0))
FLIP(heap_pages, s->heap->pages, 1)
FLIP(heap_pages_in, s->heap->pages_in, 1)
FLIP(heap_pages_out, s->heap->pages_out, 1)
FLIP(heap_empty, s->heap->nr_empty, 1)
FLIP(heap_arenas, s->heap->nr_arenas, 1)
FLIP(heap_run_arenas, s->heap->nr_run_arenas, 1)
FLIP(heap_runs, s->heap->runs, 1)
FLIP(heap_run_allocs, s->heap->nr_run_allocs, 1)
FLIP(heap_run_pages, s->heap->run_pages, 1)
RELINK(heap_list, arena_list(s), arena_list(s))
RELINK(heap_runs_list, runs_list(s), runs_list(s))
RELINK(heap_empty_list, &s->heap->empty, &s->heap->empty)

static void heap_charge(struct scene *s)
{
	atomic_long_t *used = &s->heap->quota.used;

	atomic_long_sub(atomic_long_read(used) % 2 ? 1 : -1, used);
}

static void heap_meta(struct scene *s)
{
	atomic_long_t *meta = &s->heap->quota.meta;

	atomic_long_sub(atomic_long_read(meta) % 2 ? 1 : -1, meta);
}

#define SEEN(_toggle, _place, _message, _live)	\
	{ .name = #_toggle, .place = _place, .message = _message, .live = _live, \
	  .toggle = _toggle }

#define CORRUPTION(_toggle, _place, _message)	SEEN(_toggle, _place, _message, _message)

/* A heap that is in use may look like that for a moment: only pym_check() finds it. */
#define AT_REST(_toggle, _place, _message)	SEEN(_toggle, _place, _message, NULL)

const struct corruption corruptions[] = {
	CORRUPTION(arena_number, SCENE_FULL, "the arena is not where it believes to be"),
	CORRUPTION(arena_map, SCENE_FULL, "the arena has another's part of the pool map"),
	CORRUPTION(arena_kind, SCENE_FULL, "a pool of blocks lies in an arena of runs"),
	SEEN(arena_busy, SCENE_FULL, "pools of the arena are on their way at rest",
	     "a pool is free and on its way at once"),
	CORRUPTION(arena_bucket, SCENE_FULL, "the arena is in the list of another fullness"),
	CORRUPTION(arena_pool_not_free, SCENE_FULL,
		   "the arena is in the list of another fullness"),
	CORRUPTION(arena_empty_pool_in_use, SCENE_FULL,
		   "a pool is both empty and in use"),
	CORRUPTION(arena_empty_pool_forgotten, SCENE_FULL,
		   "the arena's empty pools are not on the list of those to trim"),
	CORRUPTION(arena_empty_pool_without_page, SCENE_BARE,
		   "an empty pool's page is not counted, or counted without being there"),
	CORRUPTION(arena_in_no_list, SCENE_FULL,
		   "the arena is in a list though it is full, or in none though it is not"),
	CORRUPTION(arena_not_to_be_trimmed, SCENE_FULL,
		   "the arena's empty pools are not on the list of those to trim"),
	CORRUPTION(arena_with_nothing, SCENE_RUN, "an arena with nothing in it still exists"),
	CORRUPTION(arena_at_zero, SCENE_NOWHERE, "an arena lies where none may be"),

	CORRUPTION(region_number, SCENE_NOWHERE, "the region is not where it believes to be"),
	CORRUPTION(heap_made_regions, SCENE_NOWHERE,
		   "the region is not where it believes to be"),
	CORRUPTION(region_used, SCENE_NOWHERE,
		   "the arena numbers in use are not those of arenas"),
	CORRUPTION(region_bucket, SCENE_NOWHERE,
		   "the region is in the list of another room"),
	AT_REST(heap_region_mask, SCENE_NOWHERE,
		   "a mask of lists is not what the lists are"),
	AT_REST(heap_region_list, SCENE_NOWHERE,
		   "a list of arenas or regions has more or fewer than there are"),

	CORRUPTION(pool_number, SCENE_USED, "the pool has forgotten its place"),
	SEEN(pool_neither_free_nor_used, SCENE_USED,
	     "the pool is free and has a class, or is neither",
	     "a class's count of allocated blocks is wrong"),
	CORRUPTION(pool_free_and_used, SCENE_EMPTY,
		   "the pool is free and has a class, or is neither"),
	CORRUPTION(pool_of_no_class, SCENE_USED, "the pool's class does not exist"),
	CORRUPTION(pool_of_foreign_class, SCENE_USED,
		   "the pool's class is not one of the heap's"),
	CORRUPTION(pool_of_run_among_pools, SCENE_FULL, "a run lies in an arena of pools"),
	CORRUPTION(pool_of_blocks_among_runs, SCENE_TAIL,
		   "a pool of blocks lies in an arena of runs"),
	CORRUPTION(pool_boundary, SCENE_USED, "the untouched boundary lies beyond the pool"),
	CORRUPTION(pool_untouched_block_allocated, SCENE_USED,
		   "an untouched block is marked as allocated"),
	CORRUPTION(pool_last_block_allocated, SCENE_USED,
		   "an untouched block is marked as allocated"),
	CORRUPTION(pool_no_block_allocated, SCENE_FULL,
		   "an untouched block is marked as allocated"),
	CORRUPTION(pool_block_free, SCENE_USED,
		   "the pool's count of allocated blocks is not what its bitmap says"),
	CORRUPTION(pool_block_not_free, SCENE_USED,
		   "the pool's count of allocated blocks is not what its bitmap says"),
	CORRUPTION(pool_count, SCENE_USED,
		   "the pool's count of allocated blocks is not what its bitmap says"),
	CORRUPTION(pool_without_blocks, SCENE_USED, "a pool without blocks has a class"),
	CORRUPTION(pool_group, SCENE_USED, "the pool is in the list of another fullness"),
	CORRUPTION(pool_map, SCENE_EMPTY, "the pool map shows another class"),
	CORRUPTION(pool_in_no_list, SCENE_USED,
		   "the pool is in a list though it is full, or in none though it is not"),
	CORRUPTION(pool_in_list_though_full, SCENE_FULL,
		   "the pool is in a list though it is full, or in none though it is not"),
	SEEN(pool_bitmap, SCENE_USED, "the pool's record is not one of its sheet",
	     "the pool's bitmap is too short for its class"),
	AT_REST(pool_retired, SCENE_USED, "the pool's record is not one of its sheet"),
	CORRUPTION(pool_map_without_pool, SCENE_BARE, "the pool map shows another class"),
	CORRUPTION(pool_without_page, SCENE_USED, "a pool without a page has a record"),
	CORRUPTION(empty_pool_without_page, SCENE_EMPTY,
		   "a pool without a page has a record"),
	CORRUPTION(pool_lost, SCENE_USED, "a pool in use has no page"),
	CORRUPTION(empty_pool_lost, SCENE_EMPTY,
		   "an empty pool's page is not counted, or counted without being there"),
	CORRUPTION(pool_in_anothers_place, SCENE_FULL, "the pool has forgotten its place"),

	AT_REST(run_record, SCENE_RUN, "the pool's record is not one of its sheet"),
	CORRUPTION(run_without_length, SCENE_RUN, "a run has no length"),
	CORRUPTION(run_too_short, SCENE_TAIL, "a run's page belongs to no run"),
	CORRUPTION(run_too_long, SCENE_NEXT, "a run has lost one of its pages"),
	CORRUPTION(run_within_run, SCENE_TAIL, "a run has lost one of its pages"),
	SEEN(run_page_not_used, SCENE_TAIL, "the pool is free and has a class, or is neither",
	     "a run has lost one of its pages"),

	CORRUPTION(class_seed, SCENE_USED, "an untouched block is marked as allocated"),
	AT_REST(class_pools_used, SCENE_NOWHERE, "a class's count of used pools is wrong"),
	AT_REST(class_pools_full, SCENE_NOWHERE, "a class's count of full pools is wrong"),
	SEEN(class_blocks, SCENE_NOWHERE, "a class's count of allocated blocks is wrong",
	     "a class's allocations and frees do not make its blocks"),
	AT_REST(class_untouched, SCENE_NOWHERE,
		   "a class's count of untouched blocks is wrong"),
	CORRUPTION(class_allocs, SCENE_NOWHERE,
		   "a class's allocations and frees do not make its blocks"),
	CORRUPTION(class_frees, SCENE_NOWHERE,
		   "a class's allocations and frees do not make its blocks"),
	AT_REST(class_list, SCENE_NOWHERE,
		   "a class's list of used pools has more or fewer than there are"),

	AT_REST(heap_mask, SCENE_NOWHERE,
		   "a mask of lists is not what the lists are"),
	AT_REST(heap_runs_mask, SCENE_NOWHERE,
		   "a mask of lists is not what the lists are"),
	SEEN(heap_pages, SCENE_NOWHERE, "the heap's count of pages is wrong",
	     "the pages taken and given back do not make those held"),
	AT_REST(heap_charge, SCENE_NOWHERE, "what is charged is not what is held"),
	AT_REST(heap_meta, SCENE_NOWHERE, "the metadata charged is not what there is"),
	CORRUPTION(heap_pages_in, SCENE_NOWHERE,
		   "the pages taken and given back do not make those held"),
	CORRUPTION(heap_pages_out, SCENE_NOWHERE,
		   "the pages taken and given back do not make those held"),
	AT_REST(heap_empty, SCENE_NOWHERE, "the heap's count of empty pools is wrong"),
	AT_REST(heap_arenas, SCENE_NOWHERE, "the heap's count of arenas is wrong"),
	AT_REST(heap_run_arenas, SCENE_NOWHERE, "the heap's count of arenas of runs is wrong"),
	SEEN(heap_runs, SCENE_NOWHERE, "the heap's count of large objects is wrong",
	     "large objects allocated and freed do not make those held"),
	CORRUPTION(heap_run_allocs, SCENE_NOWHERE,
		   "large objects allocated and freed do not make those held"),
	AT_REST(heap_run_pages, SCENE_NOWHERE,
		   "the heap's count of large objects' pages is wrong"),
	AT_REST(heap_list, SCENE_NOWHERE,
		   "a list of arenas or regions has more or fewer than there are"),
	AT_REST(heap_runs_list, SCENE_NOWHERE,
		   "a list of arenas or regions has more or fewer than there are"),
	AT_REST(heap_empty_list, SCENE_NOWHERE,
		   "the list of arenas with empty pools has more or fewer than there are"),
};

const unsigned int nr_corruptions = ARRAY_SIZE(corruptions);
