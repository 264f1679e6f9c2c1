// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The table of sites.  Readers look at it at any moment, also after the process was killed: so
 * a record is complete before the settings record says that it is there.  The writers'
 * lock is that of intern.c.
 */
#include <string.h>
#include <sys/param.h>

#include "table.h"

/* Pages come in steps of so many bytes: one call for some hundred stacks. */
#define STEP	((size_t)64 << 10)

static bool make_room(struct pyml_table *table, size_t bytes)
{
	size_t room = MIN(roundup(bytes, STEP), table->size);

	if (bytes <= table->room)
		return true;
	if (bytes > table->size || !table->grow(table, room))
		return false;
	table->room = room;
	return true;
}

/**
 * pyml_table_reserve() - room for the next record
 * @table: the table
 * @bytes: most bytes that the record may have
 *
 * The record is not there before pyml_table_publish().  The writers' lock is held.
 *
 * Return: the room; NULL if the table is full or there is no memory.
 */
void *pyml_table_reserve(struct pyml_table *table, size_t bytes)
{
	if (!make_room(table, table->used + roundup(bytes, 8)))
		return NULL;
	return table->base + table->used;
}

/**
 * pyml_table_publish() - add the record that has been written where there was room
 * @table: the table
 * @record: where pyml_table_reserve() said; its kind and count are set
 * @bytes: bytes that were written; no more than were reserved
 *
 * The writers' lock is held.
 *
 * Return: the record's number.
 */
__u32 pyml_table_publish(struct pyml_table *table, struct pymalloc_record *record,
			 size_t bytes)
{
	__u32 number = table->used / 8;

	record->bytes = roundup(bytes, 8);
	memset((char *)record + bytes, 0, record->bytes - bytes);
	table->used += record->bytes;
	/* Who reads @used with an acquire, finds the record complete. */
	__atomic_store_n(&pyml_table_settings(table)->used, table->used, __ATOMIC_RELEASE);
	return number;
}

/**
 * pyml_table_add() - add a record
 * @table: the table
 * @record: the record, with its bytes
 *
 * The writers' lock is held.
 *
 * Return: its number; 0 if the table is full or there is no memory, and for the first one.
 */
__u32 pyml_table_add(struct pyml_table *table, const struct pymalloc_record *record)
{
	void *room = pyml_table_reserve(table, record->bytes);

	if (!room)
		return 0;
	memcpy(room, record, record->bytes);
	return pyml_table_publish(table, room, record->bytes);
}
