// SPDX-License-Identifier: GPL-2.0
/*
 * The shadow of a heap: what calls must return.  verify.c has what the heap must look
 * like.
 */
#include "mappings.h"
#include "shadow.h"

#define MAX_BATCH	4096
#define ARENA_PAGES	PYMALLOC_ARENA_POOLS

/*
 * Each object contains a part of this, from a place that depends on its tag.  65000 is no
 * multiple of a page, so that the pages of a run differ.  END_BYTES are checked at both
 * ends of each page of a run: whole pages would take much longer.
 */
#define PATTERN_BYTES	65000
#define END_BYTES	16
static u8 pattern[PATTERN_BYTES + PYMALLOC_POOL_SIZE];

static void make_pattern(void)
{
	u32 state = 1;
	size_t i;

	if (pattern[0])
		return;
	for (i = 0; i < sizeof(pattern); i++) {
		state = state * 1103515245 + 12345;
		/* Never zero, so that it cannot be mistaken for a fresh page. */
		pattern[i] = state >> 16 | 1;
	}
}

static void zap(struct pym_heap *heap, const struct pym_mappings *mappings, u64 offset,
		struct page **pages, unsigned int nr)
{
	unsigned int i;

	mappings_zap(heap, mappings, offset, pages, nr);

	MUST(offset % PYMALLOC_ARENA_SIZE + nr * PAGE_SIZE <= PYMALLOC_ARENA_SIZE,
	     "no pages are taken away, or other arenas'");
	for (i = 0; i < nr; i++, offset += PAGE_SIZE) {
		struct pym_arena *arena;
		struct pym_pool *pool;
		struct page *page;

		rcu_read_lock();
		arena = pym_arena_find(heap, offset);
		pool = pym_pool_at(arena, offset);
		rcu_read_unlock();
		MUST(pool && pool->page, "a page is taken away that is not there");
		MUST(!(arena->busy & BIT_ULL(pym_pool_index(pool))) ||
		     pool->page == pages[i], "another page is taken away");
		MUST(!arena->busy || !pym_pages_get(heap, offset, &page, 1),
		     "a page that is going away can still be found");
	}
	cond_resched();
}

static void grown(struct pym_heap *heap)
{
	struct shadow *shadow = container_of(heap, struct shadow, heap);

	MUST(heap->pages << PYM_POOL_SHIFT >= heap->threshold,
	     "a notice of %llu pages, below the threshold", heap->pages);
	shadow->grown++;
}

static const struct pym_heap_ops ops = {
	.hold = mappings_hold,
	.release = mappings_release,
	.zap = zap,
	.map_grown = mappings_map_grown,
	.threshold_passed = grown,
};

struct shadow *shadow_new(const struct shadow_config *config)
{
	struct shadow *shadow = aligned_alloc(64, ALIGN(sizeof(*shadow), 64));

	make_pattern();
	memset(shadow, 0, sizeof(*shadow));
	shadow->heap.id = 1;
	shadow->heap.extent = config->extent;
	shadow->heap.limit = config->limit;
	shadow->heap.base_bytes = SHADOW_BASE_BYTES;
	shadow->heap.threshold = config->threshold;
	shadow->heap.user = config->user;
	shadow->heap.ops = &ops;
	if (pym_heap_init(&shadow->heap, config->alignment, config->window)) {
		free(shadow);
		return NULL;
	}
	shadow->pages = calloc(config->window >> PYM_POOL_SHIFT, sizeof(*shadow->pages));
	shadow->room = 64;
	shadow->objects = malloc(shadow->room * sizeof(*shadow->objects));
	return shadow;
}

void shadow_delete(struct shadow *shadow)
{
	u64 i;

	pym_heap_destroy(&shadow->heap);
	for (i = 0; i < shadow->heap.window >> PYM_POOL_SHIFT; i++)
		free(shadow->pages[i].slots);
	free(shadow->pages);
	free(shadow->objects);
	free(shadow);
	kernel_at_rest();
}

