// SPDX-License-Identifier: GPL-2.0
/*
 * type UNIT [--quick]: what an object costs that CPython would keep when it is dead: as a type of
 * libpymalloc with CPython's policy, with blocks of all or of its own; constructed each time, in a
 * block of libpymalloc or of malloc(); and on a list as CPython's own. The clock counts UNITs.
 * Prints each figure as a line "workload,subject,metric,value"; ../report-type explains them.
 */
#include <err.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <pymalloc-inline.h>
#include <pymalloc-type.h>

#define ROUNDS	20000
#define QUICK	100
#define PIECES	20
#define MOST	1024

/* The head of an object of CPython, and what its garbage collector has before it. */
struct head {
	void *gc[2];
	long references;
	const void *type;
	long size;
};

struct number {
	long references;
	const void *type;
	double value;
};

struct tuple {
	struct head head;
	void *items[3];
};

struct list {
	struct head head;
	void **items;
	long room;
};

/* Eight entries, as in a small dict. */
struct keys {
	signed char indices[8];
	struct {
		long hash;
		void *key, *value;
	} entries[5];
};

struct dict {
	struct head head;
	long version;
	struct keys *keys;
	void **values;
};

static struct pymalloc_heap *heap;

static int construct_tuple(void *memory, void *arg)
{
	struct tuple *tuple = memory;

	tuple->head = (struct head){ .type = arg, .size = 3 };
	return 0;
}

static int construct_list(void *memory, void *arg)
{
	*(struct list *)memory = (struct list){ .head.type = arg };
	return 0;
}

static int fill_dict(struct dict *dict, void *arg, struct keys *keys)
{
	if (!keys)
		return -1;
	memset(keys, 0, sizeof(*keys));
	memset(keys->indices, -1, sizeof(keys->indices));
	*dict = (struct dict){ .head.type = arg, .keys = keys };
	return 0;
}

static int construct_dict(void *memory, void *arg)
{
	return fill_dict(memory, arg, pymalloc_inline_malloc(heap, sizeof(struct keys)));
}

static void destruct_dict(void *memory, void *arg)
{
	struct dict *dict = memory;

	(void)arg;
	pymalloc_inline_free(heap, dict->keys);
}

static int construct_dict_by_malloc(void *memory, void *arg)
{
	return fill_dict(memory, arg, malloc(sizeof(struct keys)));
}

static void destruct_dict_by_malloc(void *memory, void *arg)
{
	struct dict *dict = memory;

	(void)arg;
	free(dict->keys);
}

/* What a kind of objects is like; by malloc(), a dict's keys are, too. */
struct kind {
	const char *workload;
	size_t size;
	unsigned int keep;
	size_t objects;
	int (*construct)(void *memory, void *arg);
	void (*destruct)(void *memory, void *arg);
	int (*construct_by_malloc)(void *memory, void *arg);
	void (*destruct_by_malloc)(void *memory, void *arg);
};

/* The policies of CPython 3.11. */
static const struct kind kinds[] = {
	{ "float", sizeof(struct number), 100, 64, NULL, NULL, NULL, NULL },
	{ "tuple", sizeof(struct tuple), 2000, 64, construct_tuple, NULL, construct_tuple, NULL },
	{ "list", sizeof(struct list), 80, 64, construct_list, NULL, construct_list, NULL },
	{ "dict", sizeof(struct dict), 80, 64, construct_dict, destruct_dict,
	  construct_dict_by_malloc, destruct_dict_by_malloc },
	{ "dicts", sizeof(struct dict), 80, MOST, construct_dict, destruct_dict,
	  construct_dict_by_malloc, destruct_dict_by_malloc },
};

static struct kind kind;
static struct pymalloc_type *type;
static void *objects[MOST];
/* CPython's own: dead objects, each with the address of the next one in its first word. */
static void *dead;
static unsigned int nr_dead;

static void use(void *object)
{
	__asm__ volatile("" : : "r" (object) : "memory");
}

#define ROUND	static __attribute__((noipa)) void

/* The cost of the loops alone. */
ROUND nothing(size_t count)
{
	for (size_t i = 0; i < count; i++)
		use(objects[i]);
	for (size_t i = 0; i < count; i++)
		use(objects[i]);
}

