// SPDX-License-Identifier: LGPL-2.1-or-later
/* When to look again. */
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "command.h"
#include "pace.h"

/* In seconds: each look is a few calls; and a day is as long as a policy's decay_ms may be. */
#define INTERVAL_MIN	0.01
#define INTERVAL_MAX	86400

/**
 * parse_interval() - parse an amount of time
 * @state: the parser's, for the message if the line is wrong
 * @text: seconds, as a decimal fraction
 *
 * Return: seconds.
 */
double parse_interval(struct argp_state *state, const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (!*text || *end || text[strspn(text, "0123456789.")])
		argp_error(state, "not a number of seconds: %s", text);
	if (seconds < INTERVAL_MIN || seconds > INTERVAL_MAX)
		argp_error(state, "an interval is from %g to %d seconds: %s", INTERVAL_MIN,
			   INTERVAL_MAX, text);
	return seconds;
}

static double now(void)
{
	struct timespec time;

	if (clock_gettime(CLOCK_MONOTONIC, &time) < 0)
		err(EXIT_FAILED, "CLOCK_MONOTONIC");
	return time.tv_sec + time.tv_nsec / 1e9;
}

/**
 * pace_start() - begin with a look that is due now
 *
 * Return: the pace.
 */
struct pace pace_start(void)
{
	double start = now();

	return (struct pace){ .start = start, .due = start };
}

/**
 * pace_seconds() - how much time has passed
 * @pace: the pace
 *
 * Return: seconds since pace_start().
 */
double pace_seconds(const struct pace *pace)
{
	return now() - pace->start;
}

/**
 * pace_wait() - wait until the next look is due, or something happens
 * @pace: the pace
 * @interval: seconds from the last look to the next
 * @fds: what may happen, as for poll(2)
 * @count: how many
 *
 * A look that comes too late moves all that follow, so that none come in a burst.
 *
 * Return: whether something happened: then @fds say what.
 */
bool pace_wait(struct pace *pace, double interval, struct pollfd *fds, nfds_t count)
{
	int ret;

	pace->due += interval;
	if (pace->due < now())
		pace->due = now();
	do {
		double left = pace->due - now();
		struct timespec time = { 0 };

		if (left > 0) {
			time.tv_sec = left;
			time.tv_nsec = (left - time.tv_sec) * 1e9;
		}
		ret = ppoll(fds, count, &time, NULL);
	} while (ret < 0 && errno == EINTR);
	if (ret < 0)
		err(EXIT_FAILED, "poll");
	return ret > 0;
}
