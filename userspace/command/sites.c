// SPDX-License-Identifier: LGPL-2.1-or-later
/* A table of sites that somebody else has written: nothing in it is believed. */
#include <err.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <linux/pymalloc.h>

#include "command.h"
#include "sites.h"

/* A number is an offset divided by this, and records are aligned to it. */
#define UNIT	8

/* A text of @bytes bytes, the NUL included, which is its last one. */
static bool is_text(const char *text, size_t bytes)
{
	return bytes && strnlen(text, bytes) == bytes - 1;
}

static const char *check_settings(const struct pymalloc_record *record)
{
	const struct pymalloc_settings_record *settings = (const void *)record;

	if (memcmp(settings->magic, PYMALLOC_SITES_MAGIC, sizeof(settings->magic)))
		return "it does not begin as a table of sites";
	if (settings->version != PYMALLOC_SITES_VERSION)
		return "it is of another version";
	if (settings->used < record->bytes)
		return "it ends before its first record";
	if (settings->mode > PYMALLOC_TRACE_EXACT)
		return "its trace has an unknown mode";
	if (settings->mode == PYMALLOC_TRACE_SAMPLED &&
	    (settings->interval < PYMALLOC_INTERVAL_MIN ||
	     settings->interval > PYMALLOC_INTERVAL_MAX))
		return "its trace has a wrong interval";
	return NULL;
}

static const char *check_object(const struct pymalloc_record *record)
{
	const struct pymalloc_object_record *object = (const void *)record;
	size_t room = record->bytes - sizeof(*object);

	if (object->build_id_bytes > room ||
	    object->path_bytes > room - object->build_id_bytes)
		return "a file's name is longer than its record";
	if (!is_text(object->data + object->build_id_bytes, object->path_bytes))
		return "a file's name does not end";
	return NULL;
}

static const char *check_code(const struct pymalloc_record *record)
{
	const struct pymalloc_code_record *code = (const void *)record;
	size_t room = record->bytes - sizeof(*code);

	if (code->file_bytes > room || code->name_bytes > room - code->file_bytes)
		return "a function's name is longer than its record";
	if (!is_text(code->data, code->file_bytes) ||
	    !is_text(code->data + code->file_bytes, code->name_bytes))
		return "a function's name does not end";
	return NULL;
}

static const char *check_thread(const struct pymalloc_record *record)
{
	const struct pymalloc_thread_record *thread = (const void *)record;

	if (!memchr(thread->name, '\0', sizeof(thread->name)))
		return "a thread's name does not end";
	return NULL;
}

/* The records before this one are in @sites already; a stack refers to no other. */
static const char *check_stack(const struct sites *sites,
			       const struct pymalloc_record *record)
{
	const struct pymalloc_stack_record *stack = (const void *)record;
	size_t i;

	if (record->count > (record->bytes - sizeof(*stack)) / sizeof(*stack->frames))
		return "a stack has more frames than its record";
	for (i = 0; i < record->count; i++)
		if (stack->frames[i].where &&
		    !sites_find(sites, stack->frames[i].where, PYMALLOC_RECORD_CODE) &&
		    !sites_find(sites, stack->frames[i].where, PYMALLOC_RECORD_OBJECT))
			return "a frame is nowhere";
	return NULL;
}

static const char *check_site(const struct sites *sites,
			      const struct pymalloc_record *record)
{
	const struct pymalloc_site_record *site = (const void *)record;

	if (!sites_find(sites, site->stack, PYMALLOC_RECORD_STACK))
		return "a site has no stack";
	if (!sites_find(sites, site->thread, PYMALLOC_RECORD_THREAD))
		return "a site has no thread";
	return NULL;
}

