/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A heap's descriptor, and ioctl() on it. */
#ifndef _PYML_FD_H
#define _PYML_FD_H

#include "types.h"

#define PYML_DEVICE	"/dev/pymalloc"
/*
 * Descriptors below this number are left to the program, if the process may have more.  It
 * is just below 1024, the usual limit, so that most processes may have it, and few programs
 * open as many files.
 */
#define PYML_LOWEST_FD	1000

#pragma GCC visibility push(hidden)

int pyml_fd_open_device(void);
int pyml_fd_move_up(int fd, int lowest);
void pyml_fd_hide(struct pymalloc_heap *heap);
void pyml_fd_renew(struct pymalloc_heap *heap);
int pyml_ioctl(struct pymalloc_heap *heap, unsigned long command, void *args);

#pragma GCC visibility pop

#endif /* _PYML_FD_H */
