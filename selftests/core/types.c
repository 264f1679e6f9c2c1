// SPDX-License-Identifier: GPL-2.0
/*
 * Types with pools of their own: where their arenas lie, whose they are, and what the checker
 * finds if that is not so.
 */
#include "core.h"
#include "core/typetable.h"
#include "tap.h"

#define WINDOW		(256ULL << 20)
#define SIZE		56
#define NR		20000
#define OF(number)	((number) << PYM_ALLOC_TYPE_SHIFT)

static struct pym_heap heap, child;
static u64 refs[NR], others[NR];
static u8 status[NR];

static struct pym_verdict verdict_of(struct pym_heap *subject)
{
	struct pym_verdict verdict = {};

	MUST(!pym_check(subject, &verdict), "no memory for the checker");
	return verdict;
}

static void expect_sound(struct pym_heap *subject)
{
	struct pym_verdict verdict = verdict_of(subject);

	MUST(!verdict.errors, "at rest: %s", verdict.message);
	MUST(!pym_check_live(subject, &verdict) && !verdict.errors, "live: %s", verdict.message);
}

static void init(struct pym_heap *subject)
{
	memset(subject, 0, sizeof(*subject));
	MUST(!pym_heap_init(subject, 8, WINDOW), "no heap");
}

static void begin(void)
{
	MUST(!pym_arena_cache_init(), "no cache");
	init(&heap);
}

static void end(void)
{
	expect_sound(&heap);
	pym_heap_destroy(&heap);
	pym_arena_cache_exit();
	kernel_empty();
}

static u32 make(struct pym_heap *subject)
{
	struct pymalloc_type_info info = {
		.size = SIZE, .alignment = 8, .flags = PYMALLOC_TYPE_OWN_POOLS, .name = "typed",
	};
	u32 number = 0;

	MUST(!pym_type_make(subject, &info, &number), "no type");
	return number;
}

static void take(struct pym_heap *subject, u32 type, u64 *to, unsigned int nr)
{
	int err;

	MUST(pym_alloc(subject, SIZE, OF(type), to, nr, &err) == nr, "error %d", err);
}

static void give(struct pym_heap *subject, const u64 *from, unsigned int nr)
{
	MUST(!pym_free(subject, from, status, nr), "refs are bad that were allocated");
}

static u64 lowest(const u64 *some)
{
	u64 least = some[0];
	unsigned int i;

	for (i = 1; i < NR; i++)
		least = min(least, some[i]);
	return least;
}

static u64 highest(const u64 *some)
{
	u64 most = some[0];
	unsigned int i;

	for (i = 1; i < NR; i++)
		most = max(most, some[i]);
	return most;
}

/* Objects of a type come where nothing was, and nothing comes where they were. */
static void stable(const void *unused)
{
	u64 end_of_others, first, last, arenas;
	u32 type;

	(void)unused;
	begin();
	take(&heap, 0, others, NR);
	end_of_others = highest(others) / PYMALLOC_ARENA_SIZE;
	give(&heap, others, NR);
	pym_trim(&heap);
	MUST(!heap.nr_arenas, "%llu arenas are left", heap.nr_arenas);
	type = make(&heap);
	take(&heap, type, refs, NR);
	expect_sound(&heap);
	first = lowest(refs) / PYMALLOC_ARENA_SIZE;
	last = highest(refs) / PYMALLOC_ARENA_SIZE;
	arenas = heap.nr_arenas;
	MUST(first > end_of_others, "arena %llu after %llu", first, end_of_others);
	MUST(pym_type_drop(&heap, type) == -EBUSY, "a type with blocks is dropped");
	give(&heap, refs, NR);
	pym_trim(&heap);
	expect_sound(&heap);
	MUST(!heap.pages, "%llu pages are left", heap.pages);
	MUST(heap.nr_arenas == arenas, "%llu arenas instead of %llu", heap.nr_arenas, arenas);
	take(&heap, 0, others, NR);
	MUST(highest(others) / PYMALLOC_ARENA_SIZE < first ||
	     lowest(others) / PYMALLOC_ARENA_SIZE > last, "others lie where the type's were");
	take(&heap, type, refs, NR);
	MUST(heap.top == last + 1, "the same memory is not used again");
	give(&heap, refs, NR);
	MUST(!pym_type_drop(&heap, type), "an empty type is not dropped");
	MUST(pym_type_drop(&heap, type) == -ENOENT, "a type is dropped twice");
	expect_sound(&heap);
	give(&heap, others, NR);
	pym_trim(&heap);
	MUST(!heap.nr_arenas, "%llu arenas are left", heap.nr_arenas);
	end();
}

