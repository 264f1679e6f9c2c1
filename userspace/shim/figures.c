// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What the C library tells about its heap, and gives back of it, together with the shim's
 * heap.  To the program, objects in magazines are free: they are counted where the C
 * library counts its fast bins.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libc.h"
#include "shim.h"
#include "spare.h"

/**
 * struct figures - the shim's heap, as the program may see it
 * @held: bytes of pages
 * @used: bytes of objects
 * @cached: bytes of objects in magazines
 * @free: bytes of pages that are neither
 * @blocks_cached: how many objects are in magazines
 * @blocks_free: free blocks in pools
 * @empty: bytes of empty pools
 * @most: the most that @held has been
 */
struct figures {
	size_t held;
	size_t used;
	size_t cached;
	size_t free;
	size_t blocks_cached;
	size_t blocks_free;
	size_t empty;
	size_t most;
};

/* 0 if there would be less. */
static size_t less(size_t a, size_t b)
{
	return a > b ? a - b : 0;
}

static size_t count_free(const struct pymalloc_class_stats *classes, size_t count)
{
	size_t sum = 0;
	size_t i;

	for (i = 0; i < count; i++)
		sum += classes[i].blocks_free;
	return sum;
}

/* All zero if there is no heap. */
static struct figures look_at_heap(void)
{
	struct pymalloc_class_stats classes[PYMALLOC_NR_CLASSES];
	struct pymalloc_cache_stats caches;
	struct pymalloc_stats stats;
	size_t objects;

	if (!shim_has_heap() || pymalloc_heap_stats(shim_heap, &stats, classes))
		return (struct figures){ 0 };
	pymalloc_heap_cache_stats(shim_heap, &caches);
	objects = stats.block_bytes + stats.run_pages * PYMALLOC_POOL_SIZE;
	return (struct figures){
		.held = stats.page_bytes,
		/* Other threads go on meanwhile: there may be less now. */
		.used = less(objects, caches.bytes),
		.cached = caches.bytes,
		.free = less(stats.page_bytes, objects),
		.blocks_cached = caches.blocks,
		.blocks_free = count_free(classes, stats.nr_classes),
		.empty = stats.pools_empty * PYMALLOC_POOL_SIZE,
		.most = stats.page_bytes_peak,
	};
}

typedef struct mallinfo2 (*mallinfo2_fn)(void);

static struct mallinfo2 add_up(void)
{
	struct mallinfo2 info = ((mallinfo2_fn)shim_libc("mallinfo2"))();
	struct figures ours = look_at_heap();

	info.arena += ours.held;
	info.ordblks += ours.blocks_free;
	info.smblks += ours.blocks_cached;
	info.fsmblks += ours.cached;
	info.uordblks += ours.used;
	info.fordblks += ours.cached + ours.free;
	info.keepcost += ours.empty;
	return info;
}

PYMALLOC_API struct mallinfo2 mallinfo2(void)
{
	return add_up();
}

/* Its members are ints, which are too short for large heaps: it is deprecated for that. */
PYMALLOC_API struct mallinfo mallinfo(void)
{
	struct mallinfo2 info = add_up();

	return (struct mallinfo){
		.arena = info.arena,
		.ordblks = info.ordblks,
		.smblks = info.smblks,
		.hblks = info.hblks,
		.hblkhd = info.hblkhd,
		.usmblks = info.usmblks,
		.fsmblks = info.fsmblks,
		.uordblks = info.uordblks,
		.fordblks = info.fordblks,
		.keepcost = info.keepcost,
	};
}

typedef void (*malloc_stats_fn)(void);

PYMALLOC_API void malloc_stats(void)
{
	struct figures ours = look_at_heap();

	((malloc_stats_fn)shim_libc("malloc_stats"))();
	fprintf(stderr, "pymalloc:\n"
		"system bytes     = %10zu\n"
		"in use bytes     = %10zu\n", ours.held, ours.used);
}

static void print_heap(FILE *file)
{
	struct figures ours = look_at_heap();

	fprintf(file, "<heap nr=\"pymalloc\">\n"
		"<total type=\"fast\" count=\"%zu\" size=\"%zu\"/>\n"
		"<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n"
		"<system type=\"current\" size=\"%zu\"/>\n"
		"<system type=\"max\" size=\"%zu\"/>\n"
		"</heap>\n",
		ours.blocks_cached, ours.cached, ours.blocks_free,
		ours.free, ours.held, ours.most);
}

typedef int (*malloc_info_fn)(int options, FILE *file);

/* What the C library prints, with one more heap after its first line. */
static int print_both(int options, FILE *file)
{
	char *text = NULL, *rest;
	size_t bytes;
	FILE *memory = open_memstream(&text, &bytes);
	int err;

	if (!memory)
		return -1;
	err = ((malloc_info_fn)shim_libc("malloc_info"))(options, memory);
	if (fclose(memory))
		err = -1;
	rest = err ? NULL : strchr(text, '\n');
	if (rest) {
		fprintf(file, "%.*s\n", (int)(rest - text), text);
		print_heap(file);
		fputs(rest + 1, file);
	}
	free(text);
	return err;
}

PYMALLOC_API int malloc_info(int options, FILE *file)
{
	if (!shim_has_heap())
		return ((malloc_info_fn)shim_libc("malloc_info"))(options, file);
	return print_both(options, file);
}

typedef int (*malloc_trim_fn)(size_t pad);

/* Returns 1 if memory went back to the system, as the C library's does. */
PYMALLOC_API int malloc_trim(size_t pad)
{
	struct pymalloc_compact done = { 0 };

	shim_free_spares();
	if (shim_has_heap())
		pymalloc_heap_compact(shim_heap, 0, &done);
	return ((malloc_trim_fn)shim_libc("malloc_trim"))(pad) || done.pages_freed;
}
