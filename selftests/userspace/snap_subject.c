// SPDX-License-Identifier: GPL-2.0
/*
 * Functions to be named by `pymalloc report`: report.sh calls them and has their addresses
 * in a snapshot.  Their lines are numbered as if they were a file of their own.
 */
#include <stdint.h>

/* An address in the instruction that has called this. */
static __attribute__((noinline)) uintptr_t caller(void)
{
	return (uintptr_t)__builtin_return_address(0) - 1;
}

static uintptr_t sum;

#line 100 "subject.c"
static inline __attribute__((always_inline)) uintptr_t inner(void)
{
	uintptr_t address = caller();

	sum += address;
	return address;
}

uintptr_t subject_outer(void);

uintptr_t subject_outer(void)
{
	return inner();
}

uintptr_t _PyEval_EvalFrameDefault(void);

uintptr_t _PyEval_EvalFrameDefault(void)
{
	uintptr_t address = caller();

	sum += address;
	return address;
}
