/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Figures and names as text. */
#ifndef _PYMALLOC_TEXT_H
#define _PYMALLOC_TEXT_H

#include <linux/types.h>

/* Room for a number of 64 bits with a prefix or a unit. */
#define SIZE_LEN	24

const char *format_bytes(char *text, __u64 bytes);
__u64 fragmentation(__u64 held, __u64 used);
char *valid_utf8(const char *text);

#endif /* _PYMALLOC_TEXT_H */
