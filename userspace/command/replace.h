/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files that are replaced as a whole. */
#ifndef _PYMALLOC_REPLACE_H
#define _PYMALLOC_REPLACE_H

#include <stddef.h>
#include <sys/types.h>

void replace_file(const char *path, const char *text, size_t length, mode_t mode);
void put_output(const char *path, const char *text, size_t length, mode_t mode);

#endif /* _PYMALLOC_REPLACE_H */
