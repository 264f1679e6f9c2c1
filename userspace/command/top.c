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
#include "places.h"

/* What stands for keys that ncurses has no name for. */
#define KEY_ESCAPE	27
#define KEY_RETURN	'\n'
#define KEY_TABULATOR	'\t'

static const char help_text[] =
	"pymalloc top\n"
	"\n"
	"Up, Down, PgUp, PgDn, Home, End  select a row\n"
	"Enter, Right                     the size classes of the selected heap\n"
	"Tab                              its sites instead, if it is traced; and back\n"
	"Left, Backspace, Escape          back to the heaps\n"
	"r                                reverse the order\n"
	"Space                            look again now\n"
	"h, ?                             this help\n"
	"q                                end\n"
	"\n"
	"These sort heaps: n HEAP, i PID, c COMMAND, m NAME, b BYTES, u USED, f FRAG,\n"
	"a ALLOCS/S, p PAGES/S. These sort size classes: s SIZE, p POOLS, o BLOCKS, e FREE,\n"
	"b BYTES, a ALLOCS/S, f FREES/S. And these sites: b BYTES, e SHARE, o BLOCKS,\n"
	"g BYTES/S, l PLACE.\n"
	"PAGES/S are pages taken less those given back. A bar shows how much of the bytes of\n"
	"pages is used, and of the blocks of a size class.\n"
	"\n"
	"Press a key.\n";

enum { OPTION_SITES = 0x300 };

static const struct argp_option options[] = {
	{ "interval", 'i', "S", 0, "look every S seconds; 1 if not given", 0 },
	{ "output", 'o', "once", 0, "print plain text, once", 0 },
	{ "sites", OPTION_SITES, NULL, 0, "show sites instead of size classes", 0 },
	{ "sort", 'x', "KEY", 0,
	  "sort heaps by heap, pid, command, name, bytes (the default), used, frag, allocs or pages",
	  0 },
	{ 0 }
};

/* What the line asks for. */
struct wish {
	double interval;
	bool once;
	bool sites;
	struct order order;
};

/* What is shown. */
enum view { HEAPS, CLASSES, SITES, VIEWS };

/**
 * struct top - what is shown, and what it is made of
 * @device: descriptor of the device
 * @heap: descriptor of the heap that is open, or -1
 * @id: its number
 * @only: it was given on the line
 * @sites: of a heap that is open, its sites are shown
 * @pace: when looks were
 * @heaps: all heaps: now, and at the look before
 * @classes: the size classes of the heap that is open: the same
 * @seen: when each of the two looks was
 * @places: the same of its places
 * @panel: the rows
 * @orders: in which order each of them is shown
 * @selected: the selected row
 * @message: what has happened
 * @note: what is to be known about the sites
 */
struct top {
	int device;
	int heap;
	__u64 id;
	bool only;
	bool sites;
	struct pace pace;
	struct look heaps[2];
	struct classes classes[2];
	double seen[2];
	struct places_look places;
	struct panel panel;
	struct order orders[VIEWS];
	size_t selected;
	char message[TEXT_LEN];
	char note[TEXT_LEN];
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
	case OPTION_SITES:
		wish->sites = true;
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

static enum view view_of(const struct top *top)
{
	if (top->heap < 0)
		return HEAPS;
	return top->sites ? SITES : CLASSES;
}

static struct order *order_of(struct top *top)
{
	return &top->orders[view_of(top)];
}

static struct panel new_panel(const struct top *top)
{
	double seconds = top->seen[1] ? top->seen[0] - top->seen[1] : 0;
	const struct places_look *places = &top->places;

