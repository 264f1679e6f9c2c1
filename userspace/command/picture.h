/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pictures of arenas and pools, with the letters of the file pools in debugfs. */
#ifndef _PYMALLOC_PICTURE_H
#define _PYMALLOC_PICTURE_H

#include <linux/pymalloc.h>

/* Characters of a bar: enough for an eighth of a pool, and its line fits into 80 columns. */
#define BAR_LEN		32

char pool_letter(const struct pymalloc_pool_info *pool);
const char *pool_bar(char *bar, const struct pymalloc_pool_info *pool);
void print_arena(__u64 offset, int width, const char *letters);
void print_legend(void);

#endif /* _PYMALLOC_PICTURE_H */
