/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Makes the shim's heap. */
#ifndef _SHIM_START_H
#define _SHIM_START_H

#include <stdbool.h>

#pragma GCC visibility push(hidden)

bool shim_start(void);

#pragma GCC visibility pop

#endif /* _SHIM_START_H */
