// SPDX-License-Identifier: LGPL-2.1-or-later
/* Types of objects, as the kernel shows them. */
#include <stdint.h>

#include "service.h"
#include "types.h"

const struct column type_columns[] = {
	{ "HEAP", KIND_NUMBER },
	{ "PID", KIND_NUMBER },
	{ "TYPE", KIND_NUMBER },
	{ "NAME", KIND_TEXT },
	{ "SIZE", KIND_NUMBER },
	{ "ALIGNMENT", KIND_NUMBER },
	{ "KEEP", KIND_NUMBER },
	{ "OWN", KIND_SWITCH },
	{ "OBJECTS", KIND_NUMBER },
	{ "KEPT", KIND_NUMBER },
	{ "CONSTRUCTED", KIND_NUMBER },
	{ "POOLS", KIND_NUMBER },
	{ "BYTES", KIND_BYTES },
	{ NULL, 0 }
};

const char *const type_help[] = {
	"number of the heap",
	"number of the process that made it",
	"number of the type in the heap",
	"name of the type",
	"bytes of an object",
	"what an object is aligned to",
	"how many dead objects a thread keeps at most",
	"whether its objects have pools of their own",
	"objects that the program has",
	"dead objects that its threads keep, constructed",
	"how many have been constructed so far",
	"its own pools that have blocks",
	"bytes of the blocks of all of them",
};

static void add_type(struct table *table, const struct pymalloc_heap_info *heap,
		     const struct pymalloc_type_info *type)
{
	table_line(table);
	table_number(table, heap->id);
	table_number(table, heap->pid);
	table_number(table, type->number);
	table_text(table, type->name);
	table_number(table, type->size);
	table_number(table, type->alignment);
	table_number(table, type->keep);
	table_number(table, type->flags & PYMALLOC_TYPE_OWN_POOLS);
	table_number(table, type->objects);
	table_number(table, type->kept);
	table_number(table, type->constructed);
	table_number(table, type->pools);
	table_number(table, type->bytes);
}

/**
 * read_types() - ask for the types of a heap
 * @fd: the heap's descriptor
 * @types: where to store them: room for PYMALLOC_TYPES_MAX
 *
 * Return: how many there are; 0 if the heap ends meanwhile.
 */
size_t read_types(int fd, struct pymalloc_type_info *types)
{
	struct pymalloc_types args = {
		.argsz = sizeof(args),
		.op = PYMALLOC_TYPES_READ,
		.infos = (uintptr_t)types,
		.count = PYMALLOC_TYPES_MAX,
		.entry_size = sizeof(*types),
	};

	return heap_call(fd, PYMALLOC_IOC_TYPES, &args) ? args.done : 0;
}

/**
 * add_types() - add the types of a heap to a table
 * @table: the table, with type_columns
 * @heap: the heap
 * @types: its types
 * @count: how many
 */
void add_types(struct table *table, const struct pymalloc_heap_info *heap,
	       const struct pymalloc_type_info *types, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		add_type(table, heap, &types[i]);
}
