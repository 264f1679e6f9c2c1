// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A terminal that is drawn on, by ncurses.
 *
 * However the program ends, the terminal is as before.  Signals that would end it are read
 * as a descriptor is; what ends it with a message calls exit(), and what it has written to
 * stderr meanwhile comes when the terminal can show it.
 */
#include <curses.h>
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <term.h>
#include <unistd.h>

#include "command.h"
#include "screen.h"

/* Lines that are no rows: title, headings and message. */
#define OTHER_LINES	3
/* In milliseconds: how long a terminal may take for a key that it sends as several bytes. */
#define ESCAPE_DELAY	50

static struct {
	bool is_open;
	SCREEN *screen;
	int signals;
	sigset_t blocked;	/* before screen_open() */
	int ended_by;		/* a signal, or 0 */
	int stderr;		/* the real one */
	int messages;		/* what stands for it */
	size_t first;		/* the first row that is shown */
} state;

/**
 * screen_can_be_drawn() - whether there is a terminal that can be drawn on
 *
 * Return: false if stdin or stdout is no terminal, or if its cursor cannot be moved.
 */
bool screen_can_be_drawn(void)
{
	const char *move;
	int error;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) ||
	    setupterm(NULL, STDOUT_FILENO, &error) != OK)
		return false;
	move = tigetstr("cup");
	return move && move != (char *)-1;
}

/* What came to stderr, once nothing hides it any more. */
static void show_messages(void)
{
	char text[1024];
	ssize_t length;

	dup2(state.stderr, STDERR_FILENO);
	lseek(state.messages, 0, SEEK_SET);
	while ((length = read(state.messages, text, sizeof(text))) > 0)
		if (write(STDERR_FILENO, text, length) < 0)
			break;
	close(state.stderr);
	close(state.messages);
}

static void restore(void)
{
	if (!state.is_open)
		return;
	state.is_open = false;
	endwin();
	show_messages();
}

static void keep_messages(void)
{
	state.stderr = dup(STDERR_FILENO);
	state.messages = memfd_create("messages", MFD_CLOEXEC);
	if (state.stderr < 0 || state.messages < 0 || dup2(state.messages, 2) < 0)
		err(EXIT_FAILED, NULL);
}

static void catch_signals(void)
{
	static const int ending[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
	sigset_t signals;
	size_t i;

	sigemptyset(&signals);
	for (i = 0; i < sizeof(ending) / sizeof(*ending); i++)
		sigaddset(&signals, ending[i]);
	state.signals = signalfd(-1, &signals, SFD_CLOEXEC);
	if (state.signals < 0 || sigprocmask(SIG_BLOCK, &signals, &state.blocked))
		err(EXIT_FAILED, NULL);
}

/**
 * screen_open() - begin to draw on the terminal
 *
 * Ends the program with a message if that is not possible.
 */
void screen_open(void)
{
	catch_signals();
	state.screen = newterm(NULL, stdout, stdin);
	if (!state.screen)
		errx(EXIT_FAILED, "cannot draw on this terminal");
	state.is_open = true;
	keep_messages();
	atexit(restore);
	cbreak();
	noecho();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	set_escdelay(ESCAPE_DELAY);
	curs_set(0);
}

/**
 * screen_forget() - in a child of fork(): the terminal is its parent's
 *
 * Its end changes nothing on the terminal, and what it writes to stderr goes where that is now.
 */
void screen_forget(void)
{
	state.is_open = false;
}

/**
 * screen_rows() - how many rows of a panel there is room for
 *
 * Return: 1 at least.
 */
size_t screen_rows(void)
{
	int rows = LINES - OTHER_LINES;

	return rows > 1 ? rows : 1;
}

static void draw_line(int y, const char *text, attr_t attributes)
{
	attrset(attributes);
	mvaddnstr(y, 0, text, COLS);
	attrset(A_NORMAL);
}

/* The rows move only as far as it takes to show the selected one. */
static void scroll_to(const struct page *page)
{
	size_t rows = screen_rows();

	if (state.first + rows > page->panel->count)
		state.first = page->panel->count > rows ? page->panel->count - rows : 0;
	if (page->selected < state.first)
		state.first = page->selected;
	if (page->selected >= state.first + rows)
		state.first = page->selected - rows + 1;
}

static void draw_rows(const struct page *page)
{
	char line[LINE_MAX_LEN];
	size_t i;

	scroll_to(page);
	panel_headings(page->panel, line);
	draw_line(1, line, A_BOLD);
	for (i = 0; i < screen_rows() && state.first + i < page->panel->count; i++) {
		size_t row = state.first + i;

		panel_row(page->panel, &page->panel->rows[row], COLS, line);
		draw_line(2 + i, line, row == page->selected ? A_REVERSE : A_NORMAL);
	}
}

/**
 * screen_draw() - draw a page
 * @page: what is on it
 */
void screen_draw(const struct page *page)
{
	erase();
	draw_rows(page);
	draw_line(0, page->title, A_NORMAL);
	draw_line(LINES - 1, page->message, A_NORMAL);
	refresh();
}

/**
 * screen_draw_text() - draw some lines
 * @text: the lines
 */
void screen_draw_text(const char *text)
{
	int y;

	erase();
	for (y = 0; *text && y < LINES; y++) {
		size_t length = strcspn(text, "\n");

		mvaddnstr(y, 0, text, (int)length < COLS ? (int)length : COLS);
		text += length + (text[length] == '\n');
	}
	refresh();
}

/* Returns whether a signal is to end the program. */
static bool read_signal(void)
{
	struct signalfd_siginfo signal;

	if (read(state.signals, &signal, sizeof(signal)) != sizeof(signal))
		return false;
	state.ended_by = signal.ssi_signo;
	return true;
}

/**
 * screen_wait() - wait for a key
 * @seconds: how long at most
 * @fd: a descriptor that may become ready meanwhile, or -1
 *
 * Return: the key, as ncurses has it; SCREEN_TIME if the time is up; SCREEN_READY if the
 * descriptor can be read; SCREEN_END if a signal has come that ends the program, or the
 * terminal has gone.
 */
int screen_wait(double seconds, int fd)
{
	struct pollfd fds[] = {
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = state.signals, .events = POLLIN },
		{ .fd = fd, .events = POLLIN },
	};
	/* ncurses may have read it already; and the size of the terminal comes as one. */
	int key = getch();

	if (key != ERR)
		return key;
	if (poll(fds, 3, seconds > 0 ? (int)(seconds * 1000) + 1 : 0) < 0)
		return errno == EINTR ? getch() : SCREEN_END;
	if (fds[1].revents && read_signal())
		return SCREEN_END;
	if (!fds[0].revents)
		return fds[2].revents ? SCREEN_READY : SCREEN_TIME;
	key = getch();
	/* At the end of input there is always something to read, and nothing comes. */
	return key == ERR && !(fds[0].revents & POLLIN && isatty(STDIN_FILENO)) ? SCREEN_END : key;
}

/**
 * screen_close() - give the terminal back
 *
 * If a signal has come that ends the program, it does so now.
 *
 * Return: the exit status.
 */
int screen_close(void)
{
	restore();
	delscreen(state.screen);
	close(state.signals);
	if (state.ended_by) {
		signal(state.ended_by, SIG_DFL);
		raise(state.ended_by);
	}
	sigprocmask(SIG_SETMASK, &state.blocked, NULL);
	return 0;
}
