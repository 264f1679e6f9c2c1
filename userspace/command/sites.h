/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A table of sites that somebody else has written: nothing in it is believed. */
#ifndef _PYMALLOC_SITES_READ_H
#define _PYMALLOC_SITES_READ_H

#include <stddef.h>

#include <pymalloc-sites.h>

/**
 * struct sites - a table that has been checked
 * @data: the table, aligned to 8 bytes; NULL if there is none
 * @settings: its first record; NULL if there is none
 * @numbers: the numbers of its records, in ascending order
 * @count: how many these are
 */
struct sites {
	const char *data;
	const struct pymalloc_settings_record *settings;
	__u32 *numbers;
	size_t count;
};

const char *sites_check(struct sites *sites, const char *data, size_t bytes);
const struct pymalloc_record *sites_at(const struct sites *sites, __u32 number);
const void *sites_find(const struct sites *sites, __u32 number, __u16 kind);

#endif /* _PYMALLOC_SITES_READ_H */
