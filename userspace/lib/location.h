/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The lines of a Python function, as CPython 3.11 to 3.13 keep them. */
#ifndef _PYML_LOCATION_H
#define _PYML_LOCATION_H

#include <linux/types.h>
#include <stddef.h>

#pragma GCC visibility push(hidden)

__u32 pyml_location_line(const unsigned char *table, size_t bytes, __u32 first_line,
			 size_t unit);

#pragma GCC visibility pop

#endif /* _PYML_LOCATION_H */
