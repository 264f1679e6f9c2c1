// SPDX-License-Identifier: LGPL-2.1-or-later
/* How a snapshot of a heap is taken. */
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "service.h"
#include "take.h"
#include "tree.h"

/* Blocks that are asked for at once: 192 KiB of them, which stay in a processor's cache. */
#define BLOCKS_A_CALL	8192

/* Rows until equal ones are put together for the first time. */
#define ROWS_MIN	(8 * BLOCKS_A_CALL)

/**
 * struct rows - blocks that have been seen
 * @rows: rows, of which some may be equal
 * @count: how many
 * @room: how many there is room for
 */
struct rows {
	struct snapfile_row *rows;
	size_t count;
	size_t room;
};

static int compare(const void *a, const void *b)
{
	const struct snapfile_row *x = a;
	const struct snapfile_row *y = b;

	if (x->site != y->site)
		return x->site < y->site ? -1 : 1;
	if (x->size != y->size)
		return x->size < y->size ? -1 : 1;
	if (x->idle != y->idle)
		return x->idle < y->idle ? -1 : 1;
	return (x->flags > y->flags) - (x->flags < y->flags);
}

/* Puts equal rows together. */
static void merge(struct rows *rows)
{
	struct snapfile_row *last = rows->rows;
	size_t i;

	if (!rows->count)
		return;
	qsort(rows->rows, rows->count, sizeof(*rows->rows), compare);
	for (i = 1; i < rows->count; i++) {
		if (!compare(last, &rows->rows[i]))
			last->blocks += rows->rows[i].blocks;
		else
			*++last = rows->rows[i];
	}
	rows->count = last + 1 - rows->rows;
}

/*
 * Sees that there is room for the answer to a call.  As it becomes twice as much whenever
 * more than half of it is in use, each row is sorted a few times only.
 */
static void make_room(struct rows *rows)
{
	if (rows->room - rows->count >= BLOCKS_A_CALL)
		return;
	merge(rows);
	if (rows->room && rows->count < rows->room / 2)
		return;
	rows->room = rows->room ? 2 * rows->room : ROWS_MIN;
	rows->rows = reallocarray(rows->rows, rows->room, sizeof(*rows->rows));
	if (!rows->rows)
		err(EXIT_FAILED, NULL);
}

/* A block in a magazine has a word that is no site. */
static __u32 site_of(const struct pymalloc_site_info *block)
{
	return block->site == PYMALLOC_WORD_CACHED ? PYMALLOC_SITE_UNKNOWN : block->site;
}

/*
 * Rounds down the time for which a page has been idle, so that there are few different ones.
 * Each bound of the spans in key.c is a step.
 */
static __u32 idle_step(__u32 idle)
{
	enum { MINUTE = 60, HOUR = 60 * MINUTE, DAY = 24 * HOUR };
	static const __u32 steps[] = {
		100 * DAY, 50 * DAY, 20 * DAY, 10 * DAY, 5 * DAY, 2 * DAY, DAY,
		12 * HOUR, 5 * HOUR, 2 * HOUR, HOUR,
		30 * MINUTE, 20 * MINUTE, 10 * MINUTE, 5 * MINUTE, 2 * MINUTE, MINUTE,
		30, 20, 10, 5, 2, 1, 0
	};
	const __u32 *step = steps;

	if (idle == PYMALLOC_NO_IDLE)
		return SNAPFILE_NO_IDLE;
	while (idle < *step)
		step++;
	return *step;
}

static void add_block(struct rows *rows, const struct pymalloc_site_info *block)
{
	rows->rows[rows->count++] = (struct snapfile_row){
		.site = site_of(block),
		.size = block->size,
		.flags = block->flags & PYMALLOC_SITE_CACHED ? SNAPFILE_CACHED : 0,
		.idle = idle_step(block->idle),
		.blocks = 1,
	};
}

