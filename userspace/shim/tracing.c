// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tracing from the start of the program on: PYMALLOC_TRACE in the environment, which
 * `pymalloc run --trace` sets, says how.
 */
#include <stdio.h>
#include <stdlib.h>

#include "count.h"
#include "fd.h"
#include "report.h"
#include "shim.h"
#include "slow.h"
#include "tracing.h"

/*
 * Four numbers: the mode, the most Python frames, the most other frames, and the interval of
 * samples in bytes.
 */
static bool parse(const char *text, struct pymalloc_trace *trace)
{
	unsigned long long interval;
	int end = 0;

	if (sscanf(text, "%u,%u,%u,%llu%n", &trace->mode, &trace->python_frames,
		   &trace->native_frames, &interval, &end) != 4 || text[end])
		return false;
	trace->interval = interval;
	return true;
}

/**
 * shim_tracing_start() - set the trace of a new heap as the environment says
 *
 * Before any thread has a cache: the first fill finds it.
 */
void shim_tracing_start(void)
{
	const char *text = getenv("PYMALLOC_TRACE");
	struct pymalloc_trace trace = {
		.argsz = sizeof(trace),
		.flags = PYMALLOC_TRACE_SET,
	};

	pyml_counts_itself = SHIM_COUNTS;
	shim_heap->on_failure = shim_malloc_elsewhere;
	if (!text || !*text)
		return;
	if (!parse(text, &trace) || pyml_ioctl(shim_heap, PYMALLOC_IOC_TRACE, &trace))
		pyml_say("pymalloc: PYMALLOC_TRACE=%.40s: not possible; ignored\n", text);
}
