// SPDX-License-Identifier: LGPL-2.1-or-later
/* pymalloc serve: figures of heaps over HTTP, for a monitoring system. */
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "command.h"
#include "http.h"
#include "listen.h"
#include "options.h"
#include "pace.h"

/* Outside of 9100 to 9999, where Prometheus' list of exporters has no free number left. */
#define LISTEN_DEFAULT	"127.0.0.1:10512"

/* Prometheus and a few people; and as many as a process may have descriptors for. */
#define CLIENTS_DEFAULT	16
#define CLIENTS_MAX	512
/* In seconds: as long as Prometheus waits by itself. */
#define TIMEOUT_DEFAULT	10

enum { OPTION_CHECK = 0x100, OPTION_CLASSES };

static const struct argp_option options[] = {
	{ "check", OPTION_CHECK, NULL, 0, "check each heap, and say what that found", 0 },
	{ "classes", OPTION_CLASSES, NULL, 0, "also figures of each size class", 0 },
	{ "listen", 'l', "ADDR:PORT", 0,
	  "listen there; " LISTEN_DEFAULT " if not given. With port 0, one that is free", 0 },
	{ "max-clients", 'm', "N", 0, "serve N clients at a time, 16 if not given", 0 },
	{ "timeout", 't', "S", 0, "a client has S seconds, 10 if not given", 0 },
	{ 0 }
};

/* What the line asks for. */
struct wish {
	struct address address;
	struct choice choice;
	struct http_limits limits;
};

static unsigned int parse_clients(struct argp_state *state, const char *word)
{
	__u64 number = parse_number(state, word);

	if (!number || number > CLIENTS_MAX)
		argp_error(state, "from 1 to %d clients: %s", CLIENTS_MAX, word);
	return number;
}

static error_t parse(int key, char *word, struct argp_state *state)
{
	struct wish *wish = state->input;

	switch (key) {
	case OPTION_CHECK:
		wish->choice.checks = true;
		return 0;
	case OPTION_CLASSES:
		wish->choice.classes = true;
		return 0;
	case 'l':
		wish->address = parse_address(state, word);
		return 0;
	case 'm':
		wish->limits.clients = parse_clients(state, word);
		return 0;
	case 't':
		wish->limits.seconds = parse_interval(state, word);
		return 0;
	case ARGP_KEY_END:
		if (!wish->address.host)
			wish->address = parse_address(state, LISTEN_DEFAULT);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* The signals that end the server, as a descriptor. */
static int catch_signals(void)
{
	sigset_t signals;
	int fd;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	fd = signalfd(-1, &signals, SFD_CLOEXEC);
	if (fd < 0 || sigprocmask(SIG_BLOCK, &signals, NULL))
		err(EXIT_FAILED, NULL);
	return fd;
}

/* Whoever starts the server may wait for this line. */
static void say_where(int listener)
{
	char *name = name_of_socket(listener);

	printf("http://%s/metrics\n", name);
	if (fflush(stdout))
		err(EXIT_FAILED, "cannot write");
	free(name);
}

/* Returns whether a signal has come. */
static bool serve_once(struct http *http, int signals)
{
	struct signalfd_siginfo signal;
	struct pollfd fds[] = {
		{ .fd = http_fd(http), .events = POLLIN },
		{ .fd = signals, .events = POLLIN },
	};

	if (poll(fds, 2, http_timeout(http)) < 0 && errno != EINTR)
		err(EXIT_FAILED, "poll");
	http_run(http);
	return fds[1].revents && read(signals, &signal, sizeof(signal)) > 0;
}

int serve_main(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.doc = "Serve over HTTP what `pymalloc export` prints, at /metrics, until SIGTERM\n"
		       "or SIGINT comes. The address is the first line of output.",
		.children = help_child,
	};
	struct wish wish = { .limits = { CLIENTS_DEFAULT, TIMEOUT_DEFAULT } };
	int signals, listener;
	struct http *http;

	argp_parse(&argp, argc, argv, 0, NULL, &wish);
	signals = catch_signals();
	listener = listen_on(&wish.address);
	http = http_start(listener, wish.choice, wish.limits);
	say_where(listener);
	while (!serve_once(http, signals))
		;
	/* A second signal does not wait for clients. */
	while (http_finish(http) && !serve_once(http, signals))
		;
	http_stop(http);
	close(signals);
	free(wish.address.host);
	free(wish.address.port);
	return 0;
}
