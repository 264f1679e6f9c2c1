/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of sites as the library writes it: see pymalloc-sites.h. */
#ifndef _PYML_TABLE_H
#define _PYML_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include <pymalloc-sites.h>

/**
 * struct pyml_table - a table of sites
 * @base: where it is mapped
 * @size: bytes of the mapping: what the table can grow to
 * @used: bytes that are written
 * @room: bytes from @base on that have pages
 * @grow: sees that the first @bytes bytes have pages, which are zero where they are new;
 *	returns false if there is no memory.  It is called with the writers' lock held, from
 *	inside of malloc()
 *
 * Whoever makes the table sets @base, @size and @grow.
 */
struct pyml_table {
	char *base;
	size_t size;
	size_t used;
	size_t room;
	bool (*grow)(struct pyml_table *table, size_t bytes);
};

#pragma GCC visibility push(hidden)

void *pyml_table_reserve(struct pyml_table *table, size_t bytes);
__u32 pyml_table_publish(struct pyml_table *table, struct pymalloc_record *record,
			 size_t bytes);
__u32 pyml_table_add(struct pyml_table *table, const struct pymalloc_record *record);

#pragma GCC visibility pop

/* The record with a number. */
static inline void *pyml_table_at(const struct pyml_table *table, __u32 number)
{
	return table->base + (size_t)number * 8;
}

/* The first record.  Only if @used is not 0. */
static inline struct pymalloc_settings_record *
pyml_table_settings(const struct pyml_table *table)
{
	return pyml_table_at(table, 0);
}

#endif /* _PYML_TABLE_H */
