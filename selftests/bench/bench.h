/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the workloads share. Each program is the same workloads with another
 * subject, an allocator, compiled in by -include subject/NAME.h, so that a
 * call to it is as it would be in any program. A subject is
 *
 *	struct subject { ... };			a heap
 *	SUBJECT_THREADS, SUBJECT_HEAPS		how many of them there can be
 *	struct subject subject_create(void);	a new one, or the only one
 *	void *subject_alloc(struct subject subject, size_t size);
 *	void subject_free(struct subject subject, void *block);
 */
#ifndef SELFTESTS_BENCH_H
#define SELFTESTS_BENCH_H

#include <stddef.h>
#include <linux/types.h>

#define BLOCK_MIN	8
#define BLOCK_MAX	512

/* Live blocks in an arena's worth of memory, at the sizes of random_size(). */
#define ARENA_BLOCKS	1000

/**
 * struct workload - something that programs do with an allocator
 * @name: what it is called in the figures
 * @run: does it, and reports
 * @live: what is live at a time: blocks of each thread, or children of fork()
 * @threads: how many threads
 * @heaps: of how many heaps
 */
struct workload {
	const char *name;
	void (*run)(const struct workload *workload);
	size_t live;
	unsigned int threads;
	unsigned int heaps;
};

/* All that a program can do; the last one has no name. */
extern const struct workload workloads[];

/* Those of workloads.c, a file each. */
void calibrate(const struct workload *workload);
void pair(const struct workload *workload);
void lifo(const struct workload *workload);
void replace(const struct workload *workload);
void queue(const struct workload *workload);
void touch(const struct workload *workload);
void threads(const struct workload *workload);

/* main.c: a count of operations, less of them if all is only being tried */
size_t scaled(size_t count);
/* The figure of a workload: @value in the unit that the program was told. */
void report_time(const struct workload *workload, double value);
void report(const struct workload *workload, const char *metric, double value);
/* Memory that the subject knows nothing of, present from the start. */
void *table(size_t count, size_t size);
__u64 nanoseconds(void);

/* check.c: of the heaps that this process has come to have */
unsigned int check_heaps(void);
size_t metadata_bytes(void);
/* Pages of all heaps of this user; one that several heaps share counts once. */
size_t heap_bytes(void);
/* A heap whose process has ended is taken down behind the next one's back. */
void wait_for_ends(void);

/* Any program writes to what it allocates. */
static inline void use(void *block)
{
	*(volatile __u64 *)block = 1;
}

/* George Marsaglia's xorshift, never in a loop that is measured. */
static inline __u32 random_below(__u64 *state, __u32 bound)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (*state >> 32) * bound >> 32;
}

static inline __u32 random_size(__u64 *state)
{
	return BLOCK_MIN + random_below(state, BLOCK_MAX - BLOCK_MIN + 1);
}

#endif /* SELFTESTS_BENCH_H */
