// SPDX-License-Identifier: GPL-2.0
/*
 * Tasks that interrupt each other: wherever the core could be preempted
 * (around its locks, where it sleeps, where it looks up under RCU) another task
 * may run a whole call of its own, which may be interrupted in the same way.
 *
 *	race [-s SEED] [-n CALLS]
 *
 * A task owns the objects that it works on: no other task frees them meanwhile.
 * So every free must succeed, no two objects may overlap, contents must
 * survive, and the checker must be content with the heap when all tasks have ended.
 * A reference to a page that was shared (by a pipe or a pin) must always show the same
 * contents.  Sometimes a task breaks the rule and frees an object of another task; only
 * that other task's call may fail then.
 */
#include <stdio.h>

#include "core.h"
#include "frame.h"
#include "mappings.h"
#include "random.h"
#include "tap.h"

#define MAX_BATCH	24
#define MAX_OBJECTS	2000
#define MAX_DEPTH	3
#define MAX_PAGES	8
#define MAX_MEMBERS	3
#define MAX_HOLDS	4
/* Calls until all heaps but one end and that one forks: enough to write to most pages. */
#define GENERATION	100
/* Calls of one family.  Then a new one begins: so the ends of heaps are tested, too. */
#define ROUND		1000

#define MIB		(1024 * 1024ULL)

/* An allocated object; @tag is 0 if it could not be written to. */
struct object {
	u64 ref;
	u64 size;
	u64 tag;
};

/**
 * struct plan - what the tasks do
 * @name: what that is
 * @window: bytes of the heap's window
 * @limit: the heap's limit in bytes; 0 is none
 * @size_max: the largest object
 * @faults: before how many calls of 100 failures are planned
 * @fewer: with fewer objects than these, tasks allocate more often than they free
 * @forks: whether the heap forks
 */
struct plan {
	const char *name;
	u64 window;
	u64 limit;
	u64 size_max;
	unsigned int faults;
	unsigned int fewer;
	bool forks;
};

static const struct plan plans[] = {
	{ "blocks, few at a time", MIB, 0, 512, 0, 20, false },
	{ "blocks, in many arenas", 32 * MIB, 0, 512, 0, MAX_OBJECTS, false },
	{ "blocks and runs, a small window", 2 * MIB, 0, 300000, 0, 60, false },
	{ "blocks and runs, at the limit, with failures", 32 * MIB, MIB, 300000, 10, 100, false },
	{ "a heap that forks", MIB, 0, 20000, 0, 60, true },
	{ "a heap that forks, with failures", 32 * MIB, 2 * MIB, 512, 10, 200, true },
};

/**
 * struct member - a heap of a family, and its objects
 * @heap: the heap
 * @objects: the objects that no task works on
 * @nr_objects: their number
 * @taken: for each 8 bytes of the window: does an object lie there?
 */
struct member {
	struct pym_heap heap;
	struct object objects[MAX_OBJECTS + MAX_DEPTH * MAX_BATCH];
	unsigned int nr_objects;
	bool *taken;
};

/**
 * struct fault - a write fault
 * @heap: the heap
 * @at: the offset
 * @page: the page there, which others have mapped for reading
 * @contents: what they see in it
 */
struct fault {
	struct pym_heap *heap;
	u64 at;
	struct page *page;
	char contents[PAGE_SIZE];
};

/**
 * struct hold - a reference to a page that several heaps had
 * @page: the page; NULL for none
 * @contents: what was in it when the reference was taken
 */
struct hold {
	struct page *page;
	char contents[PAGE_SIZE];
};

static struct {
	const struct plan *plan;
	struct random random;
	u64 seed;
	u64 calls;
	u64 call;
	unsigned int depth;
	struct member *members[MAX_MEMBERS];
	unsigned int nr_members;
	/* The member that the running task works on. */
	struct member *now;
	u64 last_tag;
	/* The write fault of the running task, or NULL. */
	struct fault *fault;
	struct hold holds[MAX_HOLDS];
	struct pym_quota user;
	unsigned long user_max;
	/* By meshing. */
	u64 pages_freed;
	/* An object that is being resized, and that another task may free; 0 if none. */
	u64 victim;
	bool stolen;
} test;

static void describe(void)
{
	printf("# \"%s\", call %llu, %u deep; to repeat: race -s %llu -n %llu\n",
	       test.plan->name, test.call, test.depth, test.seed, test.calls);
}

static u64 below(u64 end)
{
	return random_below(&test.random, end);
}

static bool chance(unsigned int percent)
{
	return random_chance(&test.random, percent);
}

