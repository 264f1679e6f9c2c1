/* SPDX-License-Identifier: GPL-2.0 */
/* What the workloads around fork() share. */
#ifndef SELFTESTS_BENCH_FORK_H
#define SELFTESTS_BENCH_FORK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "bench.h"

#define PAGE	4096UL

/**
 * struct memory - what a process has when it forks
 * @heap: whose objects these are
 * @objects: all of them, by address; a child does not have this table
 * @count: how many
 * @pages: an object of each page, by address
 * @nr_pages: how many
 */
struct memory {
	struct subject heap;
	char **objects;
	size_t count;
	char **pages;
	size_t nr_pages;
};

/* memory.c */
void memory_fill(struct memory *memory, size_t bytes);
void memory_shuffle(struct memory *memory);
/* Writes to @count pages from page @first on; behind the last comes the first. */
void memory_write(const struct memory *memory, size_t first, size_t count);

/**
 * struct family - children that live until all of them end
 * @count: how many
 * @go: a byte in it has one child do its work
 * @done: what they say, a double each time: 0 to begin with, then its result
 * @end: they end when it does
 */
struct family {
	unsigned int count;
	int go[2];
	int done[2];
	int end[2];
};

/* A child's work: @number tells it from the others. */
typedef double child_fn(const struct memory *memory, unsigned int number);

/* family.c */
pid_t checked_fork(void);
void wait_for_child(void);
void family_begin(struct family *family);
/* Adds a child, and returns the nanoseconds that fork() took. */
double family_add(struct family *family, const struct memory *memory, child_fn *work);
/* Has one child work, while all else sleeps, and returns what it found. */
double family_work(struct family *family);
void family_end(struct family *family);

/* time.c */
void schedule_first(void);
void settle(void);
double busy(void);

/* written.c */
void written(const struct workload *workload);

#endif /* SELFTESTS_BENCH_FORK_H */
