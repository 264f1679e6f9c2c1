// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Figures as metrics, in the format OpenMetrics 1.0.0 or in Prometheus' older text format.
 *
 * A family of metrics begins with lines that say what it is; its samples follow, and no
 * other family's are among them.  All families are gauges or counters: OpenMetrics has more
 * types, but the older format does not know them.  There, a counter's family is named as its
 * samples are, with "_total"; and units and an end are only comments.
 */
#include <ctype.h>
#include <err.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "metrics.h"
#include "shared.h"
#include "text.h"

enum { GAUGE, COUNTER };

/**
 * struct figure - a figure: a field of 64 bits of some struct
 * @family: its family, without "pymalloc_" and without the "_total" of counters; figures
 *	of one family stand one behind the other
 * @help: what the family is, in the first figure of each
 * @label: what tells the figure from others of its family; or NULL
 * @type: GAUGE or COUNTER
 * @optional: 0 stands for nothing, and is left out
 * @offset: where in the struct
 * @pages: the field counts pages, of which the figure is the bytes
 */
struct figure {
	const char *family;
	const char *help;
	const char *label;
	unsigned int type;
	bool optional;
	size_t offset;
	bool pages;
};

/* What struct pymalloc_info says about the user. */
struct user {
	__u64 bytes;
	__u64 meta_bytes;
	__u64 bytes_max;
	__u64 heaps;
	__u64 heaps_max;
};

#define STATS(field)	.offset = offsetof(struct reading, stats.field)
#define READING(field)	.offset = offsetof(struct reading, field)
#define CLASS(field)	.offset = offsetof(struct pymalloc_class_stats, field)
#define USER(field)	.offset = offsetof(struct user, field)

static const struct figure heap_figures[] = {
	{ "heap_page_bytes", "Bytes of the pages that the heap holds.", STATS(page_bytes) },
	{ "heap_page_peak_bytes", "The most bytes that the heap's pages have been.",
	  STATS(page_bytes_peak) },
	{ "heap_shared_bytes", "Bytes of pages that relatives by fork() hold as well.",
	  STATS(shared_bytes) },
	{ "heap_pss_bytes", "Bytes of pages; one that n heaps hold counts for one n-th.",
	  STATS(pss_bytes) },
	{ "heap_metadata_bytes", "Bytes of kernel memory that describes the heap.",
	  STATS(meta_bytes) },
	{ "heap_limit_bytes", "The most bytes of pages and metadata, if there is a limit.",
	  STATS(limit), .optional = true },
	{ "heap_threshold_bytes", "Bytes of pages from which poll() reports, if it is to do so.",
	  STATS(threshold), .optional = true },
	{ "heap_block_bytes", "Bytes of blocks that are allocated.",
	  STATS(block_bytes) },
	{ "heap_run_bytes", "Bytes of large objects.",
	  STATS(run_pages), .pages = true },
	{ "heap_blocks", "Blocks that are allocated, those in magazines included.",
	  STATS(blocks) },
	{ "heap_runs", "Large objects.", STATS(runs) },
	{ "heap_pools", "Pools that hold a page or blocks.",
	  .label = "state=\"used\"", STATS(pools_used) },
	{ "heap_pools", .label = "state=\"full\"", STATS(pools_full) },
	{ "heap_pools", .label = "state=\"empty\"", STATS(pools_empty) },
	{ "heap_pools_meshed", "Pools that have no page of their own.", STATS(pools_meshed) },
	{ "heap_arenas", "Arenas, by what they hold.",
	  .label = "kind=\"object\"", STATS(arenas) },
	{ "heap_arenas", .label = "kind=\"runs\"", STATS(run_arenas) },
	{ "heap_threads", "Threads with magazines.", STATS(cache_threads) },
	{ "heap_allocs", "Objects allocated.", .type = COUNTER, STATS(nr_allocs) },
	{ "heap_frees", "Objects freed.", .type = COUNTER, STATS(nr_frees) },
	{ "heap_bad_refs", "Frees that the kernel has refused.",
	  .type = COUNTER, STATS(nr_bad_refs) },
	{ "heap_pages_in", "Pages taken from the system.", .type = COUNTER, STATS(nr_pages_in) },
	{ "heap_pages_out", "Pages given back to the system.",
	  .type = COUNTER, STATS(nr_pages_out) },
	{ "heap_pages_meshed", "Pages given back because pools came to share a page.",
	  .type = COUNTER, STATS(nr_meshed) },
	{ "heap_pages_decayed", "Pages given back because pools were empty for some time.",
	  .type = COUNTER, STATS(nr_decayed) },
	{ "heap_pages_shrunk", "Pages given back because the machine was short of memory.",
	  .type = COUNTER, STATS(nr_shrunk) },
	{ "heap_blocks_stolen", "Blocks taken from magazines.", .type = COUNTER, STATS(nr_stolen) },
	{ NULL }
};

