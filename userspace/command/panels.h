/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The panels of pymalloc top, made of what there was at two moments. */
#ifndef _PYMALLOC_PANELS_H
#define _PYMALLOC_PANELS_H

#include <stdbool.h>

#include <linux/pymalloc.h>

#include "look.h"
#include "panel.h"
#include "places.h"

/**
 * struct classes - the size classes of a heap at one moment
 * @count: how many there are
 * @of: their figures
 */
struct classes {
	size_t count;
	struct pymalloc_class_stats of[PYMALLOC_NR_CLASSES];
};

extern const struct heading heap_headings[];
extern const struct heading class_headings[];
extern const struct heading place_headings[];

struct panel panel_heaps(const struct look *now, const struct look *before, double seconds);
bool get_classes(int fd, struct classes *classes);
struct panel panel_classes(const struct classes *now, const struct classes *before,
			   double seconds);
struct panel panel_places(const struct places *now, const struct places *before,
			  double seconds);

#endif /* _PYMALLOC_PANELS_H */
