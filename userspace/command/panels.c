// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The panels of pymalloc top, made of what there was at two moments.
 *
 * Rates are from the first of them to the second.  What was not there at the first has none:
 * a child of fork() has its parent's counts, and did not make them.
 */
#include <err.h>
#include <stdint.h>
#include <stdlib.h>

#include "command.h"
#include "service.h"
#include "text.h"
#include "panels.h"

enum { HEAP, PID, COMMAND, NAME, BYTES, USED, FRAG, ALLOCS, PAGES };

/* The columns are up to 70 characters wide, so that 80 have room for a bar. */
const struct heading heap_headings[] = {
	[HEAP] = { "HEAP", "heap", 'n', 5, CELL_NUMBER },
	[PID] = { "PID", "pid", 'i', 7, CELL_NUMBER },
	[COMMAND] = { "COMMAND", "command", 'c', 12, CELL_TEXT },
	[NAME] = { "NAME", "name", 'm', 8, CELL_TEXT },
	[BYTES] = { "BYTES", "bytes", 'b', 5, CELL_BYTES },
	[USED] = { "USED", "used", 'u', 5, CELL_BYTES },
	[FRAG] = { "FRAG", "frag", 'f', 4, CELL_PERCENT },
	[ALLOCS] = { "ALLOCS/S", "allocs", 'a', 8, CELL_RATE },
	[PAGES] = { "PAGES/S", "pages", 'p', 7, CELL_RATE },
	{ 0 }
};

enum { SIZE, POOLS, BLOCKS, FREE, CLASS_BYTES, CLASS_ALLOCS, CLASS_FREES };

const struct heading class_headings[] = {
	[SIZE] = { "SIZE", "size", 's', 6, CELL_NUMBER },
	[POOLS] = { "POOLS", "pools", 'p', 9, CELL_NUMBER },
	[BLOCKS] = { "BLOCKS", "blocks", 'o', 11, CELL_NUMBER },
	[FREE] = { "FREE", "free", 'e', 11, CELL_NUMBER },
	[CLASS_BYTES] = { "BYTES", "bytes", 'b', 6, CELL_BYTES },
	[CLASS_ALLOCS] = { "ALLOCS/S", "allocs", 'a', 9, CELL_RATE },
	[CLASS_FREES] = { "FREES/S", "frees", 'f', 9, CELL_RATE },
	{ 0 }
};

enum { PLACE_BYTES, PLACE_SHARE, PLACE_BLOCKS, PLACE_GROWTH, PLACE };

const struct heading place_headings[] = {
	[PLACE_BYTES] = { "BYTES", "bytes", 'b', 6, CELL_BYTES },
	[PLACE_SHARE] = { "SHARE", "share", 'e', 5, CELL_PERCENT },
	[PLACE_BLOCKS] = { "BLOCKS", "blocks", 'o', 10, CELL_NUMBER },
	[PLACE_GROWTH] = { "BYTES/S", "growth", 'g', 8, CELL_RATE },
	[PLACE] = { "PLACE", "place", 'l', 5, CELL_REST },
	{ 0 }
};

static struct panel empty_panel(const struct heading *headings, size_t most)
{
	struct panel panel = {
		.headings = headings,
		.rows = calloc(most ?: 1, sizeof(*panel.rows)),
	};

	if (!panel.rows)
		err(EXIT_FAILED, NULL);
	return panel;
}

static double rate(__u64 now, __u64 before, double seconds)
{
	return seconds > 0 ? ((double)now - before) / seconds : 0;
}

static double share(double part, double whole)
{
	return whole > 0 ? part / whole : 0;
}

static void add_heap(struct panel *panel, const struct seen *heap, const struct seen *before,
		     double seconds)
{
	const __u64 *now = heap->figures.of, *then = before->figures.of;
	__u64 bytes = now[FIGURE_BYTES], used = now[FIGURE_USED];
	struct row *row = &panel->rows[panel->count++];

	row->id = heap->info.id;
	panel_text(row->texts[0], heap->info.comm);
	panel_text(row->texts[1], heap->info.name);
	row->cells[HEAP] = heap->info.id;
	row->cells[PID] = heap->info.pid;
	row->cells[BYTES] = bytes;
	row->cells[USED] = used;
	row->cells[FRAG] = fragmentation(bytes, used);
	row->cells[ALLOCS] = rate(now[FIGURE_ALLOCS], then[FIGURE_ALLOCS], seconds);
	row->cells[PAGES] = rate(now[FIGURE_PAGES_IN], then[FIGURE_PAGES_IN], seconds) -
			    rate(now[FIGURE_PAGES_OUT], then[FIGURE_PAGES_OUT], seconds);
	row->share = share(used, bytes);
}

