// SPDX-License-Identifier: GPL-2.0
/*
 * Meshing: blocks keep their bytes and addresses, no slot has two owners, and pages go.
 */
#include "core.h"
#include "mappings.h"
#include "random.h"
#include "tap.h"

#define WINDOW		(64ULL << 20)
#define NR		20000

static struct pym_heap heap;
static struct pym_quota user;

static const struct pym_heap_ops ops = {
	.hold = mappings_hold,
	.release = mappings_release,
	.zap = mappings_zap,
	.map_grown = mappings_map_grown,
};

struct object {
	u64 ref;
	u64 size;
};

static struct object objects[NR];
static unsigned int nr_objects;

static void expect_sound(struct pym_heap *which)
{
	struct pym_verdict verdict;

	MUST(!pym_check(which, &verdict) && !verdict.errors, "%s", verdict.message);
	MUST(!pym_check_live(which, &verdict) && !verdict.errors, "%s", verdict.message);
}

static u64 *memory_in(struct pym_heap *which, u64 ref)
{
	struct page *page = pym_page_get(which, ref);
	char *memory;

	MUST(page, "no page at %#llx", ref);
	memory = (char *)page_address(page) + offset_in_page(ref);
	put_page(page);
	return (u64 *)memory;
}

/* Each word of an object says where it is. */
static void write_object(struct pym_heap *which, const struct object *object)
{
	u64 *memory = memory_in(which, object->ref), i;

	for (i = 0; i < object->size / 8; i++)
		memory[i] = object->ref + 8 * i;
}

static void expect_object(struct pym_heap *which, const struct object *object)
{
	u64 *memory = memory_in(which, object->ref), i;

	for (i = 0; i < object->size / 8; i++)
		MUST(memory[i] == object->ref + 8 * i, "%#llx has lost a word", object->ref);
}

static void expect_objects(struct pym_heap *which)
{
	unsigned int i;

	for (i = 0; i < nr_objects; i++)
		expect_object(which, &objects[i]);
	expect_sound(which);
}

static void begin(void)
{
	mappings_heap_init(&heap, &user, &ops, WINDOW);
}

static void free_object(struct pym_heap *which, const struct object *object, u8 expected)
{
	u8 status;

	pym_free(which, &object->ref, &status, 1);
	MUST(status == expected, "%#llx: status %u", object->ref, status);
}

static void end(void)
{
	while (nr_objects)
		free_object(&heap, &objects[--nr_objects], PYMALLOC_REF_OK);
	expect_sound(&heap);
	pym_trim(&heap);
	expect_sound(&heap);
	MUST(!heap.pages && !heap.nr_arenas, "%llu pages stay", heap.pages);
	pym_pages_destroy(&heap);
	pym_heap_destroy(&heap);
	MUST(!user.used.value, "%ld bytes stay charged", user.used.value);
	pym_arena_cache_exit();
	kernel_empty();
}

static void alloc_object(u64 size)
{
	struct object *object = &objects[nr_objects++];
	int err;

	object->size = size;
	MUST(pym_alloc(&heap, size, false, &object->ref, 1, &err) == 1, "error %d", err);
	write_object(&heap, object);
}

/* Keep each object with a chance of one in @chance. */
static void keep_some(struct random *random, unsigned int chance)
{
	unsigned int i, kept = 0;

	for (i = 0; i < nr_objects; i++) {
		if (random_below(random, chance))
			free_object(&heap, &objects[i], PYMALLOC_REF_OK);
		else
			objects[kept++] = objects[i];
	}
	nr_objects = kept;
}

static u64 mesh(void)
{
	struct pym_mesh_result result;
	u64 pages = heap.pages;
	int err = pym_mesh(&heap, &result);

	MUST(!err, "error %d", err);
	MUST(pages - heap.pages == result.pages_freed, "%llu pages freed, not %llu",
	     pages - heap.pages, result.pages_freed);
	pym_repack(&heap);
	return result.pages_freed;
}

static void fragment(struct random *random, unsigned int chance)
{
	while (nr_objects < NR)
		alloc_object(8 * (1 + random_below(random, 64)));
	keep_some(random, chance);
	pym_trim(&heap);
}

static void frees_pages(const void *unused)
{
	struct random random = { 1 };
	u64 pages;

	(void)unused;
	begin();
	fragment(&random, 20);
	pages = heap.pages;
	MUST(mesh() > pages / 2, "%llu of %llu pages stay", heap.pages, pages);
	expect_objects(&heap);
	end();
}

/* Frees through every face, allocations from meshed frames, and meshing again. */
static void goes_on(const void *unused)
{
	struct random random = { 2 };
	unsigned int round;

	(void)unused;
	begin();
	for (round = 0; round < 8; round++) {
		fragment(&random, 10);
		MUST(mesh(), "nothing meshed in round %u", round);
		expect_objects(&heap);
		while (nr_objects < NR / 4)
			alloc_object(8 * (1 + random_below(&random, 64)));
		expect_objects(&heap);
		keep_some(&random, 2);
		expect_objects(&heap);
	}
	end();
}

