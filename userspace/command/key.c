// SPDX-License-Identifier: LGPL-2.1-or-later
/* What blocks have in common that are put together. */
#include <err.h>
#include <search.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "key.h"
#include "tree.h"

#define NSEC_PER_SEC	1000000000ULL

/* The key of a stack. */
struct keyed {
	const struct stack *stack;
	const char *key;
};

static int compare_texts(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* The one copy of a text, so that comparing two is comparing their addresses. */
static const char *intern(char *text)
{
	static void *texts;
	char **found = tsearch(text, &texts, compare_texts);

	if (!found)
		err(EXIT_FAILED, NULL);
	if (*found != text)
		free(text);
	return *found;
}

static const char *intern_copy(const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		err(EXIT_FAILED, NULL);
	return intern(copy);
}

static void print_function(FILE *stream, const struct frame *frame)
{
	if (!frame->function)
		print_place(stream, frame);
	else
		fprintf(stream, "%s (%s)", frame->function, file_of(frame));
}

static void print_file(FILE *stream, const struct frame *frame)
{
	fputs(file_of(frame) ?: "no file", stream);
}

static void print_stack(FILE *stream, const struct stack *stack)
{
	size_t i;

	for (i = 0; i < stack->count; i++) {
		if (i)
			putc('\n', stream);
		print_frame(stream, stack->frames[i]);
	}
}

static const char *make_stack_key(enum by by, const struct stack *stack)
{
	size_t length;
	char *text;
	FILE *stream;

	if (!stack->place)
		return intern_copy("no stack");
	stream = open_memstream(&text, &length);
	if (!stream)
		err(EXIT_FAILED, NULL);
	if (by == BY_SITE)
		print_stack(stream, stack);
	else if (by == BY_FILE)
		print_file(stream, stack->place);
	else if (by == BY_FUNCTION)
		print_function(stream, stack->place);
	else
		print_place(stream, stack->place);
	if (fclose(stream))
		err(EXIT_FAILED, NULL);
	return intern(text);
}

static int compare_keyed(const void *a, const void *b)
{
	const struct keyed *x = a;
	const struct keyed *y = b;

	return (x->stack > y->stack) - (x->stack < y->stack);
}

/* Each stack's key is made once. */
static const char *stack_key(enum by by, const struct stack *stack)
{
	static struct tree keys = { .size = sizeof(struct keyed), .compare = compare_keyed };
	bool is_new;
	struct keyed *keyed = tree_member(&keys, &(struct keyed){ .stack = stack }, &is_new);

	if (is_new)
		keyed->key = make_stack_key(by, stack);
	return keyed->key;
}

/* A few steps, so that there is something to put together. */
static const char *span_key(__u64 seconds)
{
	static const struct {
		__u64 below;
		const char *name;
	} spans[] = {
		{ 1, "less than a second" },
		{ 10, "1 to 10 seconds" },
		{ 60, "10 to 60 seconds" },
		{ 10 * 60, "1 to 10 minutes" },
		{ 60 * 60, "10 to 60 minutes" },
		{ 24 * 60 * 60, "1 to 24 hours" },
		{ 10 * 24 * 60 * 60, "1 to 10 days" },
	};
	size_t i;

	for (i = 0; i < sizeof(spans) / sizeof(*spans); i++)
		if (seconds < spans[i].below)
			return intern_copy(spans[i].name);
	return intern_copy("10 days and more");
}

static const char *class_key(const struct snapfile_row *row)
{
	char text[32];

	snprintf(text, sizeof(text), "%u bytes", row->size);
	return intern_copy(text);
}

static const char *thread_key(const struct sites *sites, __u32 number)
{
	const struct pymalloc_site_record *site = sites_find(sites, number,
							     PYMALLOC_RECORD_SITE);
	const struct pymalloc_thread_record *thread = sites_find(sites, site->thread,
								 PYMALLOC_RECORD_THREAD);
	char text[sizeof(thread->name) + 16];

	snprintf(text, sizeof(text), "%s (%u)", thread->name, thread->tid);
	return intern_copy(text);
}

/**
 * age_of() - how long ago the blocks of a site were allocated, at most
 * @section: the snapshot of a heap
 * @site: the number of the site's record
 *
 * Return: nanoseconds; 0 if there is no such record.
 */
__u64 age_of(const struct section *section, __u32 site)
{
	const struct pymalloc_site_record *record = sites_find(&section->sites, site,
							       PYMALLOC_RECORD_SITE);

	if (!record || record->time > section->header.time)
		return 0;
	return section->header.time - record->time;
}

/**
 * key_of() - what blocks have in common with those with which they are put together
 * @by: by what; always the same
 * @section: the snapshot of a heap
 * @row: the blocks
 * @stack: their stack; NULL if there is none
 *
 * Return: a text, which stays; equal ones are at the same address.
 */
const char *key_of(enum by by, const struct section *section,
		   const struct snapfile_row *row, const struct stack *stack)
{
	if (by == BY_CLASS)
		return class_key(row);
	if (by == BY_IDLE && row->idle != SNAPFILE_NO_IDLE)
		return span_key(row->idle);
	if (by == BY_IDLE)
		return intern_copy("not known");
	if (!stack)
		return intern_copy(row->site == PYMALLOC_SITE_BEFORE ? "before the trace" :
				   "unknown");
	if (by == BY_AGE)
		return span_key(age_of(section, row->site) / NSEC_PER_SEC);
	if (by == BY_THREAD)
		return thread_key(&section->sites, row->site);
	return stack_key(by, stack);
}
