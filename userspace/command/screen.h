/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A terminal that is drawn on, by ncurses. */
#ifndef _PYMALLOC_SCREEN_H
#define _PYMALLOC_SCREEN_H

#include <stdbool.h>
#include <stddef.h>

#include "panel.h"

/**
 * struct page - what is to be drawn
 * @title: the first line
 * @panel: the rows, or NULL
 * @selected: which row the user has selected
 * @message: the last line
 */
struct page {
	const char *title;
	const struct panel *panel;
	size_t selected;
	const char *message;
};

/* What screen_wait() returns instead of a key. */
#define SCREEN_TIME	(-1)
#define SCREEN_END	(-2)
#define SCREEN_READY	(-3)

bool screen_can_be_drawn(void);
void screen_open(void);
void screen_forget(void);
void screen_draw(const struct page *page);
void screen_draw_text(const char *text);
size_t screen_rows(void);
int screen_wait(double seconds, int fd);
int screen_close(void);

#endif /* _PYMALLOC_SCREEN_H */
