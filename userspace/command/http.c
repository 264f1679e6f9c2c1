// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Figures over HTTP, by libmicrohttpd.
 *
 * One thread serves all clients, and waits for none of them.  Each connection is for one
 * request, and has its end as soon as it begins: the library's own time limit begins anew
 * with each byte, so that a client could take a connection for ever.
 */
#include <err.h>
#include <fcntl.h>
#include <math.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "accept.h"
#include "command.h"
#include "http.h"
#include "pace.h"
#include "scrape.h"
#include "service.h"

/* For the lines of a request: Prometheus' has some 400 bytes. */
#define REQUEST_MAX	(16 * 1024)
/* In seconds: how old an answer may be that is given once more. */
#define AGE_MAX		1.0

#define TYPE_HTML	"text/html; charset=utf-8"
#define TYPE_TEXT	"text/plain; charset=utf-8"

/**
 * struct client - a connection
 * @http: the server
 * @fd: its socket, or -1 if this place is free
 * @end: when its time is up
 * @asked: whether it has sent a request
 */
struct client {
	struct http *http;
	int fd;
	double end;
	bool asked;
};

/**
 * struct answer - an answer with figures
 * @response: the answer, or NULL
 * @status: its status in HTTP
 * @made: when it was made
 */
struct answer {
	struct MHD_Response *response;
	unsigned int status;
	double made;
};

/**
 * struct http - a server
 * @daemon: the library's
 * @listener: the socket that it listens on
 * @closed: whether it takes no further connections
 * @ended: whether a connection has ended in http_run()
 * @choice: which figures
 * @limits: what clients may take
 * @clock: what all times are counted from
 * @figures: the last answers with figures, in OpenMetrics and as plain text
 * @clients: as many places as there may be connections
 */
struct http {
	struct MHD_Daemon *daemon;
	int listener;
	bool closed;
	bool ended;
	struct choice choice;
	struct http_limits limits;
	struct pace clock;
	struct answer figures[2];
	struct client clients[];
};

static const char page[] =
	"<!DOCTYPE html>\n"
	"<html lang=\"en\"><title>pymalloc</title>\n"
	"<h1>pymalloc</h1>\n"
	"<p><a href=\"/metrics\">Figures of heaps</a>, for Prometheus</p>\n"
	"</html>\n";

static const char unreadable[] =
	"The figures cannot be read; the server's messages say why.\n";

static double now(const struct http *http)
{
	return pace_seconds(&http->clock);
}

/* Takes the text, which malloc() has made, for its own. */
static struct MHD_Response *new_response(char *text, size_t length, const char *type)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(length, text, MHD_RESPMEM_MUST_FREE);

	if (!response) {
		free(text);
		return NULL;
	}
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	return response;
}

static struct MHD_Response *text_response(const char *text, const char *type)
{
	char *copy = strdup(text);

	return copy ? new_response(copy, strlen(copy), type) : NULL;
}

static enum MHD_Result answer_text(struct MHD_Connection *connection, unsigned int status,
				   const char *text, const char *type)
{
	struct MHD_Response *response = text_response(text, type);
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static void make_figures(const struct http *http, struct answer *answer, bool plain)
{
	const char *type = plain ? "text/plain; version=0.0.4; charset=utf-8" :
		"application/openmetrics-text; version=1.0.0; charset=utf-8";
	struct choice choice = http->choice;
	size_t length;
	char *text;

	choice.plain = plain;
	text = scrape(&choice, http->limits.seconds, &length);
	if (text) {
		answer->status = MHD_HTTP_OK;
		answer->response = new_response(text, length, type);
	} else {
		answer->status = MHD_HTTP_SERVICE_UNAVAILABLE;
		answer->response = text_response(unreadable, TYPE_TEXT);
	}
	if (answer->response)
		MHD_add_response_header(answer->response, MHD_HTTP_HEADER_VARY,
					MHD_HTTP_HEADER_ACCEPT);
	answer->made = now(http);
}

static enum MHD_Result answer_figures(struct http *http, struct MHD_Connection *connection)
{
	bool plain = accepts_plain(MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
							       MHD_HTTP_HEADER_ACCEPT));
	struct answer *answer = &http->figures[plain];

	if (answer->response && now(http) - answer->made >= AGE_MAX) {
		MHD_destroy_response(answer->response);
		answer->response = NULL;
	}
	if (!answer->response)
		make_figures(http, answer, plain);
	if (!answer->response)
		return MHD_NO;
	return MHD_queue_response(connection, answer->status, answer->response);
}

static enum MHD_Result answer_health(struct MHD_Connection *connection)
{
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return answer_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE,
				   "There is no service.\n", TYPE_TEXT);
	close(fd);
	return answer_text(connection, MHD_HTTP_OK, "ok\n", TYPE_TEXT);
}

