/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Figures as metrics, in the format OpenMetrics. */
#ifndef _PYMALLOC_METRICS_H
#define _PYMALLOC_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <linux/pymalloc.h>

/**
 * struct reading - what a heap said about itself
 * @heap: who it is
 * @stats: its figures
 * @classes: those of its size classes; @stats has their number
 */
struct reading {
	struct pymalloc_heap_info heap;
	struct pymalloc_stats stats;
	struct pymalloc_class_stats classes[PYMALLOC_NR_CLASSES];
};

void print_metrics(FILE *stream, const struct pymalloc_info *info,
		   const struct reading *readings, size_t count, bool with_classes);

#endif /* _PYMALLOC_METRICS_H */
