// SPDX-License-Identifier: GPL-2.0
/* How much memory it takes when a child writes to one page in a hundred. */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fork.h"

#define MEMORY		(20UL << 20)
#define WRITTEN		100

/* Finds the line of a file in /proc that begins with @name; converts KiB to bytes. */
static double find_bytes(pid_t pid, const char *file, const char *name)
{
	char path[64], line[256];
	double value = 0;
	FILE *lines;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	lines = fopen(path, "r");
	if (!lines)
		err(1, "%s", path);
	while (fgets(line, sizeof(line), lines))
		if (!strncmp(line, name, strlen(name)))
			value = strtod(line + strlen(name), NULL) * 1024;
	fclose(lines);
	return value;
}

/*
 * The memory of parent and child; pages that they share count once. The pages of
 * our heaps count whether they are mapped or not.
 */
static double pages(void)
{
	return find_bytes(getpid(), "smaps_rollup", "Pss_Anon:") +
	       find_bytes(getppid(), "smaps_rollup", "Pss_Anon:") + heap_bytes();
}

static void write_some(const struct workload *workload, const struct memory *memory)
{
	size_t count = (memory->nr_pages + WRITTEN - 1) / WRITTEN;
	double before;

	/* The first measurement allocates memory for itself, the second one does not. */
	pages();
	before = pages();
	memory_write(memory, 0, count);
	report(workload, "pages", pages() - before);
	report(workload, "metadata", metadata_bytes());
	report(workload, "tables", find_bytes(getpid(), "status", "VmPTE:"));
	fflush(stdout);
	_exit(0);
}

void written(const struct workload *workload)
{
	struct memory memory;

	memory_fill(&memory, scaled(MEMORY));
	memory_shuffle(&memory);
	report(workload, "memory", memory.nr_pages * PAGE);
	fflush(stdout);
	if (!checked_fork())
		write_some(workload, &memory);
	wait_for_child();
}
