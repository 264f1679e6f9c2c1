/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Figures over HTTP, by libmicrohttpd. */
#ifndef _PYMALLOC_HTTP_H
#define _PYMALLOC_HTTP_H

#include <stdbool.h>

#include "metrics.h"

struct http;

/**
 * struct http_limits - what clients may take
 * @clients: how many may be connected; more wait until the system accepts them
 * @seconds: how long a connection lasts at most, and how long figures may take
 */
struct http_limits {
	unsigned int clients;
	double seconds;
};

struct http *http_start(int listener, struct choice choice, struct http_limits limits);
int http_fd(const struct http *http);
int http_timeout(const struct http *http);
void http_run(struct http *http);
bool http_finish(struct http *http);
void http_stop(struct http *http);

#endif /* _PYMALLOC_HTTP_H */
