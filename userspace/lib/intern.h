/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sites: the calling thread's stack as a number, by which a block can be marked. */
#ifndef _PYML_INTERN_H
#define _PYML_INTERN_H

#include <linux/pymalloc.h>
#include <pthread.h>

#include "map.h"
#include "table.h"

/**
 * struct pyml_tracer - a trace of a heap
 * @table: its table of sites; who makes the trace sets its @base, @size and @grow
 * @generation: tells this trace from all others of the process; changes when it begins
 * @fast: the same, if stacks have Python frames only; else no thread's
 * @epoch: changes when sites that are older than the format says need new records
 * @python_frames: most Python frames of a stack; 0 if the process has none
 * @native_frames: most other frames
 * @full: there was no room for a site in this epoch
 * @began: when the trace began, in nanoseconds since 1970
 * @epoch_start: when the epoch began
 * @epoch_end: when it ends
 * @lock: protects @table and what follows
 * @stacks: the records of stacks, by the stack's hash
 * @codes: those of Python functions
 * @objects: those of mapped files
 *
 * A static one is all 0, and so is one that pyml_tracer_begin() has not yet seen.
 */
struct pyml_tracer {
	struct pyml_table table;
	unsigned int generation;
	unsigned int fast;
	unsigned int epoch;
	unsigned int python_frames;
	unsigned int native_frames;
	bool full;
	__u64 began;
	__u64 epoch_start;
	__u64 epoch_end;
	pthread_mutex_t lock;
	struct pyml_map stacks;
	struct pyml_map codes;
	struct pyml_map objects;
};

#pragma GCC visibility push(hidden)

bool pyml_tracer_begin(struct pyml_tracer *tracer, const struct pymalloc_trace *settings);
void pyml_tracer_inherit(struct pyml_tracer *tracer);
void pyml_tracer_tick(struct pyml_tracer *tracer);
__u32 pyml_tracer_site(struct pyml_tracer *tracer);
__u32 pyml_tracer_sites(struct pyml_tracer *tracer, size_t count);
__u32 pyml_tracer_unknown(struct pyml_tracer *tracer);
void pyml_tracer_end(struct pyml_tracer *tracer);
void pyml_tracer_forget_thread(void);

#pragma GCC visibility pop

#endif /* _PYML_INTERN_H */
