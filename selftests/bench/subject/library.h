/* SPDX-License-Identifier: GPL-2.0 */
/* libpymalloc by its functions in the shared library. */
#include <err.h>
#include <pymalloc.h>

#define SUBJECT_THREADS	8
#define SUBJECT_HEAPS	2

struct subject {
	struct pymalloc_heap *heap;
};

static inline struct subject subject_create(void)
{
	struct subject subject = { pymalloc_heap_create(NULL) };

	if (!subject.heap)
		err(1, "pymalloc_heap_create");
	return subject;
}

static inline void *subject_alloc(struct subject subject, size_t size)
{
	return pymalloc_malloc(subject.heap, size);
}

static inline void subject_free(struct subject subject, void *block)
{
	pymalloc_free(subject.heap, block);
}

static inline void subject_purge(struct subject subject)
{
	if (pymalloc_heap_compact(subject.heap, 0, NULL))
		err(1, "pymalloc_heap_compact");
}
