/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a pool looks. */
#ifndef _PYMALLOC_PICTURE_H
#define _PYMALLOC_PICTURE_H

#include <linux/pymalloc.h>

#define BAR_LEN		32

char pool_character(const struct pymalloc_pool_info *pool);
const char *pool_bar(char *bar, const struct pymalloc_pool_info *pool);

/* In colour on a terminal, unless NO_COLOR is set. */
void print_picture(const char *picture);
void print_legend(void);

#endif /* _PYMALLOC_PICTURE_H */