/* The class of an object, 0 for a large one. */
static u32 class_of(const struct shadow *shadow, u64 size)
{
	return size > PYMALLOC_BLOCK_MAX ? 0 :
	       ALIGN(size, shadow->heap.alignment) / PYMALLOC_BLOCK_MIN;
}

u64 shadow_rounded(const struct shadow *shadow, u64 size)
{
	return class_of(shadow, size) ? class_of(shadow, size) * PYMALLOC_BLOCK_MIN :
					ALIGN(size, PAGE_SIZE);
}

static struct shadow_page *page_of(const struct shadow *shadow, u64 ref)
{
	return &shadow->pages[ref >> PYM_POOL_SHIFT];
}

/* What a ref names, and which entry of the shadow says so. */
static enum pymalloc_ref_status look(const struct shadow *shadow, u64 ref, u32 **slot)
{
	unsigned int offset = ref % PAGE_SIZE, size;
	struct shadow_page *page;

	if (ref < PYMALLOC_ARENA_SIZE || ref >= shadow->heap.window)
		return PYMALLOC_REF_RANGE;
	page = page_of(shadow, ref);
	size = page->class * PYMALLOC_BLOCK_MIN;
	if (page->class == PYM_CLASS_NONE)
		return PYMALLOC_REF_FOREIGN;
	if (page->class == PYM_CLASS_TAIL)
		return PYMALLOC_REF_MISALIGNED;
	if (page->class == PYM_CLASS_RUN)
		size = PAGE_SIZE;
	if (offset % size || offset / size >= PAGE_SIZE / size)
		return PYMALLOC_REF_MISALIGNED;
	*slot = &page->slots[offset / size];
	if (**slot == SLOT_UNTOUCHED)
		return PYMALLOC_REF_UNTOUCHED;
	return **slot == SLOT_FREE ? PYMALLOC_REF_FREE : PYMALLOC_REF_OK;
}

static struct shadow_object *find(const struct shadow *shadow, u64 ref)
{
	u32 *slot;

	return look(shadow, ref, &slot) == PYMALLOC_REF_OK ?
		&shadow->objects[*slot - SLOT_OBJECT] : NULL;
}

static u64 bytes_left(const struct pym_quota *quota)
{
	u64 max, used;

	if (!quota || !*quota->max)
		return ~0ULL;
	max = *quota->max;
	used = atomic_long_read(&quota->used);
	return max > used ? max - used : 0;
}

/*
 * Contents
 */
static void fill(u8 *memory, const u8 *bytes, size_t nr)
{
	memcpy(memory, bytes, nr);
}

static void compare(u8 *memory, const u8 *bytes, size_t nr)
{
	MUST(!memcmp(memory, bytes, nr), "an object has lost its contents");
}

static void compare_zero(u8 *memory, const u8 *bytes, size_t nr)
{
	(void)bytes;
	while (nr--)
		MUST(!memory[nr], "a zeroed object is not zero");
}

static void visit_part(struct shadow *shadow, const struct shadow_object *object,
		       u64 at, u64 end, void (*each)(u8 *, const u8 *, size_t))
{
	struct page *page;

	if (at >= end)
		return;
	MUST(pym_pages_get(&shadow->heap, object->ref + at, &page, 1),
	     "an object without a page");
	each((u8 *)page_address(page) + offset_in_page(object->ref + at),
	     pattern + (object->tag * 8ULL + at) % PATTERN_BYTES, end - at);
	put_page(page);
}

/* Visit all of a block, and both ends of each page of a run. */
static void visit(struct shadow *shadow, const struct shadow_object *object, u64 size,
		  void (*each)(u8 *, const u8 *, size_t))
{
	u64 at;

	if (object->size <= PYMALLOC_BLOCK_MAX) {
		visit_part(shadow, object, 0, size, each);
		return;
	}
	for (at = 0; at < size; at += PAGE_SIZE) {
		visit_part(shadow, object, at, min(at + END_BYTES, size), each);
		visit_part(shadow, object, at + PAGE_SIZE - END_BYTES,
			   min(at + PAGE_SIZE, size), each);
	}
}

