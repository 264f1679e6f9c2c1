/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a heap is to be traced: words and options that `run` and `trace` have in common. */
#ifndef _PYMALLOC_TRACING_H
#define _PYMALLOC_TRACING_H

#include <argp.h>

#include <linux/pymalloc.h>

/* Python frames and other frames of a stack, if the line does not say how many. */
#define TRACING_PYTHON_FRAMES	1
#define TRACING_NATIVE_FRAMES	0

/* The keys of the options below. */
enum {
	OPTION_FRAMES = 0x1000,
	OPTION_NATIVE,
	OPTION_INTERVAL,
};

/* Three entries of a table of options. */
#define TRACING_OPTIONS \
	{ "frames", OPTION_FRAMES, "N", 0, \
	  "record up to N Python frames of each stack; 1 unless you say so, 25 at most", 0 }, \
	{ "native", OPTION_NATIVE, "N", 0, \
	  "record up to N other frames as well; programs that are not Python need that", 0 }, \
	{ "interval", OPTION_INTERVAL, "BYTES", 0, \
	  "with sampled: bytes from a sample to the next on average; 524288 unless you say so", 0 }

__u32 parse_mode(struct argp_state *state, const char *word);
error_t parse_tracing(int key, char *word, struct argp_state *state,
		      struct pymalloc_trace *trace);
const char *mode_name(__u32 mode);

#endif /* _PYMALLOC_TRACING_H */
