/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tracing from the start of the program on. */
#ifndef _SHIM_TRACING_H
#define _SHIM_TRACING_H

#pragma GCC visibility push(hidden)

void shim_tracing_start(void);

#pragma GCC visibility pop

#endif /* _SHIM_TRACING_H */
