/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* When to look again. */
#ifndef _PYMALLOC_PACE_H
#define _PYMALLOC_PACE_H

#include <argp.h>
#include <poll.h>
#include <stdbool.h>

/**
 * struct pace - looks at regular times
 * @start: when they began, in seconds of CLOCK_MONOTONIC
 * @due: when the next one is due
 */
struct pace {
	double start;
	double due;
};

double parse_interval(struct argp_state *state, const char *text);
struct pace pace_start(void);
double pace_seconds(const struct pace *pace);
bool pace_wait(struct pace *pace, double interval, struct pollfd *fds, nfds_t count);

#endif /* _PYMALLOC_PACE_H */