static const struct figure class_figures[] = {
	{ "heap_class_pools", "Pools of the size class.",
	  .label = "state=\"used\"", CLASS(pools_used) },
	{ "heap_class_pools", .label = "state=\"full\"", CLASS(pools_full) },
	{ "heap_class_blocks", "Blocks of the size class, by state.",
	  .label = "state=\"allocated\"", CLASS(blocks) },
	{ "heap_class_blocks", .label = "state=\"free\"", CLASS(blocks_free) },
	{ "heap_class_blocks", .label = "state=\"untouched\"", CLASS(blocks_untouched) },
	{ "heap_class_allocs", "Blocks of the size class allocated.",
	  .type = COUNTER, CLASS(nr_allocs) },
	{ "heap_class_frees", "Blocks of the size class freed.",
	  .type = COUNTER, CLASS(nr_frees) },
	{ NULL }
};

/* Only if the heap was checked. */
static const struct figure check_figures[] = {
	{ "heap_check_errors", "Contradictions in the heap that a check has found.",
	  READING(errors) },
	{ NULL }
};

/* Only of shared heaps. */
static const struct figure shared_figures[] = {
	{ "heap_clients", "Clients of the shared heap.", READING(clients) },
	{ "heap_holds", "Blocks that clients hold; one that n clients hold counts n times.",
	  READING(holds) },
	{ "heap_inbox_blocks", "Blocks that clients have been given, and have not received.",
	  READING(inbox) },
	{ "heap_names", "Names of blocks in the shared heap.", READING(names) },
	{ NULL }
};

static const struct figure user_figures[] = {
	{ "user_bytes", "Bytes of pages and metadata of all heaps of the user.", USER(bytes) },
	{ "user_metadata_bytes", "Bytes of metadata of all heaps of the user.", USER(meta_bytes) },
	{ "user_limit_bytes", "The most bytes that a user may have, if there is a limit.",
	  USER(bytes_max), .optional = true },
	{ "user_heaps", "Heaps of the user.", USER(heaps) },
	{ "user_heaps_limit", "The most heaps that a user may have, if there is a limit.",
	  USER(heaps_max), .optional = true },
	{ NULL }
};

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), tail = strlen(end);

	return length >= tail && !strcmp(text + length - tail, end);
}

static const char *suffix(const struct figure *figure)
{
	return figure->type == COUNTER ? "_total" : "";
}

static void print_family(FILE *stream, const struct figure *figure, bool plain)
{
	const char *end = plain ? suffix(figure) : "";
	const char *name = figure->family;

	fprintf(stream, "# TYPE pymalloc_%s%s %s\n", name, end,
		figure->type == COUNTER ? "counter" : "gauge");
	if (!plain && ends_with(name, "_bytes"))
		fprintf(stream, "# UNIT pymalloc_%s bytes\n", name);
	fprintf(stream, "# HELP pymalloc_%s%s %s\n", name, end, figure->help);
}

/* The lines that come before the samples, if @figure is the first of its family. */
static void begin_figure(FILE *stream, const struct figure *figures,
			 const struct figure *figure, bool plain)
{
	if (figure == figures || strcmp(figure[-1].family, figure->family))
		print_family(stream, figure, plain);
}

static __u64 read_figure(const struct figure *figure, const void *base)
{
	__u64 value;

	memcpy(&value, (const char *)base + figure->offset, sizeof(value));
	return figure->pages ? value * PYMALLOC_POOL_SIZE : value;
}

static void print_sample(FILE *stream, const struct figure *figure, const char *labels,
			 const void *base)
{
	__u64 value = read_figure(figure, base);

	if (!value && figure->optional)
		return;
	fprintf(stream, "pymalloc_%s%s{%s%s%s} %llu\n", figure->family, suffix(figure), labels,
		figure->label ? "," : "", figure->label ?: "", value);
}