	switch (view_of(top)) {
	case HEAPS:
		return panel_heaps(&top->heaps[0], &top->heaps[1], seconds);
	case CLASSES:
		return panel_classes(&top->classes[0], &top->classes[1], seconds);
	default:
		return panel_places(places->places[0], places->places[1],
				    places->seen[0] - places->seen[1]);
	}
}

/* The selected row stays selected wherever it goes; what takes its place if it is gone. */
static void renew_panel(struct top *top)
{
	__u64 id = top->selected < top->panel.count ? top->panel.rows[top->selected].id : 0;
	size_t i;

	panel_free(&top->panel);
	top->panel = new_panel(top);
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
	*top->note = '\0';
	places_forget(&top->places);
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

/* Without a trace there is nothing to look for. */
static void begin_places(struct top *top)
{
	struct pymalloc_trace trace = { .argsz = sizeof(trace) };

	/* The next look says so. */
	if (!heap_call(top->heap, PYMALLOC_IOC_TRACE, &trace))
		return;
	*top->note = '\0';
	if (trace.mode == PYMALLOC_TRACE_OFF) {
		places_forget(&top->places);
		snprintf(top->note, sizeof(top->note),
			 "Heap %llu has no trace: pymalloc trace %llu --mode exact begins one.",
			 top->id, top->id);
		return;
	}
	if (trace.begun != trace.generation)
		snprintf(top->note, sizeof(top->note),
			 "The trace begins when the program next needs blocks.");
	places_begin(&top->places, top->id, pace_seconds(&top->pace));
}

static void end_places(struct top *top)
{
	places_end(&top->places, pace_seconds(&top->pace), top->message);
	renew_panel(top);
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
	if (view_of(top) == SITES)
		begin_places(top);
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

static void show_sites(struct top *top, bool sites)
{
	if (top->heap < 0)
		return;
	top->sites = sites;
	forget_looks(top);
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
		key = screen_wait(3600, -1);
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
	case KEY_TABULATOR:
		show_sites(top, !top->sites);
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
	const char *by = top->panel.headings[top->orders[view_of(top)].column].name;
	const struct places *places = top->places.places[0];
	char held[SIZE_LEN], used[SIZE_LEN];
	__u64 bytes = 0, blocks = 0;
	size_t i;

	if (view_of(top) == CLASSES) {
		snprintf(title, size, "heap %llu: %zu size classes, by %s", top->id,
			 top->panel.count, by);
		return;
	}
	if (view_of(top) == SITES) {
		snprintf(title, size, "heap %llu: %zu places%s, by %s", top->id,
			 places ? places->all : 0,
			 places && places->estimated ? " (estimates)" : "", by);
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
		.message = *top->message ? top->message :
			   *top->note ? top->note :
			   top->heap < 0 ? "h: help   q: end" :
			   "h: help   q: end   Tab: sites, size classes",
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
		key = screen_wait(top->seen[0] + interval - pace_seconds(&top->pace),
				  top->places.fd);
		if (key == SCREEN_END)
			break;
		if (key != SCREEN_TIME && key != ERR && key != SCREEN_READY)
			*top->message = '\0';
		if (key == SCREEN_TIME)
			go_on = look(top);
		else if (key == SCREEN_READY)
			end_places(top);
		else if (key != KEY_RESIZE && key != ERR)
			go_on = do_key(top, key);
	}
	return screen_close();
}

/* Returns false if there is nothing to print. */
static bool look_once(struct top *top)
{
	if (!look(top))
		return false;
	if (view_of(top) != SITES)
		return true;
	if (!top->places.pid)
		errx(EXIT_FAILED, "%s", top->note);
	end_places(top);
	if (*top->message)
		errx(EXIT_FAILED, "%s", top->message);
	top->places.due = 0;
	return true;
}

/* Names of places are not cut, as there may be a program that reads them. */
static void print_panel(const struct top *top)
{
	size_t width = view_of(top) == SITES ? LINE_MAX_LEN : terminal_columns(), i;
	char line[LINE_MAX_LEN];

	panel_headings(&top->panel, line);
	puts(line);
	for (i = 0; i < top->panel.count; i++) {
		panel_row(&top->panel, &top->panel.rows[i], width, line);
		puts(line);
	}
}

/* Two looks, because rates take as many. */
static int print_once(struct top *top, double interval)
{
	if (top->sites && top->heap < 0)
		errx(EXIT_USAGE, "the sites of which heap? Give HEAP or --pid PID");
	if (!look_once(top))
		return 0;
	pace_wait(&top->pace, interval, NULL, 0);
	if (look_once(top))
		print_panel(top);
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
				  "size classes of a heap, Tab shows its sites instead, h is help, q ends it.\n"
				  "With HEAP: that one's, until it ends. If there is no terminal, or one that\n"
				  "cannot be drawn on, it is as with -o once: plain text, with rates over one\n"
				  "interval.",
				  TAKES_OPTIONAL, &own, &wish);
	struct top top = {
		.heap = target.has_heap ? open_heap(target.id, PYMALLOC_OPEN_RDONLY) : -1,
		.id = target.id,
		.only = target.has_heap,
		.sites = wish.sites,
		.device = open_device(),
		.pace = pace_start(),
		.places = PLACES_LOOK,
		.orders = {
			[HEAPS] = wish.order,
			[CLASSES] = { .column = panel_find_word(class_headings, "bytes") },
			[SITES] = { .column = panel_find_word(place_headings, "bytes") },
		},
	};
	int status;

	status = wish.once || !screen_can_be_drawn() ? print_once(&top, wish.interval) :
						       show(&top, wish.interval);
	panel_free(&top.panel);
	places_forget(&top.places);
	look_free(&top.heaps[0]);
	look_free(&top.heaps[1]);
	if (top.heap >= 0)
		close(top.heap);
	close(top.device);
	return status;
}
