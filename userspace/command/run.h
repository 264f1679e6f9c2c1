/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a program is started on the service. */
#ifndef _PYMALLOC_RUN_H
#define _PYMALLOC_RUN_H

#include <stdnoreturn.h>

/* The exit statuses of env(1) and nice(1); all others are the program's. */
#define EXIT_RUN_FAILED		125
#define EXIT_CANNOT_INVOKE	126
#define EXIT_NOT_FOUND		127

struct pymalloc_trace;

noreturn void run_program(char **command, const char *debug,
			  const struct pymalloc_trace *trace);

#endif /* _PYMALLOC_RUN_H */
