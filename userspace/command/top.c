// SPDX-License-Identifier: LGPL-2.1-or-later
/* pymalloc top: what heaps do now, on the terminal, as top(1). */
#include <argp.h>
#include <curses.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "pace.h"
#include "screen.h"
#include "service.h"
#include "target.h"
#include "terminal.h"
#include "text.h"
#include "panels.h"

/* What stands for keys that ncurses has no name for. */
#define KEY_ESCAPE	27
#define KEY_RETURN	'\n'

static const char help_text[] =
	"pymalloc top\n"
	"\n"
	"Up, Down, PgUp, PgDn, Home, End  select a row\n"
	"Enter, Right                     the size classes of the selected heap\n"
	"Left, Backspace, Escape          back to the heaps\n"
	"r                                reverse the order\n"
	"Space                            look again now\n"
	"h, ?                             this help\n"
	"q                                end\n"
	"\n"
	"These sort heaps: n HEAP, i PID, c COMMAND, m NAME, b BYTES, u USED, f FRAG,\n"
	"a ALLOCS/S, p PAGES/S. These sort size classes: s SIZE, p POOLS, o BLOCKS, e FREE,\n"
	"b BYTES, a ALLOCS/S, f FREES/S.\n"
	"PAGES/S are pages taken less those given back. A bar shows how much of the bytes of\n"
	"pages is used, and of the blocks of a size class.\n"
	"\n"
	"Press a key.\n";

static const struct argp_option options[] = {
	{ "interval", 'i', "S", 0, "look every S seconds; 1 if not given", 0 },
	{ "output", 'o', "once", 0, "print plain text, once", 0 },
	{ "sort", 'x', "KEY", 0,
	  "sort heaps by heap, pid, command, name, bytes (the default), used, frag, allocs or pages",
	  0 },
	{ 0 }
};

/* What the line asks for. */
struct wish {
	double interval;
	bool once;
	struct order order;
};

/**
 * struct top - what is shown, and what it is made of
 * @device: descriptor of the device
 * @heap: descriptor of the heap that is open, or -1
 * @id: its number
 * @only: it was given on the line
 * @pace: when looks were
 * @heaps: all heaps: now, and at the look before
 * @classes: the size classes of the heap that is open: the same
 * @seen: when each of the two looks was
 * @panel: the rows
 * @orders: in which order heaps and classes are shown
 * @selected: the selected row
 * @message: what has happened
 */
struct top {
	int device;
	int heap;
	__u64 id;
	bool only;
	struct pace pace;
	struct look heaps[2];
	struct classes classes[2];
	double seen[2];
	struct panel panel;
	struct order orders[2];
	size_t selected;
	char message[80];
};

