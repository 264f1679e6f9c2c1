/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The text of pymalloc export, for a program that must go on if that fails. */
#ifndef _PYMALLOC_SCRAPE_H
#define _PYMALLOC_SCRAPE_H

#include <stddef.h>

#include "metrics.h"

char *scrape(const struct choice *choice, double seconds, size_t *length);

#endif /* _PYMALLOC_SCRAPE_H */
