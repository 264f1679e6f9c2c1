// SPDX-License-Identifier: LGPL-2.1-or-later
/* pymalloc show: a heap's figures, by size class and by type; its clients and its names. */
#include <stdint.h>
#include <unistd.h>

#include "command.h"
#include "policy.h"
#include "service.h"
#include "shared.h"
#include "table.h"
#include "target.h"
#include "text.h"
#include "types.h"

static const struct column heap_columns[] = {
	{ "HEAP", KIND_NUMBER },
	{ "PID", KIND_NUMBER },
	{ "COMMAND", KIND_TEXT },
	{ "NAME", KIND_TEXT },
	{ "UID", KIND_NUMBER },
	{ "ALIGNMENT", KIND_NUMBER },
	{ "WINDOW", KIND_BYTES },
	{ "LIMIT", KIND_LIMIT },
	{ "THRESHOLD", KIND_LIMIT },
	{ "BYTES", KIND_BYTES },
	{ "SHARED", KIND_BYTES },
	{ "PSS", KIND_BYTES },
	{ "PEAK", KIND_BYTES },
	{ "USED", KIND_BYTES },
	{ "FRAG", KIND_PERCENT },
	{ "METADATA", KIND_BYTES },
	{ "ARENAS", KIND_NUMBER },
	{ "RUN_ARENAS", KIND_NUMBER },
	{ "POOLS_USED", KIND_NUMBER },
	{ "POOLS_FULL", KIND_NUMBER },
	{ "POOLS_EMPTY", KIND_NUMBER },
	{ "BLOCKS", KIND_NUMBER },
	{ "BLOCK_BYTES", KIND_BYTES },
	{ "RUNS", KIND_NUMBER },
	{ "RUN_BYTES", KIND_BYTES },
	{ "ALLOCS", KIND_NUMBER },
	{ "FREES", KIND_NUMBER },
	{ "BAD_REFS", KIND_NUMBER },
	{ "PAGES_IN", KIND_NUMBER },
	{ "PAGES_OUT", KIND_NUMBER },
	{ "THREADS", KIND_NUMBER },
	{ "THREAD_CACHE_MAX", KIND_BYTES },
	{ "POOLS_MESHED", KIND_NUMBER },
	{ "PAGES_MESHED", KIND_NUMBER },
	{ "PAGES_DECAYED", KIND_NUMBER },
	{ "PAGES_SHRUNK", KIND_NUMBER },
	{ "BLOCKS_STOLEN", KIND_NUMBER },
	{ "DECAY_MS", KIND_NUMBER },
	{ "KEEP", KIND_BYTES },
	{ "DECAY", KIND_SWITCH },
	{ "STEAL", KIND_SWITCH },
	{ "MESH", KIND_SWITCH },
	{ NULL, 0 }
};

static const struct column class_columns[] = {
	{ "SIZE", KIND_NUMBER },
	{ "POOLS_USED", KIND_NUMBER },
	{ "POOLS_FULL", KIND_NUMBER },
	{ "BLOCKS", KIND_NUMBER },
	{ "FREE", KIND_NUMBER },
	{ "UNTOUCHED", KIND_NUMBER },
	{ "BYTES", KIND_BYTES },
	{ "ALLOCS", KIND_NUMBER },
	{ "FREES", KIND_NUMBER },
	{ NULL, 0 }
};