/* Make the pages of an object the heap's own, as must be done before a write. */
static bool own_pages(struct shadow *shadow, const struct shadow_object *object)
{
	u64 at;
	int err;

	for (at = 0; at < object->size; at += PAGE_SIZE) {
		err = mappings_own(&shadow->heap, object->ref + at);
		if (!err)
			continue;
		MUST(err == -ENOMEM && kernel.failures, "a page could not be copied, error %d",
		     err);
		return false;
	}
	return true;
}

/* Give an object contents of its own. */
static void write_to(struct shadow *shadow, struct shadow_object *object)
{
	object->tag = 0;
	if (!own_pages(shadow, object))
		return;
	object->tag = ++shadow->last_tag;
	visit(shadow, object, object->size, fill);
}

/* Expect that an object has its first @size bytes, if it could be written to. */
static void expect_contents(struct shadow *shadow, const struct shadow_object *object,
			    u64 size)
{
	if (object->tag)
		visit(shadow, object, size, compare);
}

/*
 * Changes of the shadow
 */
static void page_set(struct shadow_page *page, u8 class, unsigned int nr)
{
	free(page->slots);
	page->slots = nr ? calloc(nr, sizeof(*page->slots)) : NULL;
	page->class = class;
	page->allocated = 0;
	page->touched = 0;
}

static void adopt_block(struct shadow *shadow, u64 ref, u32 class)
{
	struct shadow_page *page = page_of(shadow, ref);
	unsigned int size = class * PYMALLOC_BLOCK_MIN, index = offset_in_page(ref) / size;

	if (!page->class)
		page_set(page, class, PAGE_SIZE / size);
	MUST(page->class == class, "%#llx lies in a page of class %u", ref, page->class);
	MUST(offset_in_page(ref) == index * size && index < PAGE_SIZE / size,
	     "%#llx is no block of %u bytes", ref, size);
	MUST(page->slots[index] < SLOT_OBJECT, "%#llx is already allocated", ref);
	if (!page->touched)
		page->first = index;
	/* Free blocks are allocated first, then untouched ones in turn, round the end. */
	MUST(page->slots[index] == SLOT_FREE ||
	     (index == (page->first + page->touched) % (PAGE_SIZE / size) &&
	      page->allocated == page->touched),
	     "%#llx was untouched and not the next to be touched", ref);
	page->touched += page->slots[index] == SLOT_UNTOUCHED;
	page->allocated++;
}

static void adopt_run(struct shadow *shadow, u64 ref, u64 size)
{
	struct shadow_page *page = page_of(shadow, ref);
	u64 i, nr = size >> PYM_POOL_SHIFT;

	MUST(!offset_in_page(ref), "a large object at %#llx", ref);
	MUST(ref + size <= shadow->heap.window, "a large object ends outside of the window");
	for (i = 0; i < nr; i++) {
		MUST(!page[i].class, "page %llu of the large object at %#llx is in use", i, ref);
		page_set(&page[i], i ? PYM_CLASS_TAIL : PYM_CLASS_RUN, !i);
	}
	page->allocated = 1;
	page->touched = 1;
}

static struct shadow_object *adopt(struct shadow *shadow, u64 ref, u64 size)
{
	u32 class = class_of(shadow, size), *slot;
	struct shadow_object *object;

