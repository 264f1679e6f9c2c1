// SPDX-License-Identifier: LGPL-2.1-or-later
/* The figures of a heap that are followed over time. */
#include "figures.h"
#include "service.h"

/**
 * figure_name() - the name of a figure
 * @figure: which
 *
 * Return: the name that pymalloc show has for it.
 */
const char *figure_name(enum figure figure)
{
	static const char * const names[FIGURES] = {
		[FIGURE_BYTES] = "BYTES",
		[FIGURE_USED] = "USED",
		[FIGURE_METADATA] = "METADATA",
		[FIGURE_ALLOCS] = "ALLOCS",
		[FIGURE_FREES] = "FREES",
		[FIGURE_PAGES_IN] = "PAGES_IN",
		[FIGURE_PAGES_OUT] = "PAGES_OUT",
		[FIGURE_PAGES_MESHED] = "PAGES_MESHED",
		[FIGURE_BLOCKS_STOLEN] = "BLOCKS_STOLEN",
	};

	return names[figure];
}

/**
 * get_figures() - ask for a heap's figures
 * @fd: the heap's descriptor
 * @figures: where to store them
 *
 * Return: false if the heap has ended.
 */
bool get_figures(int fd, struct figures *figures)
{
	struct pymalloc_stats stats = { .argsz = sizeof(stats) };

	if (!heap_call(fd, PYMALLOC_IOC_STATS, &stats))
		return false;
	*figures = (struct figures){ .of = {
		[FIGURE_BYTES] = stats.page_bytes,
		[FIGURE_USED] = stats.block_bytes + stats.run_pages * PYMALLOC_POOL_SIZE,
		[FIGURE_METADATA] = stats.meta_bytes,
		[FIGURE_ALLOCS] = stats.nr_allocs,
		[FIGURE_FREES] = stats.nr_frees,
		[FIGURE_PAGES_IN] = stats.nr_pages_in,
		[FIGURE_PAGES_OUT] = stats.nr_pages_out,
		[FIGURE_PAGES_MESHED] = stats.nr_meshed,
		[FIGURE_BLOCKS_STOLEN] = stats.nr_stolen,
	} };
	return true;
}