static void take_rows(int fd, struct section *section)
{
	static struct pymalloc_site_info blocks[BLOCKS_A_CALL];
	struct pymalloc_walk walk = {
		.argsz = sizeof(walk),
		.what = PYMALLOC_WALK_SITES,
		.entries = (uintptr_t)blocks,
		.count = BLOCKS_A_CALL,
		.entry_size = sizeof(*blocks),
	};
	struct rows rows = { 0 };
	__u32 i;

	do {
		service_call(fd, PYMALLOC_IOC_WALK, &walk);
		make_room(&rows);
		for (i = 0; i < walk.done; i++)
			add_block(&rows, &blocks[i]);
		walk.start = walk.next;
	} while (walk.next);
	merge(&rows);
	section->rows = rows.rows;
	section->header.nr_rows = rows.count;
}

/* Returns how many bytes there were. */
static __u64 read_table(int fd, void *data, __u64 bytes)
{
	struct pymalloc_sites sites = { .argsz = sizeof(sites), .op = PYMALLOC_SITES_READ };
	__u64 done = 0;

	do {
		sites.offset = PYMALLOC_SITES_OFFSET + done;
		sites.bytes = bytes - done;
		sites.data = (uintptr_t)data + done;
		service_call(fd, PYMALLOC_IOC_SITES, &sites);
		done += sites.done;
	} while (sites.done && done < bytes);
	return done;
}

/* After the rows, so that it has the sites of all of them.  Without a trace it is empty. */
static void take_table(int fd, struct section *section)
{
	struct pymalloc_settings_record settings = { 0 };
	__u64 bytes = 0;

	if (read_table(fd, &settings, sizeof(settings)) == sizeof(settings) &&
	    !memcmp(settings.magic, PYMALLOC_SITES_MAGIC, sizeof(settings.magic)))
		bytes = settings.used < PYMALLOC_TABLE_MAX ? settings.used : PYMALLOC_TABLE_MAX;
	section->table = allocate(bytes, 1);
	if (!bytes)
		return;
	section->header.table_bytes = read_table(fd, section->table, bytes);
	/* The program goes on: its table may say more by now than what has been copied. */
	memcpy((char *)section->table + offsetof(struct pymalloc_settings_record, used),
	       &section->header.table_bytes, sizeof(section->header.table_bytes));
}

static void take_header(int fd, struct snapfile_header *header)
{
	struct pymalloc_heap_info heap = describe_heap(fd);
	struct pymalloc_stats stats = { .argsz = sizeof(stats) };
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	service_call(fd, PYMALLOC_IOC_STATS, &stats);
	*header = (struct snapfile_header){
		.magic = SNAPFILE_MAGIC,
		.version = SNAPFILE_VERSION,
		.header_bytes = sizeof(*header),
		.time = now.tv_sec * 1000000000ULL + now.tv_nsec,
		.heap = heap.id,
		.pid = heap.pid,
		.uid = heap.uid,
		.page_bytes = stats.page_bytes,
		.meta_bytes = stats.meta_bytes,
		.used_bytes = stats.block_bytes + stats.run_pages * PYMALLOC_POOL_SIZE,
		.row_bytes = sizeof(struct snapfile_row),
	};
	snprintf(header->comm, sizeof(header->comm), "%s", heap.comm);
	snprintf(header->name, sizeof(header->name), "%s", heap.name);
}

static void take_section(struct section *section, __u64 id)
{
	int fd = open_heap(id, PYMALLOC_OPEN_RDONLY);

	take_header(fd, &section->header);
	take_rows(fd, section);
	take_table(fd, section);
	close(fd);
}

/**
 * take_snapshots() - take snapshots of several heaps, one after the other
 * @snapshot: to which they are added, not checked
 * @ids: the heaps' numbers
 * @count: how many
 */
void take_snapshots(struct snapshot *snapshot, const __u64 *ids, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		take_section(snapshot_add(snapshot), ids[i]);
}