/* Bytes of the smallest record of this kind; 0 if there is no such kind. */
static size_t smallest(__u16 kind)
{
	static const size_t sizes[] = {
		[PYMALLOC_RECORD_SETTINGS] = sizeof(struct pymalloc_settings_record),
		[PYMALLOC_RECORD_OBJECT] = sizeof(struct pymalloc_object_record),
		[PYMALLOC_RECORD_CODE] = sizeof(struct pymalloc_code_record),
		[PYMALLOC_RECORD_THREAD] = sizeof(struct pymalloc_thread_record),
		[PYMALLOC_RECORD_STACK] = sizeof(struct pymalloc_stack_record),
		[PYMALLOC_RECORD_SITE] = sizeof(struct pymalloc_site_record),
	};

	return kind < sizeof(sizes) / sizeof(*sizes) ? sizes[kind] : 0;
}

static const char *check_record(const struct sites *sites,
				const struct pymalloc_record *record)
{
	bool is_first = !sites->count;
	bool is_settings = record->kind == PYMALLOC_RECORD_SETTINGS;

	if (is_first != is_settings)
		return "its settings are not where they should be";
	switch (record->kind) {
	case PYMALLOC_RECORD_SETTINGS:
		return check_settings(record);
	case PYMALLOC_RECORD_OBJECT:
		return check_object(record);
	case PYMALLOC_RECORD_CODE:
		return check_code(record);
	case PYMALLOC_RECORD_THREAD:
		return check_thread(record);
	case PYMALLOC_RECORD_STACK:
		return check_stack(sites, record);
	default:
		return check_site(sites, record);
	}
}

static void add_record(struct sites *sites, size_t offset)
{
	/* A power of two has been reached. */
	if (!(sites->count & (sites->count - 1))) {
		sites->numbers = reallocarray(sites->numbers, 2 * sites->count + 1,
					      sizeof(*sites->numbers));
		if (!sites->numbers)
			err(EXIT_FAILED, NULL);
	}
	sites->numbers[sites->count++] = offset / UNIT;
}

/**
 * sites_check() - look through a table of sites
 * @sites: is filled
 * @data: the table, aligned to 8 bytes; it must stay
 * @bytes: bytes of it
 *
 * Return: NULL; or what is wrong with the table.
 */
const char *sites_check(struct sites *sites, const char *data, size_t bytes)
{
	size_t offset = 0;

	*sites = (struct sites){ .data = data };
	while (offset < bytes) {
		const struct pymalloc_record *record = (const void *)(data + offset);
		const char *wrong;

		if (bytes - offset < sizeof(*record) || record->bytes > bytes - offset)
			return "it ends within a record";
		if (!smallest(record->kind))
			return "it has a record of an unknown kind";
		if (record->bytes % UNIT || record->bytes < smallest(record->kind))
			return "it has a record of a wrong size";
		wrong = check_record(sites, record);
		if (wrong)
			return wrong;
		if (!offset) {
			sites->settings = (const void *)data;
			if (sites->settings->used < bytes)
				bytes = sites->settings->used;
		}
		add_record(sites, offset);
		offset += record->bytes;
	}
	return NULL;
}

static int compare_numbers(const void *a, const void *b)
{
	__u32 x = *(const __u32 *)a;
	__u32 y = *(const __u32 *)b;

	return (x > y) - (x < y);
}

/**
 * sites_at() - the record that has a number
 * @sites: the table
 * @number: the number
 *
 * Return: the record; NULL if none begins there.
 */
const struct pymalloc_record *sites_at(const struct sites *sites, __u32 number)
{
	if (!sites->count || !bsearch(&number, sites->numbers, sites->count,
				      sizeof(number), compare_numbers))
		return NULL;
	return (const void *)(sites->data + (size_t)number * UNIT);
}

/**
 * sites_find() - the record of some kind that has a number
 * @sites: the table
 * @number: the number
 * @kind: PYMALLOC_RECORD_*
 *
 * Return: the record, which begins with struct pymalloc_record; NULL if there is none.
 */
const void *sites_find(const struct sites *sites, __u32 number, __u16 kind)
{
	const struct pymalloc_record *record = sites_at(sites, number);

	return record && record->kind == kind ? record : NULL;
}
