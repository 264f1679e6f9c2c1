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
 * @heap: the heap that the objects come from
 * @objects: all objects, sorted by address; children do not have this table
 * @count: how many objects
 * @pages: one object in each page, sorted by address
 * @nr_pages: how many pages
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
/* Writes to @count pages from page @first on; after the last page, from page 0 on. */
void memory_write(const struct memory *memory, size_t first, size_t count);

/**
 * struct family - children that live until all of them end
 * @count: how many children
 * @go: pipe to the children: for each byte, one of them does its work
 * @done: pipe from the children: each writes a double 0 when it is ready, and one
 *	with the result of its work
 * @end: pipe to the children, which end when the parent closes it
 */
struct family {
	unsigned int count;
	int go[2];
	int done[2];
	int end[2];
};

/* The work of a child. @number is 0 for the first child, then 1, and so on. */
typedef double child_fn(const struct memory *memory, unsigned int number);

/* family.c */
pid_t checked_fork(void);
void wait_for_child(void);
void family_begin(struct family *family);
/* Makes one more child, and returns how many nanoseconds fork() took. */
double family_add(struct family *family, const struct memory *memory, child_fn *work);
/* Has one child do its work while the others sleep, and returns its result. */
double family_work(struct family *family);
void family_end(struct family *family);

/* time.c */
void schedule_first(void);
void settle(void);
double busy(void);

/* written.c */
void written(const struct workload *workload);

#endif /* SELFTESTS_BENCH_FORK_H */
