// SPDX-License-Identifier: LGPL-2.1-or-later
/* Blocks of a snapshot, put together by what they have in common. */
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/pymalloc.h>

#include "command.h"
#include "groups.h"
#include "key.h"
#include "weight.h"

#define NSEC_PER_SEC	1000000000ULL

/* A row, or a site, before it is put together with others. */
static void add_group(struct groups *groups, const struct group *group)
{
	struct group *list = groups->list;

	/* A power of two has been reached. */
	if (!(groups->count & (groups->count - 1))) {
		list = reallocarray(list, 2 * groups->count + 1, sizeof(*list));
		if (!list)
			err(EXIT_FAILED, NULL);
		groups->list = list;
	}
	list[groups->count++] = *group;
	groups->bytes += group->bytes;
	groups->blocks += group->blocks;
}

/**
 * keeps_row() - whether blocks are among those that the line asks for
 * @view: what the line asks for
 * @section: the snapshot of a heap
 * @row: the blocks
 *
 * Return: whether they are; it does not matter whether they lie in magazines.
 */
bool keeps_row(const struct view *view, const struct section *section,
	       const struct snapfile_row *row)
{
	/* What is older than the trace is also older than what one asks for. */
	if (view->older_than && row->site != PYMALLOC_SITE_BEFORE &&
	    age_of(section, row->site) / NSEC_PER_SEC < view->older_than)
		return false;
	return view_keeps(view, stack_of(&section->sites, row->site));
}

static void add_row(struct groups *groups, const struct view *view,
		    const struct section *section, const struct snapfile_row *row,
		    double before)
{
	const struct stack *stack = stack_of(&section->sites, row->site);
	double blocks = row->blocks * weight_of(section, row, before);
	double bytes = blocks * row->size;

	if (!keeps_row(view, section, row))
		return;
	if (row->flags & SNAPFILE_CACHED && !view->cached) {
		groups->cached_blocks += blocks;
		groups->cached_bytes += bytes;
		return;
	}
	add_group(groups, &(struct group){
		.key = key_of(view->by, section, row, stack),
		.stack = stack,
		.most = bytes,
		.bytes = bytes,
		.blocks = blocks,
		.idle = row->idle,
	});
}

/* What has been allocated is known of sites whose blocks are all free, too. */
static void add_site(struct groups *groups, const struct view *view,
		     const struct section *section, __u32 number)
{
	const struct pymalloc_site_record *site = sites_find(&section->sites, number,
							     PYMALLOC_RECORD_SITE);
	const struct snapfile_row row = { .site = number };

	if (!site || !keeps_row(view, section, &row))
		return;
	add_group(groups, &(struct group){
		.key = key_of(view->by, section, &row, stack_of(&section->sites, number)),
		.stack = stack_of(&section->sites, number),
		.allocated = site->count,
		.idle = SNAPFILE_NO_IDLE,
	});
}

static void add_section(struct groups *groups, const struct view *view,
			const struct section *section)
{
	double before = weight_before(section);
	size_t i;

	for (i = 0; i < section->header.nr_rows; i++)
		add_row(groups, view, section, &section->rows[i], before);
	for (i = 0; groups->counted && i < section->sites.count; i++)
		add_site(groups, view, section, section->sites.numbers[i]);
}

static int compare_keys(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t)((const struct group *)a)->key;
	uintptr_t y = (uintptr_t)((const struct group *)b)->key;

	return (x > y) - (x < y);
}

static void join(struct group *group, const struct group *other)
{
	group->bytes += other->bytes;
	group->blocks += other->blocks;
	if (__builtin_add_overflow(group->allocated, other->allocated, &group->allocated))
		group->allocated = UINT64_MAX;
	if (other->idle < group->idle)
		group->idle = other->idle;
	if (other->most > group->most) {
		group->most = other->most;
		group->stack = other->stack;
	}
}

static void join_equal(struct groups *groups)
{
	struct group *last = groups->list;
	size_t i;

	if (!groups->count)
		return;
	qsort(groups->list, groups->count, sizeof(*groups->list), compare_keys);
	for (i = 1; i < groups->count; i++) {
		if (last->key == groups->list[i].key)
			join(last, &groups->list[i]);
		else
			*++last = groups->list[i];
	}
	groups->count = last + 1 - groups->list;
}

/* The largest first; by name if they are equal, so that the order is always the same. */
static int compare_sizes(const void *a, const void *b)
{
	const struct group *x = a;
	const struct group *y = b;

	if (x->bytes != y->bytes)
		return x->bytes > y->bytes ? -1 : 1;
	return strcmp(x->key, y->key);
}

/* A site has no size, and nobody knows what has been touched of it. */
static bool is_counted(const struct view *view, const struct snapshot *snapshot)
{
	bool counted = false;
	size_t i;

	if (view->by == BY_CLASS || view->by == BY_IDLE)
		return false;
	for (i = 0; i < snapshot->count; i++) {
		if (is_sampled(&snapshot->sections[i]))
			return false;
		counted = counted || snapshot->sections[i].sites.settings;
	}
	return counted;
}

/**
 * groups_make() - put the blocks of a snapshot together
 * @view: what the line asks for
 * @snapshot: the snapshot, which must stay
 *
 * Return: the groups; some may have no blocks, but have had.  groups_free() frees them.
 */
struct groups groups_make(const struct view *view, const struct snapshot *snapshot)
{
	struct groups groups = { .counted = is_counted(view, snapshot) };
	size_t i;

	for (i = 0; i < snapshot->count; i++) {
		add_section(&groups, view, &snapshot->sections[i]);
		groups.estimated = groups.estimated || is_sampled(&snapshot->sections[i]);
	}
	join_equal(&groups);
	if (groups.count)
		qsort(groups.list, groups.count, sizeof(*groups.list), compare_sizes);
	return groups;
}

/**
 * groups_free() - free groups
 * @groups: the groups
 */
void groups_free(struct groups *groups)
{
	free(groups->list);
}

/**
 * group_text() - what to call a group
 * @view: what the line asks for
 * @group: the group
 *
 * Return: a text, in several lines if the line asks for whole stacks; the caller frees it.
 */
char *group_text(const struct view *view, const struct group *group)
{
	size_t length;
	char *text;
	FILE *stream = open_memstream(&text, &length);

	if (!stream)
		err(EXIT_FAILED, NULL);
	/* A line is in one function nearly always; the name helps. */
	if ((view->by == BY_LINE || (view->by == BY_SITE && !view->stacks)) &&
	    group->stack && group->stack->place)
		print_frame(stream, group->stack->place);
	else
		fputs(group->key, stream);
	if (fclose(stream))
		err(EXIT_FAILED, NULL);
	return text;
}
