// SPDX-License-Identifier: LGPL-2.1-or-later
/* What is said about snapshots before their blocks. */
#include <time.h>

#include <linux/pymalloc.h>

#include "heading.h"
#include "tracing.h"

#define NSEC_PER_SEC	1000000000ULL

static const struct column columns[] = {
	{ "HEAP", KIND_NUMBER },
	{ "PID", KIND_NUMBER },
	{ "COMMAND", KIND_TEXT },
	{ "NAME", KIND_TEXT },
	{ "BYTES", KIND_BYTES },
	{ "USED", KIND_BYTES },
	{ "TIME", KIND_TEXT },
	{ "TRACE", KIND_TEXT },
	{ "INTERVAL", KIND_LIMIT },
	{ "SECONDS", KIND_NUMBER },
	{ NULL, 0 }
};

/**
 * section_mode() - how a heap is traced
 * @section: the snapshot of the heap
 *
 * Return: a word.
 */
const char *section_mode(const struct section *section)
{
	const struct pymalloc_settings_record *settings = section->sites.settings;

	return mode_name(settings ? settings->mode : PYMALLOC_TRACE_OFF);
}

/**
 * heading_new() - make a table of heaps
 * @style: what the line asks for
 *
 * Return: the table, empty.
 */
struct table *heading_new(struct style style)
{
	return table_new("heaps", columns, SHAPE_LIST, style);
}

static void add_time(struct table *table, __u64 nanoseconds)
{
	time_t seconds = nanoseconds / NSEC_PER_SEC;
	struct tm parts;
	char text[64];

	if (localtime_r(&seconds, &parts) &&
	    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &parts))
		table_text(table, text);
	else
		table_none(table);
}

static void add_trace(struct table *table, const struct section *section)
{
	const struct pymalloc_settings_record *settings = section->sites.settings;

	table_text(table, section_mode(section));
	if (!settings)
		return;
	table_number(table, settings->mode == PYMALLOC_TRACE_SAMPLED ? settings->interval : 0);
	if (settings->time <= section->header.time)
		table_number(table, (section->header.time - settings->time) / NSEC_PER_SEC);
}

/**
 * heading_add() - add the heaps of a snapshot
 * @table: the table
 * @snapshot: the snapshot
 */
void heading_add(struct table *table, const struct snapshot *snapshot)
{
	size_t i;

	for (i = 0; i < snapshot->count; i++) {
		const struct section *section = &snapshot->sections[i];
		const struct snapfile_header *header = &section->header;

		table_line(table);
		table_number(table, header->heap);
		table_number(table, header->pid);
		table_text(table, header->comm);
		table_text(table, header->name);
		table_number(table, header->page_bytes);
		table_number(table, header->used_bytes);
		add_time(table, header->time);
		add_trace(table, section);
	}
}
