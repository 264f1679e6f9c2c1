/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The figures of a heap that are followed over time. */
#ifndef _PYMALLOC_FIGURES_H
#define _PYMALLOC_FIGURES_H

#include <stdbool.h>

#include <linux/types.h>

/* In the order in which they are printed. Those from FIGURE_COUNTS on only grow. */
enum figure {
	FIGURE_BYTES,
	FIGURE_USED,
	FIGURE_METADATA,
	FIGURE_ALLOCS,
	FIGURE_FREES,
	FIGURE_PAGES_IN,
	FIGURE_PAGES_OUT,
	FIGURE_PAGES_MESHED,
	FIGURE_BLOCKS_STOLEN,
	FIGURES,
	FIGURE_COUNTS = FIGURE_ALLOCS,
};

struct figures {
	__u64 of[FIGURES];
};

const char *figure_name(enum figure figure);
bool get_figures(int fd, struct figures *figures);

#endif /* _PYMALLOC_FIGURES_H */
