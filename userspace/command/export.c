// SPDX-License-Identifier: LGPL-2.1-or-later
/* pymalloc export: figures of heaps, for a monitoring system. */
#include <argp.h>
#include <err.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "metrics.h"
#include "options.h"
#include "replace.h"
#include "service.h"
#include "shared.h"
#include "target.h"

/* Everybody may read what is written: a collector is often another user. */
#define MODE	0644

enum { OPTION_CHECK = 0x100, OPTION_CLASSES, OPTION_FORMAT };

static const struct argp_option options[] = {
	{ "check", OPTION_CHECK, NULL, 0, "check each heap, and say what that found", 0 },
	{ "classes", OPTION_CLASSES, NULL, 0, "also figures of each size class", 0 },
	{ "format", OPTION_FORMAT, "FORMAT", 0,
	  "openmetrics (the default), or text: Prometheus' older format", 0 },
	{ "output", 'o', "FILE", 0, "replace FILE as a whole, instead of printing", 0 },
	{ "pid", 'p', "PID", 0, "the only heap of process PID", 0 },
	{ 0 }
};

/**
 * struct wish - what the line asks for
 * @ids: the heaps that it names, each once
 * @count: how many these are; 0 for all
 * @pid: the process whose heap it is to be, or 0
 * @output: the file to write to, or NULL
 * @choice: what to print, and how
 */
struct wish {
	__u64 *ids;
	size_t count;
	pid_t pid;
	const char *output;
	struct choice choice;
};

/* A heap that is named twice is exported once: no two samples may have the same labels. */
static void add_heap(struct wish *wish, __u64 id)
{
	size_t i;

	for (i = 0; i < wish->count; i++)
		if (wish->ids[i] == id)
			return;
	wish->ids = reallocarray(wish->ids, wish->count + 1, sizeof(*wish->ids));
	if (!wish->ids)
		err(EXIT_FAILED, NULL);
	wish->ids[wish->count++] = id;
}

static bool parse_format(struct argp_state *state, const char *word)
{
	bool plain = !strcmp(word, "text");

	if (!plain && strcmp(word, "openmetrics"))
		argp_error(state, "a format is openmetrics or text: %s", word);
	return plain;
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
	case OPTION_FORMAT:
		wish->choice.plain = parse_format(state, word);
		return 0;
	case 'o':
		wish->output = word;
		return 0;
	case 'p':
		wish->pid = parse_pid(state, word);
		return 0;
	case ARGP_KEY_ARG:
		add_heap(wish, parse_number(state, word));
		return 0;
	case ARGP_KEY_END:
		if (wish->pid && wish->count)
			argp_error(state, "give HEAP or --pid, not both");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* A read-only descriptor: the heap's process goes on meanwhile. */
static bool check_heap(int fd, struct reading *reading)
{
	struct pymalloc_check check = { .argsz = sizeof(check) };
	bool there = heap_call(fd, PYMALLOC_IOC_CHECK, &check);

	reading->errors = check.errors;
	return there;
}

/* Returns false if the heap has ended. */
static bool read_shared(int fd, struct reading *reading)
{
	struct pymalloc_client_info *clients;
	bool there = read_clients(fd, &clients, &reading->clients);
	size_t i;

	for (i = 0; i < reading->clients; i++) {
		reading->holds += clients[i].holds;
		reading->inbox += clients[i].inbox;
	}
	free(clients);
	reading->names = count_names(fd);
	return there;
}

/* Returns false if the heap has ended. */
static bool read_heap(int fd, struct reading *reading, bool check)
{
	*reading = (struct reading){};
	reading->stats = (struct pymalloc_stats){
		.argsz = sizeof(reading->stats),
		.classes = (uintptr_t)reading->classes,
		.nr_classes = PYMALLOC_NR_CLASSES,
		.class_size = sizeof(*reading->classes),
	};
	return try_describe_heap(fd, &reading->heap) &&
		heap_call(fd, PYMALLOC_IOC_STATS, &reading->stats) &&
		(!is_shared(&reading->heap) || read_shared(fd, reading)) &&
		(!check || check_heap(fd, reading));
}

/*
 * A heap from the list may have ended since; and whoever may list a heap need not be allowed
 * to look at it.  Returns -1 then.
 */
static int open_listed_heap(__u64 id)
{
	int fd = try_open_heap(id, PYMALLOC_OPEN_RDONLY);

	if (fd < 0 && errno != ENOENT && errno != EPERM && errno != ESTALE)
		err(EXIT_FAILED, "heap %llu", id);
	return fd;
}

static void add_listed_heaps(struct wish *wish)
{
	struct pymalloc_heap_info *heaps;
	int device = open_device();
	size_t count = list_heaps(device, &heaps);
	size_t i;

	for (i = 0; i < count; i++)
		add_heap(wish, heaps[i].id);
	free(heaps);
	close(device);
}

/* Returns how many of the heaps have been read, and stores these in @readings. */
static size_t read_heaps(const struct wish *wish, bool named, struct reading *readings)
{
	size_t count = 0;
	size_t i;

	for (i = 0; i < wish->count; i++) {
		int fd = named ? open_heap(wish->ids[i], PYMALLOC_OPEN_RDONLY) :
			open_listed_heap(wish->ids[i]);

		if (fd < 0)
			continue;
		count += read_heap(fd, &readings[count], wish->choice.checks);
		close(fd);
	}
	return count;
}

static struct pymalloc_info get_info(void)
{
	struct pymalloc_info info = { .argsz = sizeof(info) };
	int device = open_device();

	service_call(device, PYMALLOC_IOC_INFO, &info);
	close(device);
	return info;
}

/* The text as a whole, so that nothing is written if something fails.  The caller frees it. */
static char *make_text(struct wish *wish, size_t *length)
{
	struct pymalloc_info info = get_info();
	bool named = wish->pid || wish->count;
	struct reading *readings;
	char *text;
	FILE *stream;

	if (wish->pid)
		add_heap(wish, heap_of_process(wish->pid));
	if (!named)
		add_listed_heaps(wish);
	readings = calloc(wish->count + 1, sizeof(*readings));
	stream = open_memstream(&text, length);
	if (!readings || !stream)
		err(EXIT_FAILED, NULL);
	print_metrics(stream, &info, readings, read_heaps(wish, named, readings),
		      wish->choice);
	if (fclose(stream))
		err(EXIT_FAILED, NULL);
	free(readings);
	return text;
}

int export_main(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "[HEAP...]",
		.doc = "Print figures of heaps as metrics for a monitoring system: of all\n"
		       "heaps that you may look at, or of those that you name. The figures of\n"
		       "your user come first.",
		.children = help_child,
	};
	struct wish wish = { 0 };
	size_t length;
	char *text;

	argp_parse(&argp, argc, argv, 0, NULL, &wish);
	text = make_text(&wish, &length);
	put_output(wish.output, text, length, MODE);
	free(text);
	free(wish.ids);
	return 0;
}
