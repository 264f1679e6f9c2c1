/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Freed blocks that are kept for a while. */
#ifndef _SHIM_QUARANTINE_H
#define _SHIM_QUARANTINE_H

#include "guard.h"

#pragma GCC visibility push(hidden)

void quarantine_add(struct guarded *block);

#pragma GCC visibility pop

#endif /* _SHIM_QUARANTINE_H */