static u64 rounded(u64 size)
{
	return ALIGN(size, size > PYMALLOC_BLOCK_MAX ? PAGE_SIZE : PYMALLOC_BLOCK_MIN);
}

/* Mark the place of an object as taken, or as not taken any more. */
static void set_taken(const struct object *object, bool taken)
{
	u64 at;

	MUST(object->ref >= PYMALLOC_ARENA_SIZE &&
	     object->ref + object->size <= test.now->heap.window, "an object out of the window");
	for (at = object->ref; at < object->ref + object->size; at += PYMALLOC_BLOCK_MIN) {
		bool *place = &test.now->taken[at / PYMALLOC_BLOCK_MIN];

		MUST(*place != taken, "two objects overlap at %#llx", at);
		*place = taken;
	}
}

/* The page of an offset, which stays as long as its object.  No task interrupts this. */
static struct page *page_at(u64 at)
{
	void (*preempt)(void) = kernel.preempt;
	struct page *page;

	kernel.preempt = NULL;
	MUST(pym_pages_get(&test.now->heap, at, &page, 1), "an object without a page");
	put_page(page);
	kernel.preempt = preempt;
	return page;
}

/* A word of an object. */
static u64 *word(u64 at)
{
	return (u64 *)((char *)page_address(page_at(at)) + offset_in_page(at));
}

/*
 * Make the page of a word the heap's own, as a fault does before a write.  Other
 * threads may write to that page at the same time, but not while it is shared.
 */
static bool own(u64 at)
{
	struct fault *outer = test.fault, fault = {
		.heap = &test.now->heap,
		.at = at,
		.page = page_at(at),
	};
	int err;

	memcpy(fault.contents, page_address(fault.page), PAGE_SIZE);
	test.fault = &fault;
	err = mappings_own(fault.heap, at);
	test.fault = outer;
	MUST(!err || (err == -ENOMEM && kernel.failures), "a page could not be copied");
	return !err;
}

/* An object's tag is its first and its last word. */
static void put_tag(struct object *object)
{
	u64 last = object->ref + object->size - sizeof(u64);

	if (!own(object->ref) || !own(last))
		return;
	object->tag = ++test.last_tag;
	*word(object->ref) = object->tag;
	*word(last) = object->tag;
}

static bool has_tag(const struct object *object, u64 at)
{
	return !object->tag || *word(at) == object->tag;
}

static void expect_tag(const struct object *object)
{
	MUST(has_tag(object, object->ref), "an object has lost its contents");
	MUST(has_tag(object, object->ref + object->size - sizeof(u64)),
	     "an object has lost its end");
}

/* Put an object where every task can find it. */
static void put_object(u64 ref, u64 size)
{
	struct object object = { .ref = ref, .size = rounded(size) };

	set_taken(&object, true);
	put_tag(&object);
	test.now->objects[test.now->nr_objects++] = object;
}

/* Take an object, which from then on belongs to this task alone. */
static struct object take_object(void)
{
	struct object *place = &test.now->objects[below(test.now->nr_objects)], object = *place;

	*place = test.now->objects[--test.now->nr_objects];
	expect_tag(&object);
	return object;
}

static u64 a_size(void)
{
	if (test.plan->size_max > PYMALLOC_BLOCK_MAX && chance(40))
		return random_size(&test.random, test.plan->size_max);
	/* Mostly large blocks of three classes: their pools are soon full or empty. */
	return chance(80) ? 512 - 128 * below(3) : 1 + below(PYMALLOC_BLOCK_MAX);
}

static void call_alloc(void)
{
	unsigned int nr = 1 + below(MAX_BATCH), done, i;
	u64 refs[MAX_BATCH], size = a_size();
	int err = 1;

	if (size > PYMALLOC_BLOCK_MAX)
		nr = min(nr, 2U);
	if (test.now->nr_objects + nr > MAX_OBJECTS)
		return;
	done = pym_alloc(&test.now->heap, size, chance(30), refs, nr, &err);
	MUST((done == nr) == !err, "%u of %u objects and error %d", done, nr, err);
	for (i = 0; i < done; i++)
		put_object(refs[i], size);
}

static void call_free(void)
{
	unsigned int nr = min(1 + below(MAX_BATCH), test.now->nr_objects), bad = 0, i;
	u8 status[2 * MAX_BATCH];
	u64 refs[2 * MAX_BATCH];

	for (i = 0; i < nr; i++) {
		struct object object = take_object();

		set_taken(&object, false);
		refs[bad + i] = object.ref;
		/* Always a bad ref, whatever other tasks do. */
		if (chance(10))
			refs[++bad + i] = below(PYMALLOC_ARENA_SIZE);
	}
	MUST(pym_free(&test.now->heap, refs, status, nr + bad) == bad, "an object was not freed");
}

