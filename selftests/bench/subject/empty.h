/* SPDX-License-Identifier: GPL-2.0 */
/*
 * No allocator: this measures what a workload takes by itself, which is subtracted
 * from the figures of all other subjects.
 */
#include <stddef.h>
#include <linux/types.h>

#define SUBJECT_THREADS	2
#define SUBJECT_HEAPS	2

/* @block: every allocation gets this one block */
struct subject {
	__u64 *block;
};

static inline struct subject subject_create(void)
{
	static __u64 block[64];

	return (struct subject){ block };
}

/* The asm statements keep the compiler from removing unused blocks and sizes. */
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
