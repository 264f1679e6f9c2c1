// SPDX-License-Identifier: GPL-2.0
/*
 * A heap without a window: nobody maps it, so it has no operations (struct pym_heap_ops).
 * Everything else works as in any heap.
 */
#include "core.h"
#include "tap.h"

#define WINDOW		(64ULL << 20)
#define NR		1000
#define LARGE		300000

static struct pym_heap heap;

static void expect_sound(void)
{
	struct pym_verdict verdict;

	MUST(!pym_check(&heap, &verdict) && !verdict.errors, "%s", verdict.message);
	MUST(!pym_check_live(&heap, &verdict) && !verdict.errors, "%s", verdict.message);
}

static void begin(void)
{
	MUST(!pym_arena_cache_init(), "no cache");
	memset(&heap, 0, sizeof(heap));
	heap.threshold = PYMALLOC_POOL_SIZE;
	MUST(!pym_heap_init(&heap, 8, WINDOW), "no heap");
}

static void end(void)
{
	expect_sound();
	pym_heap_destroy(&heap);
	pym_arena_cache_exit();
	kernel_empty();
}

static char *memory_at(u64 ref)
{
	struct page *page = pym_page_get(&heap, ref);
	char *memory;

	MUST(page, "no page at %#llx", ref);
	memory = (char *)page_address(page) + offset_in_page(ref);
	put_page(page);
	return memory;
}

static void blocks(const void *unused)
{
	u64 refs[NR], size;
	u8 status[NR];
	int err;

	(void)unused;
	begin();
	for (size = 8; size <= 512; size *= 2) {
		MUST(pym_alloc(&heap, size, true, refs, NR, &err) == NR, "error %d", err);
		MUST(!memory_at(refs[NR - 1])[size - 1], "not zero");
		memory_at(refs[NR - 1])[0] = 1;
		expect_sound();
		MUST(!pym_free(&heap, refs, status, NR), "refs are bad that were allocated");
		MUST(pym_free(&heap, refs, status, 1) == 1, "a second free is not refused");
	}
	pym_trim(&heap);
	MUST(pym_alloc(&heap, 8, false, refs, 1, &err) == 1, "error %d", err);
	MUST(!pym_free(&heap, refs, status, 1), "a ref is bad that was allocated");
	MUST(pym_trim(&heap) == PAGE_SIZE, "no pool was empty");
	MUST(!heap.pages, "%llu pages are left", heap.pages);
	end();
}

/* Pages that somebody else still has do not count as free when the heap gives them back. */
static void pages_in_use(const void *unused)
{
	struct page *page;
	u64 refs[NR];
	u8 status[NR];
	int err;

	(void)unused;
	begin();
	MUST(pym_alloc(&heap, 512, false, refs, NR, &err) == NR, "error %d", err);
	MUST(!pym_pages_are_held(&heap), "a page is held");
	page = pym_page_get(&heap, refs[0]);
	MUST(pym_pages_are_held(&heap), "no page is held");
	MUST(!pym_free(&heap, refs, status, NR), "refs are bad that were allocated");
	pym_trim(&heap);
	MUST(!heap.pages, "%llu pages are left", heap.pages);
	MUST(heap.pages_out_used == 1, "%llu pages in use", heap.pages_out_used);
	put_page(page);
	end();
}

static void large_objects(const void *unused)
{
	u64 ref, size;
	u8 status;
	int err;

	(void)unused;
	begin();
	for (size = 513; size <= 4 * LARGE; size *= 2) {
		MUST(pym_alloc(&heap, size, false, &ref, 1, &err) == 1, "error %d", err);
		MUST(pym_usable(&heap, ref) >= size, "too small");
		expect_sound();
		MUST(!pym_free(&heap, &ref, &status, 1), "a ref is bad that was allocated");
	}
	MUST(!heap.pages, "%llu pages are left", heap.pages);
	end();
}

static void resizes(const void *unused)
{
	static const u64 sizes[] = { 16, 500, LARGE, 2 * LARGE, 5000, 40 };
	unsigned int i;
	u64 ref;
	int err;

	(void)unused;
	begin();
	MUST(pym_alloc(&heap, 8, false, &ref, 1, &err) == 1, "error %d", err);
	memory_at(ref)[7] = 42;
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		MUST(!pym_resize(&heap, &ref, sizes[i]), "not resized to %llu", sizes[i]);
		MUST(memory_at(ref)[7] == 42, "other contents after %llu bytes", sizes[i]);
		expect_sound();
	}
	end();
}

int main(void)
{
	tap_begin();
	tap_run("blocks", blocks, NULL);
	tap_run("pages in use", pages_in_use, NULL);
	tap_run("large objects", large_objects, NULL);
	tap_run("resizes", resizes, NULL);
	return tap_end();
}
