/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef _PYMALLOC_TERMINAL_H
#define _PYMALLOC_TERMINAL_H

#include <stdbool.h>

/* How wide it is: as COLUMNS says, else as the terminal says, else 80. */
int terminal_columns(void);

/* No colours in a file, with NO_COLOR, and where TERM is dumb or not set. */
bool terminal_has_colours(void);

#endif /* _PYMALLOC_TERMINAL_H */