	MUST(ref >= PYMALLOC_ARENA_SIZE && ref < shadow->heap.window,
	     "%#llx lies outside of the window", ref);
	if (class)
		adopt_block(shadow, ref, class);
	else
		adopt_run(shadow, ref, shadow_rounded(shadow, size));
	if (shadow->nr_objects == shadow->room) {
		shadow->room *= 2;
		shadow->objects = realloc(shadow->objects,
					  shadow->room * sizeof(*shadow->objects));
	}
	look(shadow, ref, &slot);
	*slot = shadow->nr_objects + SLOT_OBJECT;
	object = &shadow->objects[shadow->nr_objects++];
	object->ref = ref;
	object->size = shadow_rounded(shadow, size);
	object->tag = 0;
	shadow->nr_allocs[class]++;
	return object;
}

static void release(struct shadow *shadow, struct shadow_object *object)
{
	struct shadow_page *page = page_of(shadow, object->ref);
	struct shadow_object *last = &shadow->objects[--shadow->nr_objects];
	u32 *slot, *last_slot;
	u64 i;

	look(shadow, object->ref, &slot);
	look(shadow, last->ref, &last_slot);
	*last_slot = *slot;
	*slot = SLOT_FREE;
	shadow->nr_frees[class_of(shadow, object->size)]++;
	/* A pool without blocks has no class any more. */
	if (!--page->allocated)
		for (i = 0; i < DIV_ROUND_UP(object->size, PAGE_SIZE); i++)
			page_set(&page[i], PYM_CLASS_NONE, 0);
	*object = *last;
}

/*
 * Failures
 */
u32 shadow_kind(const struct shadow *shadow, u64 first)
{
	u64 i;

	for (i = first; i < first + ARENA_PAGES; i++)
		if (shadow->pages[i].class)
			return shadow->pages[i].class < PYM_CLASS_RUN ?
				PYMALLOC_ARENA_OBJECT : PYMALLOC_ARENA_RUNS;
	return 0;
}

/* The longest run of pages without a class in an arena. */
static unsigned int longest_run(const struct shadow *shadow, u64 first)
{
	unsigned int now = 0, longest = 0;
	u64 i;

	for (i = first; i < first + ARENA_PAGES; i++) {
		now = shadow->pages[i].class ? 0 : now + 1;
		longest = max(longest, now);
	}
	return longest;
}

/* Has the heap's extent room for a pool, or for a run of @nr pages? */
static bool has_place(const struct shadow *shadow, u64 nr)
{
	u64 first, end = shadow->heap.extent >> PYM_ARENA_SHIFT, arena, empty = 0;

	for (arena = 1; arena < end; arena++) {
		first = arena * ARENA_PAGES;
		/* A run of several arenas lies within one region. */
		if (arena % PYM_REGION_ARENAS == 0)
			empty = 0;
		switch (shadow_kind(shadow, first)) {
		case PYMALLOC_ARENA_OBJECT:
			empty = 0;
			if (!nr && longest_run(shadow, first))
				return true;
			break;
		case PYMALLOC_ARENA_RUNS:
			empty = 0;
			if (nr && nr <= longest_run(shadow, first))
				return true;
			break;
		default:
			if (++empty * ARENA_PAGES >= nr)
				return true;
		}
	}
	return false;
}

/* The most that an object of @nr pages can cost, with all of its metadata. */
static u64 most_bytes(const struct shadow *shadow, u64 nr)
{
	return nr * (PAGE_SIZE + pym_sheet_bytes(PYM_RECORD_ORDERS - 1, 0)) +
	       DIV_ROUND_UP(nr, ARENA_PAGES) * PYM_ARENA_BYTES + PYM_REGION_BYTES +
	       2 * pym_table_bytes(shadow->heap.table);
}

/*
 * An object of @size could not be allocated, with error @err (0 if that is not known).
 * Panic if there is no reason for that error.
 */
