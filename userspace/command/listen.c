// SPDX-License-Identifier: LGPL-2.1-or-later
/* An address to listen on. */
#include <err.h>
#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "command.h"
#include "listen.h"
#include "options.h"

/* How many clients may wait until their connections are accepted. */
#define BACKLOG		64

/**
 * parse_address() - parse ADDR:PORT or [ADDR]:PORT
 * @state: the parser's, for the message if the line is wrong
 * @text: the text, which must stay
 *
 * Return: the address.
 */
struct address parse_address(struct argp_state *state, const char *text)
{
	struct address address = { .text = text };
	const char *colon = strrchr(text, ':');
	bool brackets = *text == '[';

	if (!colon || colon <= text + 2 * brackets || (brackets && colon[-1] != ']'))
		argp_error(state, "not ADDR:PORT: %s", text);
	if (parse_number(state, colon + 1) > 65535)
		argp_error(state, "not a port: %s", colon + 1);
	address.port = strdup(colon + 1);
	address.host = strndup(text + brackets, colon - text - 2 * brackets);
	if (!address.port || !address.host)
		err(EXIT_FAILED, NULL);
	if (!brackets && strchr(address.host, ':'))
		argp_error(state, "an IPv6 address needs brackets, as in [::1]:%s", address.port);
	return address;
}

/* Returns -1, and errno says why. */
static int try_listen(const struct addrinfo *at)
{
	int fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
			at->ai_protocol);
	int one = 1, error;

	if (fd < 0)
		return -1;
	/* Connections of a server that has just ended are in nobody's way. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (!bind(fd, at->ai_addr, at->ai_addrlen) && !listen(fd, BACKLOG))
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

/**
 * listen_on() - listen for TCP connections
 * @address: where
 *
 * Ends the program with a message if that is not possible.
 *
 * Return: the socket, which does not block.
 */
int listen_on(const struct address *address)
{
	const struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
	};
	struct addrinfo *list, *at;
	int error = getaddrinfo(address->host, address->port, &hints, &list);
	int fd = -1;

	if (error)
		errx(EXIT_FAILED, "cannot listen on %s: %s", address->text,
		     error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error));
	for (at = list; at && fd < 0; at = at->ai_next)
		fd = try_listen(at);
	if (fd < 0)
		err(EXIT_FAILED, "cannot listen on %s", address->text);
	freeaddrinfo(list);
	return fd;
}

/**
 * name_of_socket() - where a socket listens
 * @fd: the socket
 *
 * Return: ADDR:PORT, or [ADDR]:PORT for IPv6, which the caller frees.
 */
char *name_of_socket(int fd)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	char host[NI_MAXHOST], port[NI_MAXSERV];
	char *name;
	bool ipv6;

	if (getsockname(fd, (struct sockaddr *)&address, &length) ||
	    getnameinfo((struct sockaddr *)&address, length, host, sizeof(host), port,
			sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV))
		errx(EXIT_FAILED, "cannot tell the address of a socket");
	ipv6 = address.ss_family == AF_INET6;
	if (asprintf(&name, "%s%s%s:%s", ipv6 ? "[" : "", host, ipv6 ? "]" : "", port) < 0)
		err(EXIT_FAILED, NULL);
	return name;
}
