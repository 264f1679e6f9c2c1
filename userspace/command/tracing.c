// SPDX-License-Identifier: LGPL-2.1-or-later
/* How a heap is to be traced: words and options that `run` and `trace` have in common. */
#include <string.h>

#include "options.h"
#include "tracing.h"

static const char *const modes[] = {
	[PYMALLOC_TRACE_OFF] = "off",
	[PYMALLOC_TRACE_GROWTH] = "growth",
	[PYMALLOC_TRACE_SAMPLED] = "sampled",
	[PYMALLOC_TRACE_EXACT] = "exact",
};

#define NR_MODES	(sizeof(modes) / sizeof(*modes))

/**
 * parse_mode() - read the word for a mode
 * @state: the line's
 * @word: the word
 *
 * Ends the program with a message if there is no such mode.
 *
 * Return: PYMALLOC_TRACE_*.
 */
__u32 parse_mode(struct argp_state *state, const char *word)
{
	__u32 mode;

	for (mode = 0; mode < NR_MODES; mode++)
		if (!strcmp(word, modes[mode]))
			return mode;
	argp_error(state, "MODE is exact, sampled, growth or off: %s", word);
	return PYMALLOC_TRACE_OFF;
}

/**
 * mode_name() - the word for a mode
 * @mode: PYMALLOC_TRACE_*
 *
 * Return: the word.
 */
const char *mode_name(__u32 mode)
{
	return mode < NR_MODES ? modes[mode] : "?";
}

static __u32 parse_frames(struct argp_state *state, const char *word, const char *option)
{
	__u64 frames = parse_number(state, word);

	if (frames > PYMALLOC_FRAMES_MAX)
		argp_error(state, "--%s is at most %d: %s", option, PYMALLOC_FRAMES_MAX,
			   word);
	return frames;
}

static __u64 parse_interval(struct argp_state *state, const char *word)
{
	__u64 interval = parse_size(state, word);

	if (interval < PYMALLOC_INTERVAL_MIN || interval > PYMALLOC_INTERVAL_MAX)
		argp_error(state, "--interval is from %d to %llu: %s",
			   PYMALLOC_INTERVAL_MIN, PYMALLOC_INTERVAL_MAX, word);
	return interval;
}

/**
 * parse_tracing() - read one of TRACING_OPTIONS
 * @key: the option
 * @word: its value
 * @state: the line's
 * @trace: where it goes
 *
 * Return: 0; or ARGP_ERR_UNKNOWN if it is another option.
 */
error_t parse_tracing(int key, char *word, struct argp_state *state,
		      struct pymalloc_trace *trace)
{
	switch (key) {
	case OPTION_FRAMES:
		trace->python_frames = parse_frames(state, word, "frames");
		return 0;
	case OPTION_NATIVE:
		trace->native_frames = parse_frames(state, word, "native");
		return 0;
	case OPTION_INTERVAL:
		trace->interval = parse_interval(state, word);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}
