/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A thread's stack in a heap. */
#ifndef _PYML_STACK_H
#define _PYML_STACK_H

#include <pymalloc-stack.h>

#pragma GCC visibility push(hidden)

struct pymalloc_stack *pyml_stack_begin(struct pymalloc_stack *stack, struct pymalloc_heap *heap);
void pyml_stack_close(struct pymalloc_stack *stack);
void pyml_stack_end(struct pymalloc_stack *stack);

#pragma GCC visibility pop

#endif /* _PYML_STACK_H */