/* Free the object that another task is resizing, and maybe give back its page. */
static void steal(void)
{
	unsigned int depth = test.depth;
	u8 status;

	test.depth = MAX_DEPTH;
	test.stolen = !pym_free(&test.now->heap, &test.victim, &status, 1);
	if (chance(50))
		pym_trim(&test.now->heap);
	test.depth = depth;
}

static void resize_victim(u64 ref, u64 size)
{
	int err;

	test.stolen = false;
	test.victim = ref;
	err = pym_resize(&test.now->heap, &ref, size);
	if (test.stolen)
		/* A resize in place may have been complete when the object was freed. */
		MUST(err == -EBADSLT || ref == test.victim, "error %d for a lost object", err);
	test.victim = 0;
	if (!test.stolen)
		put_object(ref, pym_usable(&test.now->heap, ref));
}

static void call_resize(void)
{
	struct object object;
	u64 size = a_size(), ref, kept;

	if (!test.now->nr_objects || test.victim)
		return;
	object = take_object();
	set_taken(&object, false);
	ref = object.ref;
	if (chance(10)) {
		resize_victim(ref, size);
		return;
	}
	MUST(pym_usable(&test.now->heap, ref) == object.size, "an object's size has changed");
	kept = min(object.size, size);
	if (pym_resize(&test.now->heap, &ref, size)) {
		MUST(ref == object.ref, "a resize has failed, and moved");
		kept = object.size;
	}
	MUST(kept < sizeof(u64) || has_tag(&object, ref), "a resize has lost the contents");
	MUST(kept < object.size || has_tag(&object, ref + kept - sizeof(u64)),
	     "a resize has lost the end");
	put_object(ref, pym_usable(&test.now->heap, ref));
}

/* Only one task at a time meshes a heap: those that interrupt it are told so. */
static void call_mesh(void)
{
	struct pym_mesh_result result;
	int err = pym_mesh(&test.now->heap, &result);

	MUST(!err || err == -EBUSY || kernel.failures, "error %d", err);
	MUST(result.frames_joined <= result.pages_freed, "%llu frames for %llu pages",
	     result.frames_joined, result.pages_freed);
	test.pages_freed += result.pages_freed;
}

/* Inspect the heap while it changes. */
static void call_look(void)
{
	u64 at = below(test.now->heap.window), end = test.now->heap.window, before = at;
	struct pym_block_info blocks[64];
	struct pym_arena_info arena;
	struct pym_pool_info pool;
	struct pym_stats stats;

	switch (below(4)) {
	case 0:
		while (pym_walk_arena(&test.now->heap, &at, end, &arena))
			MUST(arena.offset + PYMALLOC_ARENA_SIZE == at, "a walk has lost its way");
		break;
	case 1:
		while (pym_walk_pool(&test.now->heap, &at, end, &pool))
			MUST(pool.offset + PAGE_SIZE == at, "a walk has lost its way");
		break;
	case 2:
		for (; at < end; before = at) {
			pym_walk_blocks(&test.now->heap, &at, end, blocks, ARRAY_SIZE(blocks));
			MUST(at > before, "a walk has lost its way");
		}
		break;
	default:
		pym_heap_stats(&test.now->heap, &stats);
	}
}

/* A read fault: find pages, sleep, and recheck which of them are still there. */
static void call_fault(void)
{
	u64 at = below(test.now->heap.window);
	struct page *pages[MAX_PAGES];
	unsigned int nr = pym_pages_get(&test.now->heap, at, pages, MAX_PAGES), i;

	cond_resched();
	MUST(pym_pages_same(&test.now->heap, at, pages, nr) <= nr, "more pages than there were");
	for (i = 0; i < nr; i++) {
		if (!pages[i])
			continue;
		page_address(pages[i]);
		put_page(pages[i]);
	}
}

/* Whatever other tasks do, the checker must find nothing wrong. */
static void call_check(void)
{
	struct pym_verdict verdict;

	if (pym_check_live(&test.now->heap, &verdict))
		return;
	MUST(!verdict.errors, "%llu contradictions while others go on, the first at %#llx: %s",
	     verdict.errors, verdict.offset, verdict.message);
}

