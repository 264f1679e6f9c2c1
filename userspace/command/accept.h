/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a client of HTTP accepts. */
#ifndef _PYMALLOC_ACCEPT_H
#define _PYMALLOC_ACCEPT_H

#include <stdbool.h>

bool accepts_plain(const char *accept);

#endif /* _PYMALLOC_ACCEPT_H */
