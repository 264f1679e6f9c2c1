/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the workloads share. A subject is an allocator that is measured. Each
 * program is compiled from the same workloads and one subject (-include
 * subject/NAME.h), so that calls of the allocator are compiled as in any program.
 * A subject defines
 *
 *	struct subject { ... };			a heap
 *	SUBJECT_THREADS, SUBJECT_HEAPS		how many of them there can be
 *	struct subject subject_create(void);	a new one, or the only one
 *	void *subject_alloc(struct subject subject, size_t size);
 *	void subject_free(struct subject subject, void *block);
 *
 * and, if return/ measures it,
 *
 *	void subject_purge(struct subject subject);	gives back all that it can
 */
#ifndef SELFTESTS_BENCH_H
#define SELFTESTS_BENCH_H

#include <stddef.h>
#include <linux/types.h>

#define BLOCK_MIN	8
#define BLOCK_MAX	512

/* So many blocks of random_size() fill about one arena: 256 KiB / 260 bytes. */
#define ARENA_BLOCKS	1000

/**
 * struct workload - something that programs do with an allocator
 * @name: what it is called in the figures
 * @run: does it, and reports
 * @live: how many are live at a time: blocks of each thread, or children of fork()
 * @threads: how many threads
 * @heaps: how many heaps they use
 */
struct workload {
	const char *name;
	void (*run)(const struct workload *workload);
	size_t live;
	unsigned int threads;
	unsigned int heaps;
};

/* All workloads of a program; the last one has no name. */
extern const struct workload workloads[];

/* The workloads of workloads.c; each has a file of its own. */
void calibrate(const struct workload *workload);
void pair(const struct workload *workload);
void lifo(const struct workload *workload);
void replace(const struct workload *workload);
void queue(const struct workload *workload);
void touch(const struct workload *workload);
void threads(const struct workload *workload);

/* main.c */
/* The number of operations to do: @count, or less with --quick. */
size_t scaled(size_t count);
/* Reports a workload's figure, in the unit from the program's arguments. */
void report_time(const struct workload *workload, double value);
void report(const struct workload *workload, const char *metric, double value);
/* Zeroed memory that does not come from the subject, and has all of its pages. */
void *table(size_t count, size_t size);
__u64 nanoseconds(void);

/* check.c */
/* Runs the checker on all heaps of this process, and returns how many there are. */
unsigned int check_heaps(void);
/* Metadata of all heaps of this process. */
size_t metadata_bytes(void);
/* The pages of all heaps of this user. A page that several heaps share counts once. */
size_t heap_bytes(void);
/*
 * Waits until the heaps of processes that have ended are gone: the kernel releases
 * them later, which would be measured together with this process.
 */
void wait_for_ends(void);

/* Writes to a block, as any program does to what it allocates. */
static inline void use(void *block)
{
	*(volatile __u64 *)block = 1;
}

/* George Marsaglia's xorshift. It is not called in loops that are measured. */
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
