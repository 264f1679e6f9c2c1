/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the terminal at stdout can show. */
#ifndef _PYMALLOC_TERMINAL_H
#define _PYMALLOC_TERMINAL_H

#include <stdbool.h>

int terminal_columns(void);
bool terminal_has_colours(void);

#endif /* _PYMALLOC_TERMINAL_H */
