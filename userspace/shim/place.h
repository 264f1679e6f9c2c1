/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which block an address lies in. */
#ifndef _SHIM_PLACE_H
#define _SHIM_PLACE_H

#include "guard.h"

#pragma GCC visibility push(hidden)

bool place_find(const void *object, struct place *place);

#pragma GCC visibility pop

#endif /* _SHIM_PLACE_H */
