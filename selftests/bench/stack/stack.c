// SPDX-License-Identifier: GPL-2.0
/*
 * stack UNIT [--quick]: what objects that go with a function's frame cost: on a stack of
 * libpymalloc, on an obstack of the C library, and by malloc() and free(). The clock counts
 * UNITs. Prints each figure as a line "workload,subject,metric,value"; ../report-stack explains
 * them.
 */
#include <err.h>
#include <math.h>
#include <obstack.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <pymalloc-stack.h>

#define obstack_chunk_alloc	malloc
#define obstack_chunk_free	free

#define ROUNDS	100000
#define QUICK	100
#define PIECES	50
/* Objects between a mark and its release. */
#define OBJECTS	16
#define LARGE	(100 * 1024)

static const size_t sizes[OBJECTS] = {
	24, 48, 16, 200, 64, 32, 100, 8, 48, 500, 72, 24, 40, 16, 128, 56
};

static struct pymalloc_stack *stack;
static struct obstack obstack;

/* Keeps the compiler from knowing what an object is. */
static void use(void *object)
{
	__asm__ volatile("" : : "r" (object) : "memory");
}

/* A round that the compiler makes for any number of objects, not for the one that it gets. */
#define ROUND	static __attribute__((noipa)) void

/* The cost of the loops alone. */
ROUND nothing(size_t count)
{
	for (size_t i = 0; i < count; i++)
		use((void *)sizes[i]);
}

ROUND on_stack(size_t count)
{
	struct pymalloc_stack *mine = stack;
	struct pymalloc_stack_mark mark = pymalloc_stack_mark(mine);

	for (size_t i = 0; i < count; i++)
		use(pymalloc_stack_alloc(mine, sizes[i]));
	pymalloc_stack_release(mine, &mark);
}

ROUND on_obstack(size_t count)
{
	void *mark = obstack_alloc(&obstack, 0);

	for (size_t i = 0; i < count; i++)
		use(obstack_alloc(&obstack, sizes[i]));
	obstack_free(&obstack, mark);
}

ROUND by_malloc(size_t count)
{
	void *objects[OBJECTS];

	for (size_t i = 0; i < count; i++) {
		objects[i] = malloc(sizes[i]);
		use(objects[i]);
	}
	for (size_t i = 0; i < count; i++)
		free(objects[i]);
}

ROUND large_on_stack(size_t count)
{
	struct pymalloc_stack_mark mark = pymalloc_stack_mark(stack);

	(void)count;
	use(pymalloc_stack_alloc(stack, LARGE));
	pymalloc_stack_release(stack, &mark);
}

ROUND large_on_obstack(size_t count)
{
	void *mark = obstack_alloc(&obstack, 0);

	(void)count;
	use(obstack_alloc(&obstack, LARGE));
	obstack_free(&obstack, mark);
}

ROUND large_by_malloc(size_t count)
{
	void *object = malloc(LARGE);

	(void)count;
	use(object);
	free(object);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

/*
 * What a round of @count objects costs: the least of some pieces, as the others have interrupts
 * in them.
 */
static double cost(void (*round)(size_t count), size_t count, size_t rounds)
{
	double least = INFINITY;

	for (size_t piece = 0; piece < PIECES; piece++) {
		double start = now();

		for (size_t i = 0; i < rounds / PIECES; i++)
			round(count);
		least = fmin(least, now() - start);
	}
	return least / (rounds / PIECES);
}

static const struct subject {
	const char *name;
	void (*small)(size_t count);
	void (*large)(size_t count);
} subjects[] = {
	{ "library", on_stack, large_on_stack },
	{ "obstack", on_obstack, large_on_obstack },
	{ "malloc", by_malloc, large_by_malloc },
};

/* What one more object costs: half of them less, and what comes once has gone. */
static double cost_of_one(void (*round)(size_t count), size_t rounds)
{
	return (cost(round, OBJECTS, rounds) - cost(round, OBJECTS / 2, rounds)) / (OBJECTS / 2);
}

static void print_cost(const char *workload, const struct subject *subject, const char *unit,
		       double value)
{
	printf("%s,%s,%s,%.4f\n", workload, subject->name, unit, value);
}

int main(int argc, char **argv)
{
	size_t rounds = ROUNDS;
	struct pymalloc_heap *heap;
	double empty;

	if (argc < 2)
		errx(2, "usage: %s UNIT [--quick]", argv[0]);
	if (argc > 2)
		rounds /= QUICK;
	heap = pymalloc_heap_create(NULL);
	stack = heap ? pymalloc_stack_get(heap) : NULL;
	if (!stack)
		err(1, "a stack");
	obstack_init(&obstack);
	empty = cost(nothing, 0, rounds);
	for (size_t i = 0; i < sizeof(subjects) / sizeof(*subjects); i++) {
		const struct subject *subject = &subjects[i];

		print_cost("frame", subject, argv[1], cost(subject->small, 0, rounds) - empty);
		print_cost("object", subject, argv[1],
			   cost_of_one(subject->small, rounds) - cost_of_one(nothing, rounds));
		print_cost("large", subject, argv[1], cost(subject->large, 1, rounds) - empty);
	}
	return 0;
}
