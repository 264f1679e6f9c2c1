// SPDX-License-Identifier: GPL-2.0
/* The memory of a process that forks: small objects, and the pages they lie in. */
#include <err.h>
#include <string.h>
#include <sys/mman.h>

#include "fork.h"

#define SIZE_MIN	64
#define SIZE_MAX	512

/* Allocates objects of random sizes, @bytes in all, and writes to each. */
static void allocate(struct memory *memory, size_t bytes)
{
	__u64 state = 1;

	while (bytes > SIZE_MAX) {
		size_t size = SIZE_MIN + random_below(&state, SIZE_MAX - SIZE_MIN + 1);
		char *object = subject_alloc(memory->heap, size);

		if (!object)
			err(1, "no memory");
		memory->objects[memory->count++] = memset(object, 1, size);
		bytes -= size;
	}
}

static void swap(char **a, char **b)
{
	char *old = *a;

	*a = *b;
	*b = old;
}

/* Sorts by address. qsort() would allocate memory from the allocator measured. */
static void sort(char **objects, size_t count)
{
	size_t gap, i, j;

	for (gap = count / 2; gap; gap /= 2)
		for (i = gap; i < count; i++)
			for (j = i; j >= gap && objects[j - gap] > objects[j]; j -= gap)
				swap(&objects[j - gap], &objects[j]);
}

static bool on_next_page(char *const *objects, size_t i)
{
	return !i || (size_t)objects[i] / PAGE != (size_t)objects[i - 1] / PAGE;
}

static void find_pages(struct memory *memory)
{
	size_t count = 0;
	size_t i;

	for (i = 0; i < memory->count; i++)
		count += on_next_page(memory->objects, i);
	memory->pages = table(count, sizeof(*memory->pages));
	for (i = 0; i < memory->count; i++)
		if (on_next_page(memory->objects, i))
			memory->pages[memory->nr_pages++] = memory->objects[i];
}

/*
 * MADV_DONTFORK: children do not get the table of objects, as copying its page
 * tables would count as a part of fork().
 */
void memory_fill(struct memory *memory, size_t bytes)
{
	size_t most = bytes / SIZE_MIN;

	*memory = (struct memory){ .heap = subject_create() };
	memory->objects = table(most, sizeof(*memory->objects));
	if (madvise(memory->objects, most * sizeof(*memory->objects), MADV_DONTFORK) < 0)
		err(1, "madvise");
	allocate(memory, bytes);
	sort(memory->objects, memory->count);
	find_pages(memory);
}

void memory_shuffle(struct memory *memory)
{
	__u64 state = 2;
	size_t i;

	for (i = memory->nr_pages; i > 1; i--)
		swap(&memory->pages[i - 1], &memory->pages[random_below(&state, i)]);
}

void memory_write(const struct memory *memory, size_t first, size_t count)
{
	size_t i;

	for (i = first; i < first + count; i++)
		use(memory->pages[i % memory->nr_pages]);
}