static struct table *heap_table(const struct pymalloc_heap_info *heap,
				const struct pymalloc_stats *stats,
				const struct pymalloc_policy *policy, struct style style)
{
	struct table *table = table_new("heap", heap_columns, SHAPE_RECORD, style);
	__u64 run_bytes = stats->run_pages * PYMALLOC_POOL_SIZE;
	__u64 used = stats->block_bytes + run_bytes;

	table_line(table);
	table_number(table, heap->id);
	table_number(table, heap->pid);
	table_text(table, heap->comm);
	table_text(table, heap->name);
	table_number(table, heap->uid);
	table_number(table, heap->alignment);
	table_number(table, heap->window);
	table_number(table, stats->limit);
	table_number(table, stats->threshold);
	table_number(table, stats->page_bytes);
	table_number(table, stats->shared_bytes);
	table_number(table, stats->pss_bytes);
	table_number(table, stats->page_bytes_peak);
	table_number(table, used);
	table_number(table, fragmentation(stats->page_bytes, used));
	table_number(table, stats->meta_bytes);
	table_number(table, stats->arenas);
	table_number(table, stats->run_arenas);
	table_number(table, stats->pools_used);
	table_number(table, stats->pools_full);
	table_number(table, stats->pools_empty);
	table_number(table, stats->blocks);
	table_number(table, stats->block_bytes);
	table_number(table, stats->runs);
	table_number(table, run_bytes);
	table_number(table, stats->nr_allocs);
	table_number(table, stats->nr_frees);
	table_number(table, stats->nr_bad_refs);
	table_number(table, stats->nr_pages_in);
	table_number(table, stats->nr_pages_out);
	table_number(table, stats->cache_threads);
	table_number(table, stats->cache_bytes_max);
	table_number(table, stats->pools_meshed);
	table_number(table, stats->nr_meshed);
	table_number(table, stats->nr_decayed);
	table_number(table, stats->nr_shrunk);
	table_number(table, stats->nr_stolen);
	table_policy(table, policy);
	return table;
}

static void add_class(struct table *table,
		      const struct pymalloc_class_stats *class)
{
	table_line(table);
	table_number(table, class->size);
	table_number(table, class->pools_used);
	table_number(table, class->pools_full);
	table_number(table, class->blocks);
	table_number(table, class->blocks_free);
	table_number(table, class->blocks_untouched);
	table_number(table, class->blocks * class->size);
	table_number(table, class->nr_allocs);
	table_number(table, class->nr_frees);
}

/* The classes that were ever used. */
static struct table *class_table(const struct pymalloc_class_stats *classes,
				 size_t count, struct style style)
{
	struct table *table = table_new("classes", class_columns, SHAPE_LIST, style);
	size_t i;

	for (i = 0; i < count; i++)
		if (classes[i].nr_allocs)
			add_class(table, &classes[i]);
	return table;
}

/* Without the columns that say which heap it is. */
static struct table *type_table(const struct pymalloc_heap_info *heap,
				const struct pymalloc_type_info *types, size_t count,
				struct style style)
{
	struct selection shown = {};
	struct table *table;
	size_t i;

	for (i = column_find(type_columns, "TYPE"); type_columns[i].name; i++)
		shown.indices[shown.count++] = i;
	table = table_new_of("types", type_columns, &shown, style);
	add_types(table, heap, types, count);
	return table;
}

/* Few programs have types, and few heaps are shared: in text, what is not there is left out. */
static size_t add_tables(struct table **tables, int fd, const struct pymalloc_heap_info *heap,
			 struct style style)
{
	struct pymalloc_type_info types[PYMALLOC_TYPES_MAX];
	size_t nr_types = read_types(fd, types), nr = 0;

	if (nr_types || style.json)
		tables[nr++] = type_table(heap, types, nr_types, style);
	if (is_shared(heap) || style.json) {
		tables[nr++] = client_table(fd, heap, style);
		tables[nr++] = name_table(fd, heap, style);
	}
	return nr;
}

int show_main(int argc, char **argv)
{
	struct target target = parse_target(argc, argv, "HEAP",
					    "Print a heap's figures, by size class and by type; of a\n"
					    "shared heap also its clients and its names.",
					    TAKES_BYTES);
	struct style style = { .json = target.json, .bytes = target.bytes };
	struct pymalloc_class_stats classes[PYMALLOC_NR_CLASSES];
	struct pymalloc_stats stats = {
		.argsz = sizeof(stats),
		.classes = (uintptr_t)classes,
		.nr_classes = PYMALLOC_NR_CLASSES,
		.class_size = sizeof(*classes),
	};
	int fd = open_heap(target.id, PYMALLOC_OPEN_RDONLY);
	struct pymalloc_heap_info heap = describe_heap(fd);
	struct pymalloc_policy policy = get_policy(fd);
	struct table *tables[5];
	size_t nr = 2;

	service_call(fd, PYMALLOC_IOC_STATS, &stats);
	tables[0] = heap_table(&heap, &stats, &policy, style);
	tables[1] = class_table(classes, stats.nr_classes, style);
	nr += add_tables(&tables[nr], fd, &heap, style);
	close(fd);
	tables_print(tables, nr);
	return 0;
}
