// SPDX-License-Identifier: GPL-2.0
/* All workloads but those of fork(), which are in fork/. */
#include "bench.h"

const struct workload workloads[] = {
	{ "calibrate", calibrate, 0, 0, 0 },
	{ "pair", pair, 1, 1, 1 },
	{ "lifo", lifo, 1000, 1, 1 },
	{ "replace", replace, 100000, 1, 1 },
	{ "queue", queue, 4096, 2, 1 },
	{ "touch", touch, 1, 1, 1 },
	{ "touch-thp", touch, 1, 1, 1 },
	{ "arenas-1", replace, 1 * ARENA_BLOCKS, 1, 1 },
	{ "arenas-100", replace, 100 * ARENA_BLOCKS, 1, 1 },
	{ "arenas-10000", replace, 10000 * ARENA_BLOCKS, 1, 1 },
	{ "threads-1", threads, 10000, 1, 1 },
	{ "threads-2-heaps", threads, 10000, 2, 2 },
	{ "threads-2-shared", threads, 10000, 2, 1 },
	{ }
};
