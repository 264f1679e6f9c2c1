// SPDX-License-Identifier: LGPL-2.1-or-later
/* pymalloc trace: have a heap's library record where blocks are allocated. */
#include <argp.h>
#include <err.h>
#include <stdbool.h>
#include <unistd.h>

#include "command.h"
#include "service.h"
#include "table.h"
#include "target.h"
#include "tracing.h"

static const struct column columns[] = {
	{ "HEAP", KIND_NUMBER },
	{ "MODE", KIND_TEXT },
	{ "FRAMES", KIND_NUMBER },
	{ "NATIVE", KIND_NUMBER },
	{ "INTERVAL", KIND_BYTES },
	{ "BEGUN", KIND_SWITCH },
	{ "IDLE", KIND_SWITCH },
	{ NULL, 0 }
};

enum {
	OPTION_IDLE = 0x400,
	OPTION_NO_IDLE,
};

static const struct argp_option options[] = {
	{ "mode", 'm', "MODE", 0,
	  "exact: each block; sampled: some, by chance; growth: where threads fetch blocks; off",
	  0 },
	TRACING_OPTIONS,
	{ "idle", OPTION_IDLE, NULL, 0,
	  "have the kernel find out for how long pages have not been touched, and look now", 0 },
	{ "no-idle", OPTION_NO_IDLE, NULL, 0, "do that no more", 0 },
	{ 0 }
};

/* What the line says; @change: it has a mode; @idle: a PYMALLOC_TRACE_* about idle pages, or 0. */
struct wish {
	bool change;
	bool has_settings;
	__u32 idle;
	struct pymalloc_trace trace;
};

static void check_wish(struct argp_state *state, const struct wish *wish)
{
	if (wish->has_settings && !wish->change)
		argp_error(state, "which --mode?");
}

static void set_idle(struct argp_state *state, struct wish *wish, __u32 idle)
{
	if (wish->idle && wish->idle != idle)
		argp_error(state, "--idle or --no-idle?");
	wish->idle = idle;
}

static error_t parse(int key, char *word, struct argp_state *state)
{
	struct wish *wish = state->input;

	switch (key) {
	case 'm':
		wish->trace.mode = parse_mode(state, word);
		wish->change = true;
		return 0;
	case OPTION_IDLE:
		set_idle(state, wish, PYMALLOC_TRACE_IDLE);
		return 0;
	case OPTION_NO_IDLE:
		set_idle(state, wish, PYMALLOC_TRACE_NO_IDLE);
		return 0;
	case ARGP_KEY_END:
		check_wish(state, wish);
		return 0;
	}
	if (parse_tracing(key, word, state, &wish->trace))
		return ARGP_ERR_UNKNOWN;
	wish->has_settings = true;
	return 0;
}

static void print_trace(int fd, const struct target *target)
{
	struct style style = { .json = target->json, .bytes = target->bytes };
	struct table *table = table_new("trace", columns, SHAPE_RECORD, style);
	struct pymalloc_trace trace = { .argsz = sizeof(trace) };

	service_call(fd, PYMALLOC_IOC_TRACE, &trace);
	table_line(table);
	table_number(table, target->id);
	table_text(table, mode_name(trace.mode));
	table_number(table, trace.python_frames);
	table_number(table, trace.native_frames);
	table_number(table, trace.interval);
	table_number(table, trace.mode != PYMALLOC_TRACE_OFF && trace.begun == trace.generation);
	table_number(table, trace.idle);
	tables_print(&table, 1);
}

static void refuse_untraceable(int fd)
{
	struct pymalloc_heap_info heap = describe_heap(fd);

	if (heap.flags & PYMALLOC_KERNEL)
		errx(EXIT_FAILED, "heap %llu is a module's: it cannot be traced", heap.id);
	if (heap.flags & PYMALLOC_CREATE_SHARED)
		errx(EXIT_FAILED, "heap %llu is a shared one: it cannot be traced", heap.id);
}

int trace_main(int argc, char **argv)
{
	static const struct argp own = { .options = options, .parser = parse };
	struct wish wish = {
		.trace = {
			.argsz = sizeof(wish.trace),
			.flags = PYMALLOC_TRACE_SET,
			.python_frames = TRACING_PYTHON_FRAMES,
			.native_frames = TRACING_NATIVE_FRAMES,
		},
	};
	struct target target =
		parse_target_with(argc, argv, "HEAP",
				  "Show how a heap is traced, or set it. With a mode, its program begins to record\n"
				  "where its blocks are allocated, when it next needs blocks from the kernel or\n"
				  "gives some back; BEGUN says whether it has. What was recorded before is gone.\n"
				  "`pymalloc report` shows it.",
				  TAKES_BYTES, &own, &wish);
	int fd = open_heap(target.id, wish.change || wish.idle ? 0 : PYMALLOC_OPEN_RDONLY);
	struct pymalloc_trace idle = { .argsz = sizeof(idle), .flags = wish.idle };

	if (wish.change || wish.idle)
		refuse_untraceable(fd);
	if (wish.change)
		service_call(fd, PYMALLOC_IOC_TRACE, &wish.trace);
	if (wish.idle)
		service_call(fd, PYMALLOC_IOC_TRACE, &idle);
	print_trace(fd, &target);
	close(fd);
	return 0;
}
