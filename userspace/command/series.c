// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The groups of several snapshots, side by side.  Numbers of sites mean something within one
 * trace only: groups are the same if their keys are.
 */
#include <err.h>
#include <stdint.h>
#include <stdlib.h>

#include "command.h"
#include "series.h"
#include "tree.h"

/* A group, and the snapshot that it is of. */
struct part {
	struct group group;
	size_t snapshot;
};

struct parts {
	struct part *list;
	size_t count;
};

static void add_parts(struct parts *parts, const struct groups *groups, size_t snapshot)
{
	size_t i;

	parts->list = reallocarray(parts->list, parts->count + groups->count + 1,
				   sizeof(*parts->list));
	if (!parts->list)
		err(EXIT_FAILED, NULL);
	for (i = 0; i < groups->count; i++)
		if (groups->list[i].blocks > 0)
			parts->list[parts->count++] = (struct part){
				.group = groups->list[i],
				.snapshot = snapshot,
			};
}

static int compare_parts(const void *a, const void *b)
{
	const struct part *x = a;
	const struct part *y = b;

	if (x->group.key != y->group.key)
		return (uintptr_t)x->group.key < (uintptr_t)y->group.key ? -1 : 1;
	return (x->snapshot > y->snapshot) - (x->snapshot < y->snapshot);
}

static void add_courses(struct series *series, const struct parts *parts)
{
	struct course *course = NULL;
	size_t i;

	series->list = allocate(parts->count, sizeof(*series->list));
	for (i = 0; i < parts->count; i++) {
		const struct part *part = &parts->list[i];

		if (!course || course->group.key != part->group.key) {
			course = &series->list[series->count++];
			course->amounts = allocate(series->nr_snapshots,
						   sizeof(*course->amounts));
		}
		course->group = part->group;
		course->amounts[part->snapshot] = (struct amount){
			.bytes = part->group.bytes,
			.blocks = part->group.blocks,
		};
	}
}

/**
 * series_load() - put the blocks of several snapshots together
 * @view: what the line asks for; its words are the snapshots
 *
 * Return: the series, in no order; series_free() frees it.
 */
struct series series_load(const struct view *view)
{
	struct series series = { .nr_snapshots = view->nr_words };
	struct parts parts = { 0 };
	size_t i;

	series.snapshots = allocate(view->nr_words, sizeof(*series.snapshots));
	for (i = 0; i < view->nr_words; i++) {
		struct groups groups;

		series.snapshots[i] = load_snapshot(view->words[i]);
		groups = groups_make(view, &series.snapshots[i]);
		add_parts(&parts, &groups, i);
		series.estimated = series.estimated || groups.estimated;
		groups_free(&groups);
	}
	if (parts.count)
		qsort(parts.list, parts.count, sizeof(*parts.list), compare_parts);
	add_courses(&series, &parts);
	free(parts.list);
	return series;
}

/**
 * series_free() - free a series
 * @series: the series
 */
void series_free(struct series *series)
{
	size_t i;

	for (i = 0; i < series->count; i++)
		free(series->list[i].amounts);
	for (i = 0; i < series->nr_snapshots; i++)
		snapshot_free(&series->snapshots[i]);
	free(series->snapshots);
	free(series->list);
}