/* Called when all lines of a request are there; what may follow them is not read. */
static enum MHD_Result answer(void *data, struct MHD_Connection *connection, const char *path,
			      const char *method, const char *version, const char *upload,
			      size_t *upload_size, void **request)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct client *client = info->socket_context;

	(void)version;
	(void)upload;
	(void)upload_size;
	(void)request;
	client->asked = true;
	if (strcmp(method, MHD_HTTP_METHOD_GET) && strcmp(method, MHD_HTTP_METHOD_HEAD))
		return answer_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
				   "Only GET and HEAD are allowed.\n", TYPE_TEXT);
	if (!strcmp(path, "/metrics"))
		return answer_figures(data, connection);
	if (!strcmp(path, "/healthz"))
		return answer_health(connection);
	if (!strcmp(path, "/"))
		return answer_text(connection, MHD_HTTP_OK, page, TYPE_HTML);
	return answer_text(connection, MHD_HTTP_NOT_FOUND, "There is only /metrics.\n",
			   TYPE_TEXT);
}

static void begin_client(struct http *http, struct MHD_Connection *connection, void **context)
{
	struct client *client = http->clients;

	/* The library has no more connections than there are places. */
	while (client->fd >= 0)
		client++;
	client->fd = MHD_get_connection_info(connection,
					     MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	client->end = now(http) + http->limits.seconds;
	client->asked = false;
	*context = client;
}

static void end_of_client(struct http *http, struct client *client)
{
	client->fd = -1;
	http->ended = true;
}

static void follow_client(void *data, struct MHD_Connection *connection, void **context,
			  enum MHD_ConnectionNotificationCode what)
{
	struct client *client = *context;

	if (what == MHD_CONNECTION_NOTIFY_STARTED)
		begin_client(data, connection, context);
	else
		end_of_client(data, client);
}

/**
 * http_start() - serve figures
 * @listener: a socket that listens and does not block
 * @choice: which figures
 * @limits: what clients may take
 *
 * Ends the program with a message if that is not possible.
 *
 * Return: the server.
 */
struct http *http_start(int listener, struct choice choice, struct http_limits limits)
{
	struct http *http = calloc(1, sizeof(*http) + limits.clients * sizeof(*http->clients));
	unsigned int i;

	if (!http)
		err(EXIT_FAILED, NULL);
	http->listener = listener;
	http->choice = choice;
	http->limits = limits;
	http->clock = pace_start();
	for (i = 0; i < limits.clients; i++)
		http->clients[i].fd = -1;
	http->daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, answer, http,
					MHD_OPTION_LISTEN_SOCKET, listener,
					MHD_OPTION_CONNECTION_LIMIT, limits.clients,
					MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)REQUEST_MAX,
					MHD_OPTION_NOTIFY_CONNECTION, follow_client, http,
					MHD_OPTION_END);
	if (!http->daemon)
		errx(EXIT_FAILED, "cannot start to serve");
	return http;
}

/**
 * http_fd() - what to wait for
 * @http: the server
 *
 * Return: a descriptor; if it can be read, http_run() has something to do.
 */
int http_fd(const struct http *http)
{
	return MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
}

/**
 * http_timeout() - how long to wait at most until http_run()
 * @http: the server
 *
 * Return: milliseconds, or -1.
 */
int http_timeout(const struct http *http)
{
	double seconds = INFINITY;
	MHD_UNSIGNED_LONG_LONG library;
	unsigned int i;

	for (i = 0; i < http->limits.clients; i++)
		if (http->clients[i].fd >= 0)
			seconds = fmin(seconds, http->clients[i].end - now(http));
	if (MHD_get_timeout(http->daemon, &library) == MHD_YES)
		seconds = fmin(seconds, library / 1e3);
	return isinf(seconds) ? -1 : (int)(fmax(seconds, 0) * 1000) + 1;
}

/* The library sees that the connection has ended, and closes it. */
static void end_client(struct client *client)
{
	shutdown(client->fd, SHUT_RDWR);
	client->end = INFINITY;
}

/**
 * http_run() - do what there is to do, without waiting
 * @http: the server
 */
void http_run(struct http *http)
{
	unsigned int i;

	for (i = 0; i < http->limits.clients; i++)
		if (http->clients[i].fd >= 0 && now(http) >= http->clients[i].end)
			end_client(&http->clients[i]);
	/* If there were as many as there may be, the library takes the next one only now. */
	do {
		http->ended = false;
		MHD_run(http->daemon);
	} while (http->ended);
}

/**
 * http_finish() - take no more requests, and let those that there are have their answers
 * @http: the server
 *
 * Return: whether there is still one: then http_run() has to be called again.
 */
bool http_finish(struct http *http)
{
	bool some = false;
	unsigned int i;

	if (!http->closed)
		MHD_quiesce_daemon(http->daemon);
	http->closed = true;
	for (i = 0; i < http->limits.clients; i++) {
		struct client *client = &http->clients[i];

		if (client->fd >= 0 && !client->asked && !isinf(client->end))
			end_client(client);
		some |= client->fd >= 0;
	}
	return some;
}

/**
 * http_stop() - close all connections, and free the server
 * @http: the server; http_finish() must have been called
 */
void http_stop(struct http *http)
{
	size_t i;

	MHD_stop_daemon(http->daemon);
	close(http->listener);
	for (i = 0; i < 2; i++)
		if (http->figures[i].response)
			MHD_destroy_response(http->figures[i].response);
	free(http);
}