static error_t parse(int key, char *word, struct argp_state *state)
{
	struct wish *wish = state->input;
	int column;

	switch (key) {
	case 'i':
		wish->interval = parse_interval(state, word);
		return 0;
	case 'o':
		if (strcmp(word, "once"))
			argp_error(state, "the only output is once: %s", word);
		wish->once = true;
		return 0;
	case 'x':
		column = panel_find_word(heap_headings, word);
		if (column < 0)
			argp_error(state, "heaps cannot be sorted by %s", word);
		wish->order.column = column;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static struct order *order_of(struct top *top)
{
	return &top->orders[top->heap >= 0];
}

/* The selected row stays selected wherever it goes; what takes its place if it is gone. */
static void renew_panel(struct top *top)
{
	double seconds = top->seen[1] ? top->seen[0] - top->seen[1] : 0;
	__u64 id = top->selected < top->panel.count ? top->panel.rows[top->selected].id : 0;
	size_t i;

	panel_free(&top->panel);
	top->panel = top->heap >= 0 ?
		panel_classes(&top->classes[0], &top->classes[1], seconds) :
		panel_heaps(&top->heaps[0], &top->heaps[1], seconds);
	panel_sort(&top->panel, *order_of(top));
	for (i = 0; i < top->panel.count; i++)
		if (top->panel.rows[i].id == id)
			top->selected = i;
	if (top->selected >= top->panel.count)
		top->selected = top->panel.count ? top->panel.count - 1 : 0;
}

/* There is nothing to compare with until the next look. */
static void forget_looks(struct top *top)
{
	top->seen[0] = 0;
	top->selected = 0;
	panel_free(&top->panel);
}

static void close_heap(struct top *top)
{
	close(top->heap);
	top->heap = -1;
	forget_looks(top);
}

static void say_ended(struct top *top)
{
	snprintf(top->message, sizeof(top->message), "Heap %llu has ended.", top->id);
}

static bool look_at_classes(struct top *top)
{
	struct classes now;

	if (!get_classes(top->heap, &now))
		return false;
	top->classes[1] = top->classes[0];
	top->classes[0] = now;
	return true;
}

static void look_at_heaps(struct top *top)
{
	look_free(&top->heaps[1]);
	top->heaps[1] = top->heaps[0];
	top->heaps[0] = look_at_all(top->device);
}

/* Returns false if the heap that was given on the line has ended. */
static bool look(struct top *top)
{
	if (top->heap >= 0 && !look_at_classes(top)) {
		say_ended(top);
		close_heap(top);
		if (top->only)
			return false;
	}
	if (top->heap < 0)
		look_at_heaps(top);
	top->seen[1] = top->seen[0];
	top->seen[0] = pace_seconds(&top->pace);
	renew_panel(top);
	return true;
}

static void open_selected(struct top *top)
{
	if (top->heap >= 0 || !top->panel.count)
		return;
	top->id = top->panel.rows[top->selected].id;
	top->heap = try_open_heap(top->id, PYMALLOC_OPEN_RDONLY);
	if (top->heap < 0)
		say_ended(top);
	else
		forget_looks(top);
	look(top);
}

static void back(struct top *top)
{
	if (top->heap < 0)
		return;
	top->only = false;
	close_heap(top);
	look(top);
}

static void move_by(struct top *top, long rows)
{
	long to = (long)top->selected + rows;
	long last = top->panel.count ? top->panel.count - 1 : 0;

	top->selected = to < 0 ? 0 : to > last ? last : to;
}

static void sort_by_key(struct top *top, int key)
{
	int column = panel_find_key(top->panel.headings, key);

	if (column < 0)
		return;
	*order_of(top) = (struct order){ .column = column };
	renew_panel(top);
}

static void show_help(void)
{
	int key;

	do {
		screen_draw_text(help_text);
		key = screen_wait(3600);
	} while (key == KEY_RESIZE || key == SCREEN_TIME);
	/* What ends the program must not be lost. */
	if (key == 'q')
		ungetch(key);
}

/* Returns false at the end. */
static bool do_key(struct top *top, int key)
{
	switch (key) {
	case 'q':
		return false;
	case 'h':
	case '?':
		show_help();
		return true;
	case ' ':
		return look(top);
	case 'r':
		order_of(top)->reversed ^= true;
		renew_panel(top);
		return true;
	case KEY_RETURN:
	case KEY_ENTER:
	case KEY_RIGHT:
		open_selected(top);
		return true;
	case KEY_LEFT:
	case KEY_BACKSPACE:
	case KEY_ESCAPE:
		back(top);
		return true;
	case KEY_UP:
		move_by(top, -1);
		return true;
	case KEY_DOWN:
		move_by(top, 1);
		return true;
	case KEY_PPAGE:
		move_by(top, -(long)screen_rows());
		return true;
	case KEY_NPAGE:
		move_by(top, screen_rows());
		return true;
	case KEY_HOME:
		move_by(top, -(long)top->panel.count);
		return true;
	case KEY_END:
		move_by(top, top->panel.count);
		return true;
	default:
		sort_by_key(top, key);
		return true;
	}
}

static void make_title(const struct top *top, char *title, size_t size)
{
	const char *by = top->panel.headings[top->orders[top->heap >= 0].column].name;
	char held[SIZE_LEN], used[SIZE_LEN];
	__u64 bytes = 0, blocks = 0;
	size_t i;

	if (top->heap >= 0) {
		snprintf(title, size, "heap %llu: %zu size classes, by %s", top->id,
			 top->panel.count, by);
		return;
	}
	/* A page that several heaps have counts once. */
	for (i = 0; i < top->heaps[0].count; i++) {
		bytes += top->heaps[0].heaps[i].info.pss_bytes;
		blocks += top->heaps[0].heaps[i].figures.of[FIGURE_USED];
	}
	snprintf(title, size, "%zu heaps: %s of pages, %s used, by %s", top->heaps[0].count,
		 format_bytes(held, bytes), format_bytes(used, blocks), by);
}

static void draw(struct top *top)
{
	char title[128];
	struct page page = {
		.title = title,
		.panel = &top->panel,
		.selected = top->selected,
		.message = *top->message ? top->message : "h: help   q: end",
	};

	make_title(top, title, sizeof(title));
	screen_draw(&page);
}

/* Until the user or a signal ends it, or the only heap ends. */
static int show(struct top *top, double interval)
{
	bool go_on = look(top);

	screen_open();
	while (go_on) {
		int key;

		draw(top);
		key = screen_wait(top->seen[0] + interval - pace_seconds(&top->pace));
		if (key == SCREEN_END)
			break;
		if (key != SCREEN_TIME && key != ERR)
			*top->message = '\0';
		if (key == SCREEN_TIME)
			go_on = look(top);
		else if (key != KEY_RESIZE && key != ERR)
			go_on = do_key(top, key);
	}
	return screen_close();
}

/* Two looks, because rates take as many. */
static int print_once(struct top *top, double interval)
{
	char line[LINE_MAX_LEN];
	size_t i;

	if (!look(top))
		return 0;
	pace_wait(&top->pace, interval, NULL, 0);
	if (!look(top))
		return 0;
	panel_headings(&top->panel, line);
	puts(line);
	for (i = 0; i < top->panel.count; i++) {
		panel_row(&top->panel, &top->panel.rows[i], terminal_columns(), line);
		puts(line);
	}
	return 0;
}

int top_main(int argc, char **argv)
{
	static const struct argp own = { .options = options, .parser = parse };
	struct wish wish = { .interval = 1,
			     .order.column = panel_find_word(heap_headings, "bytes") };
	struct target target =
		parse_target_with(argc, argv, "[HEAP]",
				  "Show what heaps do now, on the terminal, again and again; Enter opens the\n"
				  "size classes of a heap, h is help, q ends it. With HEAP: that one's, until\n"
				  "it ends. If there is no terminal, or one that cannot be drawn on, it is as\n"
				  "with -o once: plain text, with rates over one interval.",
				  TAKES_OPTIONAL, &own, &wish);
	struct top top = {
		.heap = target.has_heap ? open_heap(target.id, PYMALLOC_OPEN_RDONLY) : -1,
		.id = target.id,
		.only = target.has_heap,
		.device = open_device(),
		.pace = pace_start(),
		.orders = { wish.order, { .column = panel_find_word(class_headings, "bytes") } },
	};
	int status;

	status = wish.once || !screen_can_be_drawn() ? print_once(&top, wish.interval) :
						       show(&top, wish.interval);
	panel_free(&top.panel);
	look_free(&top.heaps[0]);
	look_free(&top.heaps[1]);
	if (top.heap >= 0)
		close(top.heap);
	close(top.device);
	return status;
}
