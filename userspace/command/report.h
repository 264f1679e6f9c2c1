/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The blocks of a snapshot, as a table or as JSON. */
#ifndef _PYMALLOC_REPORT_H
#define _PYMALLOC_REPORT_H

#include "view.h"

void print_report(const struct view *view);

#endif /* _PYMALLOC_REPORT_H */
