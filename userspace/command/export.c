// SPDX-License-Identifier: LGPL-2.1-or-later
/* pymalloc export: figures of heaps for a monitoring system. */
#include <argp.h>
#include <err.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "command.h"
#include "metrics.h"
#include "options.h"
#include "replace.h"
#include "service.h"
#include "target.h"

/* Everybody may read what is written: a collector is often another user. */
#define MODE	0644

enum { OPTION_CLASSES = 0x100 };

static const struct argp_option options[] = {
	{ "classes", OPTION_CLASSES, NULL, 0, "also figures of each size class", 0 },
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
 * @classes: with size classes
 */
struct wish {
	__u64 *ids;
	size_t count;
	pid_t pid;
	const char *output;
	bool classes;
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

static error_t parse(int key, char *word, struct argp_state *state)
{
	struct wish *wish = state->input;

	switch (key) {
	case OPTION_CLASSES:
		wish->classes = true;
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

/* Returns false if the heap has ended. */
static bool read_heap(int fd, struct reading *reading)
{
	struct pymalloc_list list = {
		.argsz = sizeof(list),
		.heaps = (uintptr_t)&reading->heap,
		.count = 1,
		.entry_size = sizeof(reading->heap),
	};

	reading->stats = (struct pymalloc_stats){
		.argsz = sizeof(reading->stats),
		.classes = (uintptr_t)reading->classes,
		.nr_classes = PYMALLOC_NR_CLASSES,
		.class_size = sizeof(*reading->classes),
	};
	return heap_call(fd, PYMALLOC_IOC_LIST, &list) && list.done == 1 &&
		heap_call(fd, PYMALLOC_IOC_STATS, &reading->stats);
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
		count += read_heap(fd, &readings[count]);
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
		      wish->classes);
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
		.doc = "Print figures of heaps as metrics, in the format OpenMetrics: of all\n"
		       "heaps that you may look at, or of those that you name. The figures of\n"
		       "your user come first.",
		.children = help_child,
	};
	struct wish wish = { 0 };
	size_t length;
	char *text;

	argp_parse(&argp, argc, argv, 0, NULL, &wish);
	text = make_text(&wish, &length);
	if (wish.output)
		replace_file(wish.output, text, length, MODE);
	else
		fwrite(text, 1, length, stdout);
	free(text);
	free(wish.ids);
	return 0;
}
