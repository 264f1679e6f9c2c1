// SPDX-License-Identifier: LGPL-2.1-or-later
/* pymalloc ls: list the heaps of this machine that the caller may see, or their types. */
#include <argp.h>
#include <err.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "options.h"
#include "service.h"
#include "shared.h"
#include "table.h"
#include "text.h"
#include "types.h"

static const struct column heap_columns[] = {
	{ "HEAP", KIND_NUMBER },
	{ "PID", KIND_NUMBER },
	{ "USER", KIND_TEXT },
	{ "UID", KIND_NUMBER },
	{ "COMMAND", KIND_TEXT },
	{ "NAME", KIND_TEXT },
	{ "KIND", KIND_TEXT },
	{ "BYTES", KIND_BYTES },
	{ "SHARED", KIND_BYTES },
	{ "PSS", KIND_BYTES },
	{ "USED", KIND_BYTES },
	{ "FRAG", KIND_PERCENT },
	{ "LIMIT", KIND_LIMIT },
	{ "WINDOW", KIND_BYTES },
	{ "ALIGNMENT", KIND_NUMBER },
	{ "METADATA", KIND_BYTES },
	{ "DIED", KIND_TEXT },
	{ "CAUSE", KIND_TEXT },
	{ NULL, 0 }
};

/* What --help says about each of them. */
static const char * const heap_help[] = {
	"number of the heap",
	"number of the process that made it",
	"name of the user whose limits it counts against",
	"number of that user",
	"what that process ran when it made the heap",
	"name of the heap",
	"private, shared (for all who have a descriptor of it), sealed or kernel",
	"bytes of the pages that it holds",
	"BYTES that relatives by fork() hold as well; meshing adds none",
	"BYTES, but a page of n heaps counts for one n-th",
	"bytes of its objects, and of what its threads have in magazines",
	"share of BYTES that is not USED",
	"most bytes that it may hold",
	"bytes of addresses that it has",
	"what its objects are aligned to",
	"bytes of what the kernel knows of it; of a dead heap this is all that is left",
	"when its process ended",
	"how its process ended: its exit status, or a signal",
};

#define DEFAULT_COLUMNS	"HEAP,PID,USER,COMMAND,NAME,BYTES,SHARED,PSS,USED,FRAG"
#define DEAD_COLUMNS	"HEAP,PID,USER,COMMAND,NAME,USED,METADATA,DIED,CAUSE"
#define TYPE_COLUMNS	"HEAP,PID,TYPE,NAME,SIZE,KEEP,OWN,OBJECTS,KEPT,CONSTRUCTED,BYTES"

enum { OPTION_SUMMARY = 0x100, OPTION_TYPES };

enum summary {
	SUMMARY_NEVER,
	SUMMARY_ALWAYS,
	SUMMARY_ONLY,
};

struct wish {
	struct selection shown;
	const char *columns;		/* as --output says, or NULL */
	const char *sort;		/* as --sort says, or NULL */
	bool dead;
	bool types;
	enum summary summary;
	struct style style;
};

static const struct column *columns_of(const struct wish *wish)
{
	return wish->types ? type_columns : heap_columns;
}

static const char *default_columns(const struct wish *wish)
{
	if (wish->types)
		return TYPE_COLUMNS;
	return wish->dead ? DEAD_COLUMNS : DEFAULT_COLUMNS;
}

static int parse_column(struct argp_state *state, const char *name)
{
	int column = column_find(columns_of(state->input), name);

	if (column < 0)
		argp_error(state, "unknown column: %s", name);
	return column;
}

/* As in util-linux, a list that begins with + adds to what is there. */
static void parse_columns(struct argp_state *state, struct selection *shown,
			  const char *list)
{
	char *copy = strdupa(list);
	char *name;

	if (*copy == '+')
		copy++;
	else
		shown->count = 0;
	while ((name = strsep(&copy, ","))) {
		if (shown->count == COLUMNS_MAX)
			argp_error(state, "too many columns");
		shown->indices[shown->count++] = parse_column(state, name);
	}
}

static void parse_summary(struct argp_state *state, enum summary *summary,
			  const char *when)
{
	if (!when || !strcmp(when, "only"))
		*summary = SUMMARY_ONLY;
	else if (!strcmp(when, "always"))
		*summary = SUMMARY_ALWAYS;
	else if (!strcmp(when, "never"))
		*summary = SUMMARY_NEVER;
	else
		argp_error(state, "--summary is never, always or only: %s", when);
}