static void explain(struct shadow *shadow, u64 size, int err)
{
	u64 run = class_of(shadow, size) ? 0 : shadow_rounded(shadow, size) >> PYM_POOL_SHIFT;
	u64 most = most_bytes(shadow, run ?: 1);
	bool may_grow = shadow->heap.extent < shadow->heap.window;
	bool place = has_place(shadow, run), quota, full;

	if (kernel.failures) {
		MUST(!err || err == -ENOMEM || err == -EINTR || err == -EDQUOT,
		     "error %d", err);
		return;
	}
	MUST(!shadow->heap.nr_empty, "%llu empty pools are left, and it has failed",
	     shadow->heap.nr_empty);
	full = (!place && !may_grow) || bytes_left(&shadow->heap.quota) < most;
	quota = bytes_left(shadow->heap.user) < most;
	MUST(!place || full || quota, "%llu bytes could not be had, without a reason", size);
	MUST(!err || (err == -ENOSPC && !place && may_grow) || (err == -ENOMEM && full) ||
	     (err == -EDQUOT && quota), "error %d for another reason", err);
}

/* Has the heap had pages that may be shared? */
static bool has_been_shared(const struct shadow *shadow)
{
	return shadow->heap.maybe_shared || shadow->heap.nr_own;
}

/*
 * Expect that a batch that ended early has used all blocks of the class.  Blocks that
 * could not be cleared, because a copy of their page failed, may be left.
 */
static void class_is_used_up(struct shadow *shadow, u64 size)
{
	struct pym_class_stats stats;

	if (!class_of(shadow, size) ||
	    (kernel.failures && has_been_shared(shadow)))
		return;
	pym_class_stats(&shadow->heap, class_of(shadow, size), &stats);
	MUST(!stats.pools_used && !stats.blocks_free && !stats.blocks_untouched,
	     "%llu bytes could not be had, but the class had some", size);
}

/*
 * A call that failed because a page could not be copied has freed again what it had
 * allocated, and did not return those refs.  Learn from the heap which blocks that are
 * untouched in the shadow are free now.
 */
static void relearn(struct shadow *shadow)
{
	u64 at = 0, allocs = 0, frees = 0;
	struct pym_class_stats stats;
	struct pym_block_info info;
	struct shadow_page *page;
	u32 number, *slot;

	for (number = 1; number <= PYMALLOC_NR_CLASSES; number++) {
		pym_class_stats(&shadow->heap, number, &stats);
		allocs += stats.nr_allocs - shadow->nr_allocs[number];
		frees += stats.nr_frees - shadow->nr_frees[number];
		shadow->nr_allocs[number] = stats.nr_allocs;
		shadow->nr_frees[number] = stats.nr_frees;
	}
	allocs += shadow->heap.nr_run_allocs - shadow->nr_allocs[0];
	frees += shadow->heap.nr_run_frees - shadow->nr_frees[0];
	shadow->nr_allocs[0] = shadow->heap.nr_run_allocs;
	shadow->nr_frees[0] = shadow->heap.nr_run_frees;
	MUST(allocs == frees && (!allocs || has_been_shared(shadow)), "%llu objects were lost",
	     allocs - frees);

	while (allocs && at < shadow->heap.window) {
		if (!pym_walk_blocks(&shadow->heap, &at, shadow->heap.window, &info, 1) ||
		    look(shadow, info.ref, &slot) != PYMALLOC_REF_UNTOUCHED ||
		    info.state != PYMALLOC_BLOCK_FREE)
			continue;
		page = page_of(shadow, info.ref);
		*slot = SLOT_FREE;
		page->touched++;
	}
}

static void call_begins(struct shadow *shadow)
{
	shadow->grown = 0;
}

static void call_ends(struct shadow *shadow, u64 pages_before)
{
	u64 threshold = shadow->heap.threshold, now = shadow->heap.pages;

	kernel_at_rest();
	MUST(!threshold || pages_before << PYM_POOL_SHIFT >= threshold ||
	     now << PYM_POOL_SHIFT < threshold || shadow->grown,
	     "the threshold was passed without a notice");
}

/*
 * The calls
 */