static void let_go(struct hold *hold)
{
	MUST(!memcmp(page_address(hold->page), hold->contents, PAGE_SIZE),
	     "a page has changed that somebody held since it was shared");
	put_page(hold->page);
	hold->page = NULL;
}

/* Take a reference to a shared page, as a pipe would, or drop one. */
static void call_hold(void)
{
	struct hold *hold = &test.holds[below(MAX_HOLDS)];
	struct page *page;

	if (hold->page) {
		let_go(hold);
		return;
	}
	page = pym_page_get(&test.now->heap, below(test.now->heap.window));
	if (!page)
		return;
	if (pym_frame_maybe_shared(page)) {
		hold->page = page;
		memcpy(hold->contents, page_address(page), PAGE_SIZE);
	} else {
		put_page(page);
	}
}

static void call(void)
{
	bool grow = test.now->nr_objects < test.plan->fewer;
	u64 what = below(100);

	if (what < 75)
		(what < (grow ? 45 : 30) ? call_alloc : call_free)();
	else if (what < 85)
		call_resize();
	else if (what < 87)
		pym_trim(&test.now->heap);
	else if (what < 88)
		call_mesh();
	else if (what < 91)
		call_look();
	else if (what < 92)
		call_check();
	else if (what < 96)
		call_hold();
	else
		call_fault();
}

static void preempt(void)
{
	struct member *interrupted = test.now;
	struct fault *fault = test.fault;

	if (test.depth == MAX_DEPTH || !chance(4))
		return;
	if (test.victim) {
		/* No other call: it could allocate where the freed object was. */
		if (!test.stolen)
			steal();
		return;
	}
	test.depth++;
	test.fault = NULL;
	if (fault && chance(50)) {
		own(fault->at);
	} else {
		test.now = test.members[below(test.nr_members)];
		call();
		test.now = interrupted;
	}
	test.fault = fault;
	test.depth--;
}

/*
 * A page of the running task's heap is being copied: meshing must not take it for one
 * that is ready.  Meshing is the only call that never waits for it.
 */
static void interrupt_copy(void)
{
	if (chance(50))
		call_mesh();
}

static void verify_member(void)
{
	struct pym_stats stats;
	struct pym_verdict verdict;
	unsigned int i;
	u64 bytes = 0;

	MUST(!pym_check(&test.now->heap, &verdict), "the checker had no memory");
	MUST(!verdict.errors, "%llu contradictions, the first at %#llx: %s", verdict.errors,
	     verdict.offset, verdict.message);
	pym_heap_stats(&test.now->heap, &stats);
	for (i = 0; i < test.now->nr_objects; i++)
		bytes += test.now->objects[i].size;
	MUST(stats.blocks + stats.runs == test.now->nr_objects, "%llu objects, not %u",
	     stats.blocks + stats.runs, test.now->nr_objects);
	MUST(stats.block_bytes + stats.run_pages * PAGE_SIZE == bytes, "other bytes");
	MUST(!stats.limit || stats.page_bytes_peak <= stats.limit, "beyond the limit");
}

/* Check all heaps when no call is running. */
static void verify(void)
{
	long pages, meta = 0;
	unsigned int i;

	kernel_fail_nothing();
	kernel.preempt = NULL;
	for (i = 0; i < MAX_HOLDS; i++)
		if (test.holds[i].page)
			let_go(&test.holds[i]);
	pages = kernel.pages;
	for (i = 0; i < test.nr_members; i++) {
		test.now = test.members[i];
		verify_member();
		pages -= test.now->heap.made_regions;
		meta += atomic_long_read(&test.now->heap.quota.meta);
	}
	/* All pages that there are, without those of the pool maps. */
	MUST((long)pym_quota_pages(&test.user) == pages, "%lu pages charged to the user, not %ld",
	     pym_quota_pages(&test.user), pages);
	MUST(atomic_long_read(&test.user.meta) == meta,
	     "%ld bytes of metadata charged to the user, not %ld",
	     atomic_long_read(&test.user.meta), meta);
	kernel.preempt = preempt;
}

/* A busy pool's page cannot be found.  No task interrupts this. */
static void expect_hidden(struct pym_heap *heap, u64 offset)
{
	unsigned int index = (offset >> PYM_POOL_SHIFT) % PYMALLOC_ARENA_POOLS;
	void (*preempt)(void) = kernel.preempt;
	struct pym_arena *arena;
	struct page *page;
	bool busy;

	kernel.preempt = NULL;
	rcu_read_lock();
	arena = pym_arena_find(heap, offset);
	busy = arena && arena->busy & BIT_ULL(index);
	rcu_read_unlock();
	MUST(!busy || !pym_pages_get(heap, offset, &page, 1),
	     "a page that is going away can still be found");
	kernel.preempt = preempt;
}