/**
 * panel_heaps() - a panel of heaps
 * @now: the heaps
 * @before: what there was @seconds ago
 * @seconds: 0 if nothing is known about before
 *
 * Return: the panel, in the order of their numbers; panel_free() frees it.
 */
struct panel panel_heaps(const struct look *now, const struct look *before, double seconds)
{
	struct panel panel = empty_panel(heap_headings, now->count);
	size_t i, from = 0;

	for (i = 0; i < now->count; i++) {
		const struct seen *heap = &now->heaps[i];
		const struct seen *then = look_find(before, heap->info.id, &from);

		add_heap(&panel, heap, then ?: heap, seconds);
	}
	return panel;
}

/**
 * get_classes() - ask for the size classes of a heap
 * @fd: the heap's descriptor
 * @classes: out: the classes
 *
 * Return: false if the heap has ended.
 */
bool get_classes(int fd, struct classes *classes)
{
	struct pymalloc_stats stats = {
		.argsz = sizeof(stats),
		.classes = (uintptr_t)classes->of,
		.nr_classes = PYMALLOC_NR_CLASSES,
		.class_size = sizeof(*classes->of),
	};

	if (!heap_call(fd, PYMALLOC_IOC_STATS, &stats))
		return false;
	classes->count = stats.nr_classes;
	return true;
}

static void add_class(struct panel *panel, const struct pymalloc_class_stats *now,
		      const struct pymalloc_class_stats *before, double seconds)
{
	__u64 free = now->blocks_free + now->blocks_untouched;
	struct row *row = &panel->rows[panel->count++];

	row->id = now->size;
	row->cells[SIZE] = now->size;
	row->cells[POOLS] = now->pools_used + now->pools_full;
	row->cells[BLOCKS] = now->blocks;
	row->cells[FREE] = free;
	row->cells[CLASS_BYTES] = (double)now->blocks * now->size;
	row->cells[CLASS_ALLOCS] = rate(now->nr_allocs, before->nr_allocs, seconds);
	row->cells[CLASS_FREES] = rate(now->nr_frees, before->nr_frees, seconds);
	row->share = share(now->blocks, now->blocks + free);
}

/**
 * panel_classes() - a panel of the size classes that a heap has ever used
 * @now: the classes
 * @before: what they were @seconds ago
 * @seconds: 0 if nothing is known about before
 *
 * Return: the panel, the smallest blocks first; panel_free() frees it.
 */
struct panel panel_classes(const struct classes *now, const struct classes *before,
			   double seconds)
{
	struct panel panel = empty_panel(class_headings, now->count);
	size_t i;

	for (i = 0; i < now->count; i++)
		if (now->of[i].nr_allocs)
			add_class(&panel, &now->of[i], &before->of[i], seconds);
	return panel;
}

/* Both lists are short, and mostly in the same order. */
static const struct place *find_place(const struct places *places, __u64 id, size_t from)
{
	size_t i;

	for (i = 0; i < places->count; i++) {
		const struct place *place = &places->list[(from + i) % places->count];

		if (place->id == id)
			return place;
	}
	return NULL;
}

/**
 * panel_places() - a panel of the places where blocks were allocated
 * @now: the places, or NULL if none are known yet
 * @before: what they were @seconds ago, or NULL
 * @seconds: 0 if nothing is known about before
 *
 * What was not there before has grown from nothing.
 *
 * Return: the panel, the most bytes first; panel_free() frees it.
 */
struct panel panel_places(const struct places *now, const struct places *before,
			  double seconds)
{
	size_t count = now ? now->count : 0, i;
	struct panel panel = empty_panel(place_headings, count);

	for (i = 0; i < count; i++) {
		const struct place *place = &now->list[i];
		const struct place *then = before ? find_place(before, place->id, i) : NULL;
		struct row *row = &panel.rows[panel.count++];

		row->id = place->id;
		panel_text(row->texts[0], place->text);
		row->cells[PLACE_BYTES] = place->bytes;
		row->cells[PLACE_SHARE] = 100 * share(place->bytes, now->bytes);
		row->cells[PLACE_BLOCKS] = place->blocks;
		if (before && seconds > 0)
			row->cells[PLACE_GROWTH] =
				(place->bytes - (then ? then->bytes : 0)) / seconds;
	}
	return panel;
}
