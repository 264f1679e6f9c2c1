// SPDX-License-Identifier: LGPL-2.1-or-later
/* What CPython 3.11 keeps of its dead floats, tuples, lists and dicts, as types. */
#include <err.h>
#include <stdio.h>
#include <string.h>

#include <pymalloc-type.h>

/* What the garbage collector has before an object, and what each object begins with. */
struct head {
	void *gc[2];
	long references;
	const char *type;
	long size;
};

struct number {
	long references;
	const char *type;
	double value;
};

struct list {
	struct head head;
	void **items;
	long room;
};

/* The part of a small dict that has its entries. */
struct keys {
	signed char indices[8];
	void *entries[5][3];
};

struct dict {
	struct head head;
	struct keys *keys;
};

static struct pymalloc_heap *heap;

static int construct_list(void *memory, void *type)
{
	*(struct list *)memory = (struct list){ .head.type = type };
	return 0;
}

/* A dead dict that is kept has its entries already, and these are empty. */
static int construct_dict(void *memory, void *type)
{
	struct dict *dict = memory;

	*dict = (struct dict){ .head.type = type };
	dict->keys = pymalloc_calloc(heap, 1, sizeof(*dict->keys));
	if (!dict->keys)
		return -1;
	memset(dict->keys->indices, -1, sizeof(dict->keys->indices));
	return 0;
}

static void destruct_dict(void *memory, void *type)
{
	(void)type;
	pymalloc_free(heap, ((struct dict *)memory)->keys);
}

static struct pymalloc_type *make(struct pymalloc_type_options options)
{
	struct pymalloc_type *type;

	options.arg = (void *)options.name;
	type = pymalloc_type_create(heap, &options);
	if (!type)
		err(1, "%s", options.name);
	return type;
}

/* As many objects at once as a program may have, three times. */
static void use(const char *name, struct pymalloc_type *type)
{
	struct pymalloc_type_figures figures;
	static void *objects[3000];

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 3000; i++) {
			objects[i] = pymalloc_type_alloc(type);
			if (!objects[i])
				err(1, "%s", name);
		}
		for (int i = 0; i < 3000; i++)
			pymalloc_type_free(type, objects[i]);
	}
	/* And one at a time. */
	for (int i = 0; i < 100000; i++)
		pymalloc_type_free(type, pymalloc_type_alloc(type));
	pymalloc_type_figures(type, &figures);
	printf("%-9s %8llu %8llu\n", name, figures.kept, figures.constructed);
}

int main(void)
{
	struct pymalloc_heap_options options = { .name = "types", .alignment = 16 };

	heap = pymalloc_heap_create(&options);
	if (!heap)
		err(1, "pymalloc_heap_create");
	printf("%-9s %8s %8s\n", "type", "kept", "made");
	use("float", make((struct pymalloc_type_options){
		.name = "float", .size = sizeof(struct number), .keep = 100 }));
	/* CPython has such a list for each length up to 20. */
	use("pair", make((struct pymalloc_type_options){
		.name = "pair", .size = sizeof(struct head) + 2 * sizeof(void *), .keep = 2000 }));
	use("list", make((struct pymalloc_type_options){
		.name = "list", .size = sizeof(struct list), .keep = 80,
		.construct = construct_list }));
	/* No pointer to anything else ever names a dict. */
	use("dict", make((struct pymalloc_type_options){
		.name = "dict", .size = sizeof(struct dict), .keep = 80,
		.construct = construct_dict, .destruct = destruct_dict,
		.flags = PYMALLOC_TYPE_OWN_POOLS }));
	/* For a look at it with the pymalloc command. */
	puts("Press Enter to go on.");
	fflush(stdout);
	getchar();
	pymalloc_heap_destroy(heap);
}
