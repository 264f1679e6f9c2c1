/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pictures by gnuplot. */
#ifndef _PYMALLOC_GNUPLOT_H
#define _PYMALLOC_GNUPLOT_H

#include <stddef.h>
#include <stdio.h>

void gnuplot_string(FILE *script, const char *text);
char *gnuplot_draw(const char *script, size_t length, size_t *drawn);

#endif /* _PYMALLOC_GNUPLOT_H */