static error_t parse(int key, char *word, struct argp_state *state)
{
	struct wish *wish = state->input;

	switch (key) {
	case 'b':
		wish->style.bytes = true;
		return 0;
	case 'd':
		wish->dead = true;
		return 0;
	case 'j':
		wish->style.json = true;
		return 0;
	case 'n':
		wish->style.no_headings = true;
		return 0;
	case 'o':
		wish->columns = word;
		return 0;
	case 'r':
		wish->style.raw = true;
		return 0;
	case 'x':
		wish->sort = word;
		return 0;
	case OPTION_TYPES:
		wish->types = true;
		return 0;
	case OPTION_SUMMARY:
		parse_summary(state, &wish->summary, word);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "too many arguments");
		return 0;
	case ARGP_KEY_END:
		parse_columns(state, &wish->shown, default_columns(wish));
		if (wish->columns)
			parse_columns(state, &wish->shown, wish->columns);
		if (wish->sort)
			parse_column(state, wish->sort);
		if (wish->types && wish->summary != SUMMARY_NEVER)
			argp_error(state, "--types has no summary");
		if (wish->style.json && wish->style.raw)
			argp_error(state, "--json and --raw are two formats");
		if ((wish->style.json || wish->style.raw) &&
		    wish->summary != SUMMARY_NEVER)
			argp_error(state, "--json and --raw have no summary");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void add_user(struct table *table, __u32 uid)
{
	const struct passwd *user = getpwuid(uid);
	char number[SIZE_LEN];

	snprintf(number, sizeof(number), "%u", uid);
	table_text(table, user ? user->pw_name : number);
}

/* The time of a death, or nothing for the living. */
static void add_time(struct table *table, time_t seconds)
{
	char text[32] = "";

	if (seconds)
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S%z", localtime(&seconds));
	table_text(table, text);
}

static void add_cause(struct table *table, const struct pymalloc_heap_info *heap)
{
	const char *signal = sigabbrev_np(heap->death_code);
	char text[32] = "";

	if (heap->death == PYMALLOC_DIED_EXIT)
		snprintf(text, sizeof(text), "exit %u", heap->death_code);
	else if (heap->death == PYMALLOC_DIED_SIGNAL && signal)
		snprintf(text, sizeof(text), "SIG%s", signal);
	else if (heap->death == PYMALLOC_DIED_SIGNAL)
		snprintf(text, sizeof(text), "signal %u", heap->death_code);
	table_text(table, text);
}

static const char *kind_of(const struct pymalloc_heap_info *heap)
{
	if (heap->flags & PYMALLOC_KERNEL)
		return "kernel";
	if (heap->flags & PYMALLOC_SEALED)
		return "sealed";
	return is_shared(heap) ? "shared" : "private";
}

static void add_heap(struct table *table, const struct pymalloc_heap_info *heap)
{
	table_line(table);
	table_number(table, heap->id);
	table_number(table, heap->pid);
	add_user(table, heap->uid);
	table_number(table, heap->uid);
	table_text(table, heap->comm);
	table_text(table, heap->name);
	table_text(table, kind_of(heap));
	table_number(table, heap->page_bytes);
	table_number(table, heap->shared_bytes);
	table_number(table, heap->pss_bytes);
	table_number(table, heap->used_bytes);
	table_number(table, fragmentation(heap->page_bytes, heap->used_bytes));
	table_number(table, heap->limit);
	table_number(table, heap->window);
	table_number(table, heap->alignment);
	table_number(table, heap->meta_bytes);
	add_time(table, heap->died);
	add_cause(table, heap);
}

/* The types of a heap, unless it has ended since it was listed, or may not be looked at. */
static void add_types_of(struct table *table, const struct pymalloc_heap_info *heap)
{
	int fd = try_open_heap(heap->id, PYMALLOC_OPEN_RDONLY);
	struct pymalloc_type_info types[PYMALLOC_TYPES_MAX];

	if (fd < 0)
		return;
	add_types(table, heap, types, read_types(fd, types));
	close(fd);
}

static void print_table(const struct pymalloc_heap_info *heaps, size_t count,
			const struct wish *wish)
{
	struct table *table = table_new_of(wish->types ? "types" : "heaps", columns_of(wish),
					   &wish->shown, wish->style);
	size_t i;

	for (i = 0; i < count; i++) {
		if (wish->types)
			add_types_of(table, &heaps[i]);
		else
			add_heap(table, &heaps[i]);
	}
	if (wish->sort)
		table_sort(table, column_find(columns_of(wish), wish->sort));
	tables_print(&table, 1);
}

static void print_sum(const char *what, __u64 bytes, bool plain)
{
	char text[SIZE_LEN];

	if (plain)
		snprintf(text, sizeof(text), "%llu", bytes);
	else
		format_bytes(text, bytes);
	printf("%-18s%12s\n", what, text);
}

/* The sum of all PSS is what the heaps hold together: a shared page counts once. */
static void print_summary(const struct pymalloc_heap_info *heaps, size_t count,
			  bool plain)
{
	__u64 held = 0, used = 0;
	size_t i;

	for (i = 0; i < count; i++) {
		held += heaps[i].pss_bytes;
		used += heaps[i].used_bytes;
	}
	printf("%-18s%12zu\n", "Heaps:", count);
	print_sum("Bytes of pages:", held, plain);
	print_sum("Bytes of objects:", used, plain);
}

/* Ends --help with a list of the columns.  argp frees what this returns. */
static char *list_columns(int key, const char *text, void *unused)
{
	char *list = NULL;
	size_t length, i;
	FILE *stream;

	(void)unused;
	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)text;
	stream = open_memstream(&list, &length);
	if (!stream)
		return NULL;
	fprintf(stream, "COLS are some of:\n");
	for (i = 0; heap_columns[i].name; i++)
		fprintf(stream, "  %-10s %s\n", heap_columns[i].name, heap_help[i]);
	fprintf(stream, "\nWith --types, they are some of:\n");
	for (i = 0; type_columns[i].name; i++)
		fprintf(stream, "  %-11s %s\n", type_columns[i].name, type_help[i]);
	fclose(stream);
	return list;
}