unsigned int shadow_alloc(struct shadow *shadow, u64 size, bool zero, u64 *refs,
			  unsigned int nr)
{
	u64 before = shadow->heap.pages;
	struct shadow_object *object;
	unsigned int done, i;
	int err = 1;

	call_begins(shadow);
	done = pym_alloc(&shadow->heap, size, zero, refs, nr, &err);
	MUST(done <= nr, "%u of %u objects", done, nr);
	for (i = 0; i < done; i++) {
		object = adopt(shadow, refs[i], size);
		if (zero || size > PYMALLOC_BLOCK_MAX)
			visit(shadow, object, object->size, compare_zero);
	}
	MUST((done == nr) == !err, "%u of %u objects and error %d", done, nr, err);
	if (err) {
		class_is_used_up(shadow, size);
		explain(shadow, size, err);
		relearn(shadow);
	}
	for (i = 0; i < done; i++)
		write_to(shadow, find(shadow, refs[i]));
	call_ends(shadow, before);
	return done;
}

unsigned int shadow_free(struct shadow *shadow, const u64 *refs, unsigned int nr)
{
	u64 keep = PYM_EMPTY_MIN + shadow->heap.pages / 8, before = shadow->heap.nr_empty;
	u8 expected[MAX_BATCH], status[MAX_BATCH];
	unsigned int i, bad = 0, returned;
	struct shadow_object *object;
	u32 *slot;

	MUST(nr <= MAX_BATCH, "a batch of %u", nr);
	for (i = 0; i < nr; i++) {
		status[i] = 0xff;
		expected[i] = look(shadow, refs[i], &slot);
		if (expected[i] != PYMALLOC_REF_OK) {
			bad++;
			continue;
		}
		object = &shadow->objects[*slot - SLOT_OBJECT];
		expect_contents(shadow, object, object->size);
		release(shadow, object);
	}
	shadow->nr_bad_refs += bad;
	returned = pym_free(&shadow->heap, refs, status, nr);
	for (i = 0; i < nr; i++)
		MUST(status[i] == expected[i], "ref %u of %u, %#llx: status %u, not %u",
		     i, nr, refs[i], status[i], expected[i]);
	MUST(returned == bad, "%u bad refs, not %u", returned, bad);
	MUST(shadow->heap.nr_empty <= max(keep, before), "%llu empty pools are kept",
	     shadow->heap.nr_empty);
	call_ends(shadow, ~0ULL >> PYM_POOL_SHIFT);
	return bad;
}

/* Shorten a run to @size bytes. */
static void cut(struct shadow *shadow, struct shadow_object *object, u64 size)
{
	u64 at;

	for (at = size; at < object->size; at += PAGE_SIZE)
		page_set(page_of(shadow, object->ref + at), PYM_CLASS_NONE, 0);
	object->size = size;
}

/* CPython's rule: an object that shrinks moves only if that saves a quarter or more. */
static bool moves(const struct shadow *shadow, const struct shadow_object *object, u64 size)
{
	if (size > object->size)
		return true;
	return size <= PYMALLOC_BLOCK_MAX && size * 4 <= object->size * 3 &&
	       shadow_rounded(shadow, size) != object->size;
}

static void moved(struct shadow *shadow, const struct shadow_object *object, u64 ref,
		  u64 size)
{
	struct shadow_object old = *object, kept;

	adopt(shadow, ref, size);
	release(shadow, find(shadow, old.ref));
	kept = (struct shadow_object) { ref, min(old.size, size), old.tag };
	/* Of a large object only the ends of its pages have the pattern. */
	expect_contents(shadow, &kept,
			old.size > PYMALLOC_BLOCK_MAX && size <= PYMALLOC_BLOCK_MAX ?
			min(kept.size, END_BYTES) : kept.size);
	write_to(shadow, find(shadow, ref));
}

