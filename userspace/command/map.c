// SPDX-License-Identifier: LGPL-2.1-or-later
/* pymalloc map: a heap's arenas, one letter a pool; or one arena's pools. */
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "command.h"
#include "picture.h"
#include "service.h"
#include "table.h"
#include "target.h"

static const struct column arena_columns[] = {
	{ "OFFSET", KIND_OFFSET },
	{ "KIND", KIND_TEXT },
	{ "BLOCKS", KIND_NUMBER },
	{ "POOLS", KIND_TEXT },
	{ NULL, 0 }
};

static const struct column pool_columns[] = {
	{ "OFFSET", KIND_OFFSET },
	{ "STATE", KIND_TEXT },
	{ "SIZE", KIND_NUMBER },
	{ "ALLOCATED", KIND_NUMBER },
	{ "FREE", KIND_NUMBER },
	{ "UNTOUCHED", KIND_NUMBER },
	{ "MESHED", KIND_NUMBER },
	{ "BLOCKS", KIND_TEXT },
	{ NULL, 0 }
};

static const char *kind_name(__u32 kind)
{
	return kind == PYMALLOC_ARENA_RUNS ? "runs" : "object";
}

static const char *state_name(__u32 state)
{
	static const char * const names[] = {
		[PYMALLOC_POOL_NONE] = "none",
		[PYMALLOC_POOL_EMPTY] = "empty",
		[PYMALLOC_POOL_USED] = "used",
		[PYMALLOC_POOL_FULL] = "full",
		[PYMALLOC_POOL_RUN] = "run",
		[PYMALLOC_POOL_TAIL] = "tail",
	};

	return state < sizeof(names) / sizeof(*names) ? names[state] : "?";
}

/* Returns the number of entries; @next is where to go on, or 0 at the end. */
static size_t walk(int fd, __u32 what, __u64 start, __u64 end, void *entries,
		   size_t entry_size, size_t count, __u64 *next)
{
	struct pymalloc_walk args = {
		.argsz = sizeof(args),
		.what = what,
		.start = start,
		.end = end,
		.entries = (uintptr_t)entries,
		.count = count,
		.entry_size = entry_size,
	};

	service_call(fd, PYMALLOC_IOC_WALK, &args);
	*next = args.next;
	return args.done;
}

/* If the arena goes meanwhile, it has no pools. */
static size_t walk_pools(int fd, __u64 start, struct pymalloc_pool_info *pools)
{
	__u64 next;

	return walk(fd, PYMALLOC_WALK_POOLS, start, start + PYMALLOC_ARENA_SIZE,
		    pools, sizeof(*pools), PYMALLOC_ARENA_POOLS, &next);
}

static void add_arena(struct table *table, const struct pymalloc_arena_info *arena,
		      const char *letters)
{
	table_line(table);
	table_number(table, arena->offset);
	table_text(table, kind_name(arena->kind));
	table_number(table, arena->blocks);
	table_text(table, letters);
}

/* Adds an arena to the table @json; or prints it, with its offset padded to @width. */
static void draw_arena(int fd, const struct pymalloc_arena_info *arena,
		       struct table *json, int width)
{
	struct pymalloc_pool_info pools[PYMALLOC_ARENA_POOLS];
	char letters[PYMALLOC_ARENA_POOLS + 1];
	size_t count = walk_pools(fd, arena->offset, pools);
	size_t i;

	for (i = 0; i < count; i++)
		letters[i] = pool_letter(&pools[i]);
	letters[count] = '\0';
	if (json)
		add_arena(json, arena, letters);
	else
		print_arena(arena->offset, width, letters);
}

static void draw_heap(int fd, bool as_json)
{
	__u64 last = describe_heap(fd).window - PYMALLOC_ARENA_SIZE;
	int width = snprintf(NULL, 0, "%#llx", last);
	struct pymalloc_arena_info arenas[256];
	struct table *json = NULL;
	__u64 next = 0;

	if (as_json)
		json = table_new("arenas", arena_columns, SHAPE_LIST,
				 (struct style){ .json = true });
	do {
		size_t count = walk(fd, PYMALLOC_WALK_ARENAS, next, 0, arenas,
				    sizeof(*arenas), 256, &next);
		size_t i;

		for (i = 0; i < count; i++)
			draw_arena(fd, &arenas[i], json, width);
	} while (next);
	if (as_json)
		tables_print(&json, 1);
	else
		print_legend();
}

static void list_pools(int fd, __u64 offset, bool as_json)
{
	struct pymalloc_pool_info pools[PYMALLOC_ARENA_POOLS];
	struct table *table;
	size_t count = 0;
	size_t i;

	if (offset < PYMALLOC_WINDOW_MAX)
		count = walk_pools(fd, offset - offset % PYMALLOC_ARENA_SIZE, pools);
	if (!count)
		errx(EXIT_FAILED, "the heap has no arena at %#llx", offset);
	table = table_new("pools", pool_columns, SHAPE_LIST,
			  (struct style){ .json = as_json });
	for (i = 0; i < count; i++) {
		char bar[BAR_LEN + 1];

		table_line(table);
		table_number(table, pools[i].offset);
		table_text(table, state_name(pools[i].state));
		table_number(table, pools[i].size);
		table_number(table, pools[i].allocated);
		table_number(table, pools[i].free);
		table_number(table, pools[i].untouched);
		table_number(table, !!(pools[i].flags & PYMALLOC_POOL_MESHED));
		table_text(table, pool_bar(bar, &pools[i]));
	}
	tables_print(&table, 1);
}

int map_main(int argc, char **argv)
{
	struct target target = parse_target(argc, argv, "HEAP [OFFSET]",
					    "Draw a heap: an arena a line, named by its offset, and a pool a letter.\n"
					    "Or list the pools of the arena that has OFFSET, which can be a block's ref.",
					    TAKES_OFFSET);
	int fd = open_heap(target.id, PYMALLOC_OPEN_RDONLY);

	if (target.has_offset)
		list_pools(fd, target.offset, target.json);
	else
		draw_heap(fd, target.json);
	close(fd);
	return 0;
}
