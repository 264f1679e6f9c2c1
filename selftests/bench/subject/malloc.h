/* SPDX-License-Identifier: GPL-2.0 */
/* malloc() of glibc, or of the library that is preloaded. */
#include <stdlib.h>

#define SUBJECT_THREADS	2
#define SUBJECT_HEAPS	1

struct subject { };

static inline struct subject subject_create(void)
{
	return (struct subject){ };
}

static inline void *subject_alloc(struct subject subject, size_t size)
{
	(void)subject;
	return malloc(size);
}

static inline void subject_free(struct subject subject, void *block)
{
	(void)subject;
	free(block);
}
