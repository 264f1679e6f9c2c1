/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An address to listen on. */
#ifndef _PYMALLOC_LISTEN_H
#define _PYMALLOC_LISTEN_H

#include <argp.h>

/**
 * struct address - where to listen
 * @text: as the user has written it, for messages
 * @host: the address, or a name that has one
 * @port: the number of the port, 0 for any that is free
 */
struct address {
	const char *text;
	char *host;
	char *port;
};

struct address parse_address(struct argp_state *state, const char *text);
int listen_on(const struct address *address);
char *name_of_socket(int fd);

#endif /* _PYMALLOC_LISTEN_H */
