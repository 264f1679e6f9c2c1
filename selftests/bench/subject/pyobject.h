/* SPDX-License-Identifier: GPL-2.0 */
/* CPython's pymalloc. Its callers must hold the GIL: so one thread only. */
#include <stddef.h>

#define SUBJECT_THREADS	1
#define SUBJECT_HEAPS	1

/* As in Python.h, which would need another package to build this. */
void *PyObject_Malloc(size_t size);
void PyObject_Free(void *block);

struct subject { };

static inline struct subject subject_create(void)
{
	return (struct subject){ };
}

static inline void *subject_alloc(struct subject subject, size_t size)
{
	(void)subject;
	return PyObject_Malloc(size);
}

static inline void subject_free(struct subject subject, void *block)
{
	(void)subject;
	PyObject_Free(block);
}

/* CPython offers nothing for that: an arena without a block goes at once. */
static inline void subject_purge(struct subject subject)
{
	(void)subject;
}