static void clones(const void *unused)
{
	u32 type, bare;

	(void)unused;
	begin();
	type = make(&heap);
	bare = make(&heap);
	take(&heap, type, refs, NR);
	take(&heap, bare, others, 1);
	give(&heap, others, 1);
	init(&child);
	MUST(!pym_heap_clone(&heap, &child), "no clone");
	expect_sound(&heap);
	expect_sound(&child);
	MUST(child.nr_arenas == heap.nr_arenas, "%llu arenas", child.nr_arenas);
	/* The one without blocks has its place in the clone as well. */
	take(&child, 0, others, NR);
	take(&child, bare, others, 1);
	expect_sound(&child);
	give(&child, refs, NR);
	MUST(!pym_type_drop(&child, type), "an empty type is not dropped");
	expect_sound(&child);
	pym_heap_destroy(&child);
	give(&heap, refs, NR);
	end();
}

static void the_most(const void *unused)
{
	struct pymalloc_type_info info = { .size = 8, .alignment = 8 };
	u32 number, i;

	(void)unused;
	begin();
	for (i = 1; i <= PYMALLOC_TYPES_MAX; i++)
		MUST((number = make(&heap)) == i, "number %u instead of %u", number, i);
	MUST(pym_type_make(&heap, &info, &number) == -ENOSPC, "one type more");
	take(&heap, PYMALLOC_TYPES_MAX, refs, NR);
	expect_sound(&heap);
	for (i = 1, number = 0; (number = pym_type_next(&heap, number, &info)); i++)
		MUST(number == i, "number %u instead of %u", number, i);
	MUST(info.bytes == NR * SIZE, "%llu bytes", info.bytes);
	end();
}

/* Each allocation fails once; nothing is lost, and then it works. */
static void failures(const void *unused)
{
	struct pymalloc_type_info info = {
		.size = SIZE, .alignment = 8, .flags = PYMALLOC_TYPE_OWN_POOLS,
	};
	enum kernel_event event;
	unsigned long skip;
	u32 number;
	int err;

	(void)unused;
	for (event = KERNEL_PAGE; event <= KERNEL_MEMORY; event++) {
		for (skip = 0; skip < 40; skip++) {
			begin();
			kernel_fail(event, skip, 1);
			if (pym_type_make(&heap, &info, &number))
				number = make(&heap);
			err = 0;
			pym_alloc(&heap, SIZE, OF(number), refs, NR / 10, &err);
			kernel_fail_nothing();
			expect_sound(&heap);
			take(&heap, number, refs, NR / 10);
			end();
		}
	}
}

/* A contradiction that can be planted, and taken away. */
struct plant {
	const char *message;
	void (*toggle)(struct pym_type *type);
};

static struct pym_arena *first_arena(void)
{
	u64 offset = 0;

	return pym_arena_at_rest(&heap, &offset);
}

static void toggle_owner(struct pym_type *type)
{
	(void)type;
	first_arena()->type ^= 1;
}

static void toggle_stranger(struct pym_type *type)
{
	(void)type;
	first_arena()->type ^= 64;
}

static void toggle_arenas(struct pym_type *type)
{
	type->nr_arenas ^= 1;
}

static void toggle_number(struct pym_type *type)
{
	type->info.number ^= 1;
}

static void toggle_blocks(struct pym_type *type)
{
	type->class.blocks ^= 1;
}

static void toggle_list(struct pym_type *type)
{
	static struct list_head kept;
	struct list_head *list = &type->usable.list[first_arena()->bucket];

	if (list_empty(list)) {
		list->next = kept.next;
		list->prev = kept.prev;
	} else {
		kept = *list;
		INIT_LIST_HEAD(list);
	}
}

static const struct plant plants[] = {
	{ "a pool lies in an arena of another type", toggle_owner },
	{ "the arena is one of a type that does not exist", toggle_stranger },
	{ "a type's count of arenas is wrong", toggle_arenas },
	{ "a type is not where it believes to be", toggle_number },
	{ "a class's count of allocated blocks is wrong", toggle_blocks },
	{ "a type's lists of arenas have more or fewer than there are", toggle_list },
};

static void finds(const void *data)
{
	const struct plant *plant = data;
	struct pym_verdict verdict;
	struct pym_type *type;

	begin();
	type = pym_type_find(&heap, make(&heap));
	take(&heap, 1, refs, 100);
	expect_sound(&heap);
	plant->toggle(type);
	verdict = verdict_of(&heap);
	plant->toggle(type);
	MUST(!strcmp(verdict.message, plant->message), "found: %s", verdict.message);
	end();
}

int main(void)
{
	unsigned int i;

	tap_begin();
	tap_run("stable", stable, NULL);
	tap_run("clones", clones, NULL);
	tap_run("the most", the_most, NULL);
	tap_run("failures", failures, NULL);
	for (i = 0; i < ARRAY_SIZE(plants); i++)
		tap_run(plants[i].message, finds, &plants[i]);
	return tap_end();
}
