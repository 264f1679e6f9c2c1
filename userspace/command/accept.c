// SPDX-License-Identifier: LGPL-2.1-or-later
/* What a client of HTTP accepts. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "accept.h"

#define BLANKS	" \t"

/* Whether the type of a range, up to its parameters, is @type. */
static bool is_type(const char *range, const char *type)
{
	size_t length = strcspn(range, ";," BLANKS);

	return length == strlen(type) && !strncasecmp(range, type, length);
}

/* The parameter q of a range; 1 if it has none. */
static double weight(const char *range, size_t length)
{
	const char *end = range + length;

	while ((range = memchr(range, ';', end - range))) {
		range++;
		range += strspn(range, BLANKS);
		if (!strncasecmp(range, "q=", 2))
			return strtod(range + 2, NULL);
	}
	return 1;
}

/* How much the client wants a type: the largest weight of all ranges that name it. */
static double wants(const char *accept, const char *type)
{
	double most = 0;

	while (*accept) {
		size_t length;

		accept += strspn(accept, "," BLANKS);
		length = strcspn(accept, ",");
		if (is_type(accept, type) && weight(accept, length) > most)
			most = weight(accept, length);
		accept += length;
	}
	return most;
}

/**
 * accepts_plain() - which format of figures a client gets
 * @accept: the header Accept of its request, or NULL
 *
 * A client that does not name OpenMetrics may not know it: a browser, for example.
 *
 * Return: false for OpenMetrics, true for Prometheus' older text format.
 */
bool accepts_plain(const char *accept)
{
	double openmetrics = accept ? wants(accept, "application/openmetrics-text") : 0;

	return openmetrics <= 0 || openmetrics < wants(accept, "text/plain");
}