int shadow_resize(struct shadow *shadow, u64 *ref, u64 size)
{
	struct shadow_object *object = find(shadow, *ref);
	u64 before = shadow->heap.pages, old_ref = *ref;
	int err;

	if (object)
		expect_contents(shadow, object, object->size);
	call_begins(shadow);
	err = pym_resize(&shadow->heap, ref, size);
	if (!object)
		MUST(err == -EBADSLT && *ref == old_ref, "error %d for no object", err);
	else if (!moves(shadow, object, size))
		MUST(!err && *ref == old_ref, "error %d where nothing moves", err);
	else if (*ref != old_ref)
		MUST(!err, "error %d and moved", err);
	else
		MUST(!err == (size <= object->size), "error %d and not moved", err);

	if (*ref != old_ref) {
		moved(shadow, object, *ref, size);
	} else if (object && moves(shadow, object, size)) {
		explain(shadow, size, err);
		relearn(shadow);
	} else if (object && size > PYMALLOC_BLOCK_MAX)
		cut(shadow, object, shadow_rounded(shadow, size));
	call_ends(shadow, before);
	return err;
}

void shadow_write(struct shadow *shadow, u64 ref)
{
	struct shadow_object *object = find(shadow, ref);

	if (object) {
		expect_contents(shadow, object, object->size);
		write_to(shadow, object);
	}
	kernel_at_rest();
}

u64 shadow_usable(struct shadow *shadow, u64 ref)
{
	struct shadow_object *object = find(shadow, ref);
	u64 size = pym_usable(&shadow->heap, ref);

	MUST(size == (object ? object->size : 0), "%llu bytes usable at %#llx", size, ref);
	kernel_at_rest();
	return size;
}

/* Copy the shadow of a heap to that of its clone. */
static void copy_shadow(const struct shadow *parent, struct shadow *child)
{
	u64 i, nr;

	for (i = 0; i < parent->heap.window >> PYM_POOL_SHIFT; i++) {
		const struct shadow_page *page = &parent->pages[i];

		child->pages[i] = *page;
		if (!page->slots)
			continue;
		nr = page->class == PYM_CLASS_RUN ? 1 :
		     PAGE_SIZE / (page->class * PYMALLOC_BLOCK_MIN);
		child->pages[i].slots = malloc(nr * sizeof(*page->slots));
		memcpy(child->pages[i].slots, page->slots, nr * sizeof(*page->slots));
	}
	child->objects = realloc(child->objects, parent->room * sizeof(*parent->objects));
	memcpy(child->objects, parent->objects, parent->nr_objects * sizeof(*parent->objects));
	child->nr_objects = parent->nr_objects;
	child->room = parent->room;
	child->last_tag = parent->last_tag;
	memcpy(child->nr_allocs, parent->nr_allocs, sizeof(child->nr_allocs));
	memcpy(child->nr_frees, parent->nr_frees, sizeof(child->nr_frees));
}

struct shadow *shadow_fork(struct shadow *parent)
{
	struct shadow_config config = {
		.alignment = parent->heap.alignment,
		.window = parent->heap.window,
		.limit = parent->heap.limit,
		.threshold = parent->heap.threshold,
	};
	struct shadow *child = shadow_new(&config);

	if (!child)
		return NULL;
	if (pym_heap_clone(&parent->heap, &child->heap)) {
		MUST(kernel.failures, "a heap could not be cloned, without a reason");
		shadow_delete(child);
		return NULL;
	}
	MUST(child->heap.pages == parent->heap.pages - parent->heap.nr_empty,
	     "a clone of %llu pages has %llu", parent->heap.pages, child->heap.pages);
	copy_shadow(parent, child);
	kernel_at_rest();
	return child;
}

u64 shadow_trim(struct shadow *shadow)
{
	u64 before = shadow->heap.nr_empty, bytes = pym_trim(&shadow->heap);

	MUST(bytes == before << PYM_POOL_SHIFT, "%llu bytes of %llu empty pools", bytes, before);
	MUST(!shadow->heap.nr_empty, "empty pools are left");
	kernel_at_rest();
	return bytes;
}
