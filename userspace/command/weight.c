// SPDX-License-Identifier: LGPL-2.1-or-later
/* For how many blocks a block in a snapshot stands. */
#include <math.h>

#include <linux/pymalloc.h>

#include "weight.h"

/**
 * is_sampled() - whether only some of a heap's blocks have a site
 * @section: the snapshot of the heap
 *
 * Return: true if its trace is a sampled one.
 */
bool is_sampled(const struct section *section)
{
	const struct pymalloc_settings_record *settings = section->sites.settings;

	return settings && settings->mode == PYMALLOC_TRACE_SAMPLED;
}

/* A block of n bytes is sampled with the probability 1 - exp(-n / interval). */
static double sample_weight(const struct section *section, const struct snapfile_row *row)
{
	return -1 / expm1(-(double)row->size / section->sites.settings->interval);
}

/**
 * weight_before() - for how many blocks each without a site stands
 * @section: the snapshot of a heap
 *
 * In a sampled trace they are those that are older than the trace, and those that were not
 * sampled.  The blocks that were sampled stand for the latter: what these make too many is
 * taken from here, so that the sum is that of the heap.
 *
 * Return: 1, or less if the trace is a sampled one.
 */
double weight_before(const struct section *section)
{
	double sampled = 0;
	double without = 0;
	__u64 i;

	if (!is_sampled(section))
		return 1;
	for (i = 0; i < section->header.nr_rows; i++) {
		const struct snapfile_row *row = &section->rows[i];
		double bytes = (double)row->size * row->blocks;

		if (row->flags & SNAPFILE_CACHED)
			continue;
		if (row->site == PYMALLOC_SITE_BEFORE)
			without += bytes;
		else
			sampled += bytes * (sample_weight(section, row) - 1);
	}
	return sampled < without ? 1 - sampled / without : 0;
}

/**
 * weight_of() - for how many blocks each of a row stands
 * @section: the snapshot of a heap
 * @row: the row
 * @before: what weight_before() says
 *
 * Return: how many; they are an estimate if the trace is a sampled one.
 */
double weight_of(const struct section *section, const struct snapfile_row *row,
		 double before)
{
	if (!is_sampled(section) || row->flags & SNAPFILE_CACHED)
		return 1;
	return row->site == PYMALLOC_SITE_BEFORE ? before : sample_weight(section, row);
}
