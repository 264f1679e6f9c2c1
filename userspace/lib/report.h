/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the library writes to stderr, and what happens on a bad free or a bad release. */
#ifndef _PYML_REPORT_H
#define _PYML_REPORT_H

#include <pymalloc-stack.h>

#include "types.h"

#pragma GCC visibility push(hidden)

void pyml_say(const char *format, ...);
const char *pyml_describe_bad(unsigned int status);
void pyml_bad_free(struct pymalloc_heap *heap, void *object,
		   unsigned int status);
unsigned int pyml_nr_bad_frees(void);
void pyml_bad_release(struct pymalloc_stack *stack, const struct pymalloc_stack_mark *mark);

#pragma GCC visibility pop

#endif /* _PYML_REPORT_H */