ROUND of_type(size_t count)
{
	for (size_t i = 0; i < count; i++)
		objects[i] = pymalloc_type_alloc(type);
	for (size_t i = 0; i < count; i++)
		pymalloc_type_free(type, objects[i]);
}

ROUND by_library(size_t count)
{
	for (size_t i = 0; i < count; i++) {
		objects[i] = pymalloc_inline_malloc(heap, kind.size);
		if (kind.construct)
			kind.construct(objects[i], heap);
	}
	for (size_t i = 0; i < count; i++) {
		if (kind.destruct)
			kind.destruct(objects[i], heap);
		pymalloc_inline_free(heap, objects[i]);
	}
}

ROUND by_malloc(size_t count)
{
	for (size_t i = 0; i < count; i++) {
		objects[i] = malloc(kind.size);
		if (kind.construct_by_malloc)
			kind.construct_by_malloc(objects[i], heap);
	}
	for (size_t i = 0; i < count; i++) {
		if (kind.destruct_by_malloc)
			kind.destruct_by_malloc(objects[i], heap);
		free(objects[i]);
	}
}

/* For one thread, and without a constructor: its list goes through the objects. */
static void *alloc_from_list(void)
{
	void *object = dead;

	if (!object) {
		object = malloc(kind.size);
		if (kind.construct_by_malloc)
			kind.construct_by_malloc(object, heap);
		return object;
	}
	dead = *(void **)object;
	nr_dead--;
	return object;
}

static void free_to_list(void *object)
{
	if (nr_dead >= kind.keep) {
		if (kind.destruct_by_malloc)
			kind.destruct_by_malloc(object, heap);
		free(object);
		return;
	}
	*(void **)object = dead;
	dead = object;
	nr_dead++;
}

ROUND on_list(size_t count)
{
	for (size_t i = 0; i < count; i++)
		objects[i] = alloc_from_list();
	for (size_t i = 0; i < count; i++)
		free_to_list(objects[i]);
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

/* What one more object costs: half of them less, and what comes once has gone. */
static double cost_of_one(void (*round)(size_t count), size_t rounds)
{
	size_t most = kind.objects;

	return (cost(round, most, rounds) - cost(round, most / 2, rounds)) / (most / 2);
}

static void make_type(unsigned int flags)
{
	struct pymalloc_type_options options = {
		.name = kind.workload,
		.size = kind.size,
		.construct = kind.construct,
		.destruct = kind.destruct,
		.arg = heap,
		.keep = kind.keep,
		.flags = flags,
	};

	type = pymalloc_type_create(heap, &options);
	if (!type)
		err(1, "a type");
}

static void end_type(void)
{
	if (pymalloc_type_destroy(type))
		err(1, "the type's end");
}

/* Its objects come back, and none is kept any more. */
static void end_list(void)
{
	kind.keep = 0;
	while (dead)
		free_to_list(alloc_from_list());
}

static void print_cost(const char *subject, const char *unit, double value)
{
	printf("%s,%s,%s,%.4f\n", kind.workload, subject, unit, value);
}

static void measure(const char *unit, size_t rounds)
{
	double empty;

	if (kind.objects == MOST)
		rounds /= 10;
	empty = cost_of_one(nothing, rounds);
	make_type(0);
	print_cost("type", unit, cost_of_one(of_type, rounds) - empty);
	end_type();
	make_type(PYMALLOC_TYPE_OWN_POOLS);
	print_cost("own pools", unit, cost_of_one(of_type, rounds) - empty);
	end_type();
	print_cost("library", unit, cost_of_one(by_library, rounds) - empty);
	print_cost("malloc", unit, cost_of_one(by_malloc, rounds) - empty);
	print_cost("list", unit, cost_of_one(on_list, rounds) - empty);
	end_list();
}

int main(int argc, char **argv)
{
	struct pymalloc_heap_options options = { .name = "types", .alignment = 16 };
	size_t rounds = ROUNDS;

	if (argc < 2)
		errx(2, "usage: %s UNIT [--quick]", argv[0]);
	if (argc > 2)
		rounds /= QUICK;
	heap = pymalloc_heap_create(&options);
	if (!heap)
		err(1, "a heap");
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		kind = kinds[i];
		measure(argv[1], rounds);
	}
	return 0;
}