static void zap(struct pym_heap *heap, const struct pym_mappings *mappings, u64 offset,
		struct page **pages, unsigned int nr)
{
	struct fault *fault = test.fault;

	mappings_zap(heap, mappings, offset, pages, nr);
	cond_resched();
	if (fault && heap == fault->heap && offset == round_down(fault->at, PAGE_SIZE))
		MUST(!memcmp(page_address(fault->page), fault->contents, PAGE_SIZE),
		     "a page has changed that others can still see");
	for (; nr; nr--, offset += PAGE_SIZE)
		expect_hidden(heap, offset);
	cond_resched();
}

static void grown(struct pym_heap *heap)
{
	MUST(heap->threshold, "a notice that nobody wanted");
}

static const struct pym_heap_ops ops = {
	.hold = mappings_hold,
	.release = mappings_release,
	.zap = zap,
	.map_grown = mappings_map_grown,
	.threshold_passed = grown,
};

static struct member *new_member(struct pym_quota *user)
{
	struct member *member = aligned_alloc(64, ALIGN(sizeof(*member), 64));

	memset(member, 0, sizeof(*member));
	test.members[test.nr_members++] = member;
	member->heap.ops = &ops;
	member->heap.limit = test.plan->limit;
	member->heap.threshold = MIB / 2;
	member->heap.user = user;
	MUST(!pym_heap_init(&member->heap, 8, test.plan->window), "no heap");
	member->taken = calloc(test.plan->window / PYMALLOC_BLOCK_MIN, sizeof(*member->taken));
	return member;
}

static void delete_member(struct member *member)
{
	pym_heap_destroy(&member->heap);
	free(member->taken);
	free(member);
}

/* Fork one of the heaps while no call is running. */
static void fork_member(void)
{
	struct member *parent = test.members[below(test.nr_members)], *child;

	child = new_member(NULL);
	MUST(!pym_heap_clone(&parent->heap, &child->heap), "no clone");
	memcpy(child->objects, parent->objects, sizeof(child->objects));
	child->nr_objects = parent->nr_objects;
	memcpy(child->taken, parent->taken, test.plan->window / PYMALLOC_BLOCK_MIN);
}

/* End all heaps of the family but one, and fork that one until the family is complete. */
static void new_generation(void)
{
	kernel_fail_nothing();
	kernel.preempt = NULL;
	while (test.nr_members > 1) {
		struct member **place = &test.members[below(test.nr_members)];

		delete_member(*place);
		*place = test.members[--test.nr_members];
	}
	while (test.nr_members < MAX_MEMBERS)
		fork_member();
	kernel.preempt = preempt;
}

/* Run the calls of one family, from its first heap to the end of all. */
static void run_round(void)
{
	unsigned int i;

	test.nr_members = 0;
	new_member(&test.user);
	kernel.preempt = preempt;
	for (i = 0; i < ROUND; i++, test.call++) {
		if (test.plan->forks && i % GENERATION == GENERATION - 1)
			new_generation();
		if (chance(test.plan->faults))
			kernel_fail(below(KERNEL_EVENTS), below(20), 1 + below(20));
		test.now = test.members[below(test.nr_members)];
		call();
		kernel_at_rest();
		if (chance(5))
			verify();
	}
	verify();
	kernel.preempt = NULL;
	while (test.nr_members)
		delete_member(test.members[--test.nr_members]);
}

static void run(const void *plan)
{
	test.plan = plan;
	test.random.state = test.seed * 1000 + (test.plan - plans) + 1;
	kernel.describe = describe;
	kernel.copying = interrupt_copy;
	test.user.max = &test.user_max;
	MUST(!pym_arena_cache_init(), "no cache");
	while (test.call < test.calls / ARRAY_SIZE(plans))
		run_round();
	MUST(test.pages_freed, "meshing has freed no page");
	pym_arena_cache_exit();
}

int main(int argc, char **argv)
{
	const struct plan *plan;

	test.seed = 1;
	test.calls = 90000;
	if (!random_options(argc, argv, &test.seed, &test.calls))
		return 2;
	tap_begin();
	printf("# seed %llu, %llu calls, not counting those that interrupt\n", test.seed,
	       test.calls);
	for (plan = plans; plan < plans + ARRAY_SIZE(plans); plan++)
		tap_run(plan->name, run, plan);
	return tap_end();
}
