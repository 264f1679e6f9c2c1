/* SPDX-License-Identifier: GPL-2.0 */
/* malloc() of glibc, or of the library that is preloaded. */
#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>

#define SUBJECT_THREADS	8
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

/* What preloaded libraries offer: NULL if it is another one. */
int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size)
	__asm__("mallctl") __attribute__((weak));
void tcmalloc_flush_thread(void)
	__asm__("MallocExtension_MarkThreadIdle") __attribute__((weak));
void tcmalloc_release(void)
	__asm__("MallocExtension_ReleaseFreeMemory") __attribute__((weak));
void mi_collect(bool force) __attribute__((weak));

static inline void subject_purge(struct subject subject)
{
	(void)subject;
	if (mallctl) {
		mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
		/* MALLCTL_ARENAS_ALL */
		mallctl("arena.4096.purge", NULL, NULL, NULL, 0);
	}
	if (tcmalloc_release) {
		tcmalloc_flush_thread();
		tcmalloc_release();
	}
	if (mi_collect)
		mi_collect(true);
	/* That of glibc, or of our shim. */
	malloc_trim(0);
}