/* The value of a label must be UTF-8, on one line, between quotes. */
static void print_escaped(FILE *stream, const char *text)
{
	char *valid = valid_utf8(text);
	const char *next;

	if (!valid)
		err(EXIT_FAILED, NULL);
	for (next = valid; *next; next++) {
		if (*next == '\n')
			fputs("\\n", stream);
		else if (*next == '"' || *next == '\\')
			fprintf(stream, "\\%c", *next);
		else
			/* A terminal would obey it. */
			putc(iscntrl((unsigned char)*next) ? '?' : *next, stream);
	}
	free(valid);
}

/* Which heap a sample is of.  The caller frees it. */
static char *heap_labels(const struct pymalloc_heap_info *heap)
{
	char *labels;
	size_t length;
	FILE *stream = open_memstream(&labels, &length);

	if (!stream)
		err(EXIT_FAILED, NULL);
	fprintf(stream, "heap=\"%llu\",pid=\"%d\",uid=\"%u\",comm=\"", heap->id, heap->pid,
		heap->uid);
	print_escaped(stream, heap->comm);
	fputs("\",name=\"", stream);
	print_escaped(stream, heap->name);
	putc('"', stream);
	if (fclose(stream))
		err(EXIT_FAILED, NULL);
	return labels;
}

static void print_heaps(FILE *stream, const struct figure *figures,
			const struct reading *readings, char **labels, size_t count,
			bool plain)
{
	const struct figure *figure;
	size_t i;

	for (figure = figures; figure->family; figure++) {
		begin_figure(stream, figures, figure, plain);
		for (i = 0; i < count; i++)
			if (figures != shared_figures || is_shared(&readings[i].heap))
				print_sample(stream, figure, labels[i], &readings[i]);
	}
}

/* The classes that were ever used. */
static void print_classes_of(FILE *stream, const struct figure *figure,
			     const struct reading *reading, const char *heap)
{
	const struct pymalloc_class_stats *class = reading->classes;
	char *labels;
	size_t i;

	for (i = 0; i < reading->stats.nr_classes; i++, class++) {
		if (!class->nr_allocs)
			continue;
		if (asprintf(&labels, "%s,size=\"%u\"", heap, class->size) < 0)
			err(EXIT_FAILED, NULL);
		print_sample(stream, figure, labels, class);
		free(labels);
	}
}

static void print_classes(FILE *stream, const struct reading *readings, char **labels,
			  size_t count, bool plain)
{
	const struct figure *figure;
	size_t i;

	for (figure = class_figures; figure->family; figure++) {
		begin_figure(stream, class_figures, figure, plain);
		for (i = 0; i < count; i++)
			print_classes_of(stream, figure, &readings[i], labels[i]);
	}
}

static void print_user(FILE *stream, const struct pymalloc_info *info, bool plain)
{
	const struct user user = {
		.bytes = info->user_bytes,
		.meta_bytes = info->user_meta_bytes,
		.bytes_max = info->user_bytes_max,
		.heaps = info->user_heaps,
		.heaps_max = info->user_heaps_max,
	};
	const struct figure *figure;
	char labels[SIZE_LEN];

	snprintf(labels, sizeof(labels), "uid=\"%u\"", geteuid());
	for (figure = user_figures; figure->family; figure++) {
		begin_figure(stream, user_figures, figure, plain);
		print_sample(stream, figure, labels, &user);
	}
}

/**
 * print_metrics() - print figures of heaps and of the caller's user
 * @stream: where to
 * @info: what the service says about the user
 * @readings: the heaps
 * @count: how many heaps
 * @choice: what to print of them, and how
 */
void print_metrics(FILE *stream, const struct pymalloc_info *info,
		   const struct reading *readings, size_t count, struct choice choice)
{
	char **labels = calloc(count + 1, sizeof(*labels));
	size_t i;

	if (!labels)
		err(EXIT_FAILED, NULL);
	for (i = 0; i < count; i++)
		labels[i] = heap_labels(&readings[i].heap);
	print_user(stream, info, choice.plain);
	print_heaps(stream, heap_figures, readings, labels, count, choice.plain);
	print_heaps(stream, shared_figures, readings, labels, count, choice.plain);
	if (choice.checks)
		print_heaps(stream, check_figures, readings, labels, count, choice.plain);
	if (choice.classes)
		print_classes(stream, readings, labels, count, choice.plain);
	if (!choice.plain)
		fputs("# EOF\n", stream);
	for (i = 0; i < count; i++)
		free(labels[i]);
	free(labels);
}
