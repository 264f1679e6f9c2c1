/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Since when pools have had their class. */
#ifndef _SHIM_PAST_H
#define _SHIM_PAST_H

#include "guard.h"

#pragma GCC visibility push(hidden)

void past_start(void);
bool past_holds(const struct place *place, __u64 serial);

#pragma GCC visibility pop

#endif /* _SHIM_PAST_H */
