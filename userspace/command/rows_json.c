// SPDX-License-Identifier: LGPL-2.1-or-later
/* Snapshots as JSON, with everything that is in them. */
#include <err.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <linux/pymalloc.h>

#include "command.h"
#include "groups.h"
#include "heading.h"
#include "key.h"
#include "rows_json.h"
#include "text.h"
#include "tree.h"
#include "weight.h"

/* What reads it asks for this.  It changes when a reader has to know. */
#define FORMAT		1

#define NSEC_PER_SEC	1e9

/* A frame, and its JSON. */
struct printed {
	const struct frame *frame;
	char *text;
};

static void print_text(FILE *stream, const char *text)
{
	char *valid;
	const char *c;

	if (!text) {
		fputs("null", stream);
		return;
	}
	valid = valid_utf8(text);
	if (!valid)
		err(EXIT_FAILED, NULL);
	putc('"', stream);
	for (c = valid; *c; c++) {
		if (*c == '"' || *c == '\\')
			fprintf(stream, "\\%c", *c);
		else if ((unsigned char)*c < ' ')
			fprintf(stream, "\\u%04x", *c);
		else
			putc(*c, stream);
	}
	putc('"', stream);
	free(valid);
}

static char *make_frame(const struct frame *frame)
{
	size_t length;
	char *text;
	FILE *stream = open_memstream(&text, &length);

	if (!stream)
		err(EXIT_FAILED, NULL);
	fputs("{\"file\":", stream);
	print_text(stream, frame->file);
	if (frame->line)
		fprintf(stream, ",\"line\":%u", frame->line);
	else
		fputs(",\"line\":null", stream);
	fputs(",\"function\":", stream);
	print_text(stream, frame->function);
	fputs(",\"object\":", stream);
	print_text(stream, frame->object);
	if (frame->python)
		fputs(",\"address\":null}", stream);
	else
		fprintf(stream, ",\"address\":%llu}", frame->address);
	if (fclose(stream))
		err(EXIT_FAILED, NULL);
	return text;
}

static int compare_printed(const void *a, const void *b)
{
	const struct printed *x = a;
	const struct printed *y = b;

	return (x->frame > y->frame) - (x->frame < y->frame);
}

/* A frame is in many stacks, and its text is made once. */
static void print_json_frame(const struct frame *frame)
{
	static struct tree frames = { .size = sizeof(struct printed), .compare = compare_printed };
	bool is_new;
	struct printed *printed = tree_member(&frames, &(struct printed){ .frame = frame },
					      &is_new);

	if (is_new)
		printed->text = make_frame(frame);
	fputs(printed->text, stdout);
}

static void print_stack(const struct stack *stack)
{
	size_t i;

	fputs(",\"stack\":[", stdout);
	for (i = 0; stack && i < stack->count; i++) {
		if (i)
			putchar(',');
		print_json_frame(stack->frames[i]);
	}
	putchar(']');
}

static void print_site(const struct section *section, __u32 number)
{
	const struct pymalloc_site_record *site = sites_find(&section->sites, number,
							     PYMALLOC_RECORD_SITE);
	const struct pymalloc_thread_record *thread;

	printf(",\"site\":%u", site || number == PYMALLOC_SITE_BEFORE ? number :
	       PYMALLOC_SITE_UNKNOWN);
	if (!site) {
		fputs(",\"thread\":null,\"tid\":null,\"age_s\":null,\"time\":null", stdout);
		fputs(",\"allocated\":null", stdout);
		return;
	}
	thread = sites_find(&section->sites, site->thread, PYMALLOC_RECORD_THREAD);
	fputs(",\"thread\":", stdout);
	print_text(stdout, thread->name);
	printf(",\"tid\":%u,\"age_s\":%.3f,\"time\":%llu,\"allocated\":%llu", thread->tid,
	       age_of(section, number) / NSEC_PER_SEC, site->time, site->count);
}

static void print_row(const struct section *section, const struct snapfile_row *row,
		      double before)
{
	double blocks = row->blocks * weight_of(section, row, before);

	printf("{\"bytes\":%.0f,\"blocks\":%.0f,\"counted\":%llu,\"cached\":%s,\"size\":%u",
	       blocks * row->size, blocks, row->blocks,
	       row->flags & SNAPFILE_CACHED ? "true" : "false", row->size);
	if (row->idle == SNAPFILE_NO_IDLE)
		fputs(",\"idle_s\":null", stdout);
	else
		printf(",\"idle_s\":%u", row->idle);
	print_site(section, row->site);
	print_stack(stack_of(&section->sites, row->site));
	putchar('}');
}

static void print_heap(const struct section *section)
{
	const struct pymalloc_settings_record *settings = section->sites.settings;
	const struct snapfile_header *header = &section->header;

	printf("{\"heap\":%llu,\"pid\":%u,\"uid\":%u,\"comm\":", header->heap, header->pid,
	       header->uid);
	print_text(stdout, header->comm);
	fputs(",\"name\":", stdout);
	print_text(stdout, header->name);
	printf(",\"page_bytes\":%llu,\"meta_bytes\":%llu,\"used_bytes\":%llu",
	       header->page_bytes, header->meta_bytes, header->used_bytes);
	printf(",\"mode\":\"%s\",\"time\":%llu", section_mode(section), header->time);
	if (is_sampled(section))
		printf(",\"interval\":%llu", settings->interval);
	else
		fputs(",\"interval\":null", stdout);
	if (settings)
		printf(",\"start\":%llu,\"unknown\":%llu", settings->time, settings->nr_unknown);
	else
		fputs(",\"start\":null,\"unknown\":null", stdout);
}

static void print_section(const struct view *view, const struct section *section)
{
	double before = weight_before(section);
	bool first = true;
	__u64 i;

	print_heap(section);
	fputs(",\"rows\":[", stdout);
	for (i = 0; i < section->header.nr_rows; i++) {
		if (!keeps_row(view, section, &section->rows[i]))
			continue;
		fputs(first ? "\n" : ",\n", stdout);
		first = false;
		print_row(section, &section->rows[i], before);
	}
	fputs("]}", stdout);
}

/**
 * print_rows() - print snapshots as JSON
 * @view: what the line asks for; its filters, and how old blocks must be
 * @snapshot: the snapshots
 */
void print_rows(const struct view *view, const struct snapshot *snapshot)
{
	size_t i;

	printf("{\"format\":%d,\"heaps\":[", FORMAT);
	for (i = 0; i < snapshot->count; i++) {
		if (i)
			putchar(',');
		print_section(view, &snapshot->sections[i]);
	}
	puts("]}");
}
