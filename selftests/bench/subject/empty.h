/* SPDX-License-Identifier: GPL-2.0 */
/*
 * No allocator at all: what remains is the workload itself, which is taken off
 * every other subject's figures.
 */
#include <stddef.h>
#include <linux/types.h>

#define SUBJECT_THREADS	2
#define SUBJECT_HEAPS	2

/* @block: the only one there is */
struct subject {
	__u64 *block;
};

static inline struct subject subject_create(void)
{
	static __u64 block[64];

	return (struct subject){ block };
}

/* The compiler must not see that blocks and sizes do not matter. */
static inline void *subject_alloc(struct subject subject, size_t size)
{
	void *block = subject.block;

	__asm__ volatile ("" : "+r" (block) : "r" (size));
	return block;
}

static inline void subject_free(struct subject subject, void *block)
{
	(void)subject;
	__asm__ volatile ("" : : "r" (block) : "memory");
}
