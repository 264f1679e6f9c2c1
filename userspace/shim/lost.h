/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A heap that has lost its descriptor. */
#ifndef _SHIM_LOST_H
#define _SHIM_LOST_H

#pragma GCC visibility push(hidden)

void shim_lost_start(void);
void shim_say_lost(void);

#pragma GCC visibility pop

#endif /* _SHIM_LOST_H */
