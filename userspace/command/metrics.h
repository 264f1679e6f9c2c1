/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Figures as metrics, for a monitoring system. */
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
 * @errors: how many contradictions a check has found, if there was one
 * @clients: of a shared heap, how many clients it has
 * @holds: what they hold: a block that n clients hold counts n times
 * @inbox: blocks that they have been given, and have not received
 * @names: how many names it has
 */
struct reading {
	struct pymalloc_heap_info heap;
	struct pymalloc_stats stats;
	struct pymalloc_class_stats classes[PYMALLOC_NR_CLASSES];
	__u64 errors;
	__u64 clients;
	__u64 holds;
	__u64 inbox;
	__u64 names;
};

/**
 * struct choice - what to print, and how
 * @classes: also figures of size classes
 * @checks: also what checks have found
 * @plain: in Prometheus' older text format, version 0.0.4, instead of OpenMetrics
 */
struct choice {
	bool classes;
	bool checks;
	bool plain;
};

void print_metrics(FILE *stream, const struct pymalloc_info *info,
		   const struct reading *readings, size_t count, struct choice choice);

#endif /* _PYMALLOC_METRICS_H */