#define KEEP_DEAD "/sys/module/pymalloc/parameters/keep_dead"

/* If there is none, that may be because nobody has asked for them to be kept. */
static void explain_none(void)
{
	FILE *file = fopen(KEEP_DEAD, "re");
	unsigned int heaps;

	if (!file)
		return;
	if (fscanf(file, "%u", &heaps) == 1 && !heaps)
		warnx("the module keeps no dead heaps, as " KEEP_DEAD " is 0");
	fclose(file);
}

int ls_main(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "bytes", 'b', NULL, 0, "print sizes in bytes", 0 },
		{ "dead", 'd', NULL, 0, "list what is kept of heaps whose process has ended", 0 },
		{ "json", 'j', NULL, 0, "print JSON", 0 },
		{ "noheadings", 'n', NULL, 0, "print no headings", 0 },
		{ "output", 'o', "COLS", 0,
		  "print these columns, separated by commas; +COLS adds to the usual ones", 0 },
		{ "raw", 'r', NULL, 0, "print columns separated by one blank", 0 },
		{ "sort", 'x', "COL", 0, "sort by this column", 0 },
		{ "summary", OPTION_SUMMARY, "WHEN", OPTION_ARG_OPTIONAL,
		  "print sums never (the default), always (behind the list), or only them", 0 },
		{ "types", OPTION_TYPES, NULL, 0, "list the types of objects of all heaps", 0 },
		{ 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.doc = "List heaps, or their types: your own, or all for root.\v",
		.children = help_child,
		.help_filter = list_columns,
	};
	struct wish wish = {};
	struct pymalloc_heap_info *heaps;
	size_t count;
	int device;

	argp_parse(&argp, argc, argv, 0, NULL, &wish);
	device = open_device();
	count = wish.dead ? list_dead_heaps(device, &heaps) : list_heaps(device, &heaps);
	close(device);
	if (wish.dead && !count)
		explain_none();
	if (wish.summary != SUMMARY_ONLY)
		print_table(heaps, count, &wish);
	if (wish.summary == SUMMARY_ALWAYS)
		putchar('\n');
	if (wish.summary != SUMMARY_NEVER)
		print_summary(heaps, count, wish.style.bytes);
	free(heaps);
	return 0;
}
