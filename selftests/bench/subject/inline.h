/* SPDX-License-Identifier: GPL-2.0 */
/* libpymalloc by its inline functions. */
#include <err.h>
#include <pymalloc-inline.h>

#define SUBJECT_THREADS	2
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
	return pymalloc_inline_malloc(subject.heap, size);
}

static inline void subject_free(struct subject subject, void *block)
{
	pymalloc_inline_free(subject.heap, block);
}