static void finds_double_frees(const void *unused)
{
	struct random random = { 3 };
	unsigned int i;

	(void)unused;
	begin();
	fragment(&random, 20);
	MUST(mesh(), "nothing meshed");
	for (i = 0; i < nr_objects; i++) {
		u64 inside = objects[i].ref + 1;
		u8 status;

		pym_free(&heap, &inside, &status, 1);
		MUST(status == PYMALLOC_REF_MISALIGNED, "status %u", status);
	}
	for (i = 0; i < nr_objects; i += 2) {
		struct object *object = &objects[i];
		u8 status[2];
		u64 refs[2] = { object->ref, object->ref };

		MUST(pym_free(&heap, refs, status, 2) == 1 && !status[0], "status %u", status[0]);
		/* Foreign if that was the last block of a pool without other faces. */
		MUST(status[1] == PYMALLOC_REF_FREE || status[1] == PYMALLOC_REF_FOREIGN,
		     "status %u", status[1]);
		*object = objects[--nr_objects];
	}
	expect_objects(&heap);
	end();
}

/* Pages that somebody else uses stay as they are. */
static void leaves_pins_alone(const void *unused)
{
	struct random random = { 4 };
	struct page **pages;
	unsigned int i;

	(void)unused;
	begin();
	fragment(&random, 20);
	pages = calloc(nr_objects, sizeof(*pages));
	for (i = 0; i < nr_objects; i++)
		pages[i] = pym_page_get(&heap, objects[i].ref);
	MUST(!mesh(), "a page in use has been meshed");
	for (i = 0; i < nr_objects; i++) {
		MUST((char *)page_address(pages[i]) + offset_in_page(objects[i].ref) ==
		     (char *)memory_in(&heap, objects[i].ref), "a page has changed");
		put_page(pages[i]);
	}
	free(pages);
	MUST(mesh(), "nothing meshed");
	expect_objects(&heap);
	end();
}

/* fork() of a meshed heap, and meshing while a relative lives. */
static void is_cloned(const void *unused)
{
	struct pym_heap *child = calloc(1, sizeof(*child));
	struct random random = { 5 };
	unsigned int i;

	(void)unused;
	begin();
	fragment(&random, 20);
	MUST(mesh(), "nothing meshed");
	child->ops = &ops;
	MUST(!pym_heap_init(child, heap.alignment, heap.window), "no heap");
	MUST(!pym_heap_clone(&heap, child), "not cloned");
	expect_objects(&heap);
	expect_objects(child);
	MUST(child->pages == heap.pages, "%llu pages, not %llu", child->pages, heap.pages);
	MUST(!mesh(), "a shared page has been meshed");

	for (i = 0; i < nr_objects; i += 3) {
		MUST(!mappings_own(&heap, objects[i].ref), "not its own");
		memset(memory_in(&heap, objects[i].ref), 0, objects[i].size);
	}
	expect_objects(child);
	for (i = 0; i < nr_objects; i += 3)
		write_object(&heap, &objects[i]);
	expect_objects(&heap);
	for (i = 0; i < nr_objects; i++)
		free_object(child, &objects[i], PYMALLOC_REF_OK);
	pym_trim(child);
	expect_sound(child);
	MUST(!child->pages, "%llu pages stay", child->pages);
	MUST(child->pages_out_used == heap.maybe_shared, "%llu pages were in use, not %llu",
	     child->pages_out_used, heap.maybe_shared);
	pym_pages_destroy(child);
	pym_heap_destroy(child);
	free(child);
	expect_objects(&heap);
	end();
}

static void without_memory(const void *unused)
{
	struct pym_mesh_result result;
	struct random random = { 6 };

	(void)unused;
	begin();
	fragment(&random, 20);
	kernel_fail(KERNEL_MEMORY, 0, 1);
	MUST(pym_mesh(&heap, &result) == -ENOMEM, "meshed without memory");
	kernel_fail_nothing();
	MUST(mesh(), "nothing meshed");
	expect_objects(&heap);
	end();
}

static u64 meta_bytes(void)
{
	struct pym_stats stats;

	pym_heap_stats(&heap, &stats);
	return stats.meta_bytes;
}

/* What describes the few pages that are left in each arena becomes as little as they are. */
static void repacks(const void *unused)
{
	struct random random = { 7 };
	u64 before, arenas;

	(void)unused;
	begin();
	while (nr_objects < NR)
		alloc_object(64 + 8 * random_below(&random, 57));
	keep_some(&random, 200);
	pym_trim(&heap);
	before = meta_bytes();
	arenas = heap.base_bytes + heap.nr_arenas * PYM_ARENA_BYTES;
	kernel_fail(KERNEL_SLAB, 0, 1);
	pym_repack(&heap);
	kernel_fail_nothing();
	MUST(meta_bytes() == before, "%llu bytes of metadata, not %llu", meta_bytes(), before);
	expect_objects(&heap);
	pym_repack(&heap);
	expect_objects(&heap);
	MUST(before - arenas > 4 * (meta_bytes() - arenas), "%llu of %llu bytes of metadata stay",
	     meta_bytes() - arenas, before - arenas);
	end();
}

static void needs_a_window(const void *unused)
{
	struct pym_mesh_result result;

	(void)unused;
	begin();
	heap.ops = NULL;
	MUST(pym_mesh(&heap, &result) == -EOPNOTSUPP, "meshed without a window");
	heap.ops = &ops;
	end();
}

int main(void)
{
	tap_begin();
	tap_run("mesh.frees_pages", frees_pages, NULL);
	tap_run("mesh.goes_on", goes_on, NULL);
	tap_run("mesh.finds_double_frees", finds_double_frees, NULL);
	tap_run("mesh.leaves_pins_alone", leaves_pins_alone, NULL);
	tap_run("mesh.is_cloned", is_cloned, NULL);
	tap_run("mesh.without_memory", without_memory, NULL);
	tap_run("mesh.repacks", repacks, NULL);
	tap_run("mesh.needs_a_window", needs_a_window, NULL);
	return tap_end();
}
