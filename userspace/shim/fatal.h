/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the debug modes say before they abort: none of these returns. */
#ifndef _SHIM_FATAL_H
#define _SHIM_FATAL_H

#include "guard.h"

#pragma GCC visibility push(hidden)

void fatal_overwritten(const char *function, const struct place *place,
		       const __u8 *at);
void fatal_no_header(const char *function, void *object,
		     const struct place *place);
void fatal_bad(const char *function, void *object, unsigned int status);

#pragma GCC visibility pop

#endif /* _SHIM_FATAL_H */
