/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A child of fork() without a heap. */
#ifndef _SHIM_FORK_H
#define _SHIM_FORK_H

#pragma GCC visibility push(hidden)

void shim_watch_fork(void);

#pragma GCC visibility pop

#endif /* _SHIM_FORK_H */
