// SPDX-License-Identifier: LGPL-2.1-or-later
/* The clients and the names of a shared heap. */
#include <err.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "command.h"
#include "service.h"
#include "shared.h"

/* Clients that are asked for at once. */
#define CLIENTS_A_CALL	64

static const struct column client_columns[] = {
	{ "CLIENT", KIND_NUMBER },
	{ "PID", KIND_NUMBER },
	{ "UID", KIND_NUMBER },
	{ "HOLDS", KIND_NUMBER },
	{ "LIMIT", KIND_COUNT_LIMIT },
	{ "INBOX", KIND_NUMBER },
	{ "MAPPINGS", KIND_NUMBER },
	{ "COMMAND", KIND_TEXT },
	{ NULL, 0 }
};

static const struct column name_columns[] = {
	{ "NAME", KIND_TEXT },
	{ "REF", KIND_OFFSET },
	{ "SIZE", KIND_BYTES },
	{ NULL, 0 }
};

/**
 * is_shared() - is a heap for all who have a descriptor of it?
 * @heap: the heap
 *
 * Return: true if it is.
 */
bool is_shared(const struct pymalloc_heap_info *heap)
{
	return heap->flags & PYMALLOC_CREATE_SHARED;
}

/**
 * read_clients() - ask for the clients of a shared heap
 * @fd: its descriptor
 * @clients: where to store the array, which the caller frees
 * @count: out: how many there are
 *
 * Return: false if the heap has ended.
 */
bool read_clients(int fd, struct pymalloc_client_info **clients, __u64 *count)
{
	struct pymalloc_clients args = {
		.argsz = sizeof(args),
		.op = PYMALLOC_CLIENTS_READ,
		.count = CLIENTS_A_CALL,
		.entry_size = sizeof(**clients),
	};
	bool there;

	*clients = NULL;
	*count = 0;
	do {
		*clients = reallocarray(*clients, *count + CLIENTS_A_CALL, sizeof(**clients));
		if (!*clients)
			err(EXIT_FAILED, NULL);
		args.infos = (uintptr_t)(*clients + *count);
		there = heap_call(fd, PYMALLOC_IOC_CLIENTS, &args);
		if (!there)
			break;
		*count += args.done;
		if (*count)
			args.number = (*clients)[*count - 1].number;
	} while (args.done == CLIENTS_A_CALL);
	return there;
}

/* The name that follows @root->name.  Returns false if there is none, or the heap has ended. */
static bool next_name(int fd, struct pymalloc_roots *root)
{
	int ret;

	root->argsz = sizeof(*root);
	root->op = PYMALLOC_ROOTS_NEXT;
	do {
		ret = ioctl(fd, PYMALLOC_IOC_ROOTS, root);
	} while (ret && errno == EINTR);
	if (ret && errno != ENOENT && errno != ESTALE)
		err(EXIT_FAILED, "the service");
	return !ret;
}

/**
 * count_names() - ask how many names a shared heap has
 * @fd: its descriptor
 *
 * Return: how many.
 */
__u64 count_names(int fd)
{
	struct pymalloc_roots root = {};
	__u64 count = 0;

	while (next_name(fd, &root))
		count++;
	return count;
}

static void add_client(struct table *table, const struct pymalloc_client_info *client)
{
	table_line(table);
	table_number(table, client->number);
	table_number(table, client->pid);
	table_number(table, client->uid);
	table_number(table, client->holds);
	table_number(table, client->holds_max);
	table_number(table, client->inbox);
	table_number(table, client->mappings);
	table_text(table, client->comm);
}

/**
 * client_table() - make a table of the clients of a heap
 * @fd: its descriptor
 * @heap: the heap; if it is not shared, the table is empty
 * @style: what the line asks for
 *
 * Return: the table, which tables_print() frees.
 */
struct table *client_table(int fd, const struct pymalloc_heap_info *heap, struct style style)
{
	struct table *table = table_new("clients", client_columns, SHAPE_LIST, style);
	struct pymalloc_client_info *clients;
	__u64 count, i;

	if (!is_shared(heap))
		return table;
	read_clients(fd, &clients, &count);
	for (i = 0; i < count; i++)
		add_client(table, &clients[i]);
	free(clients);
	return table;
}

/* The size is 0 if the name has been taken from the block since. */
static void add_name(struct table *table, int fd, const struct pymalloc_roots *root)
{
	__u64 size = 0;
	struct pymalloc_usable usable = {
		.argsz = sizeof(usable),
		.refs = (uintptr_t)&root->ref,
		.sizes = (uintptr_t)&size,
		.count = 1,
	};

	heap_call(fd, PYMALLOC_IOC_USABLE, &usable);
	table_line(table);
	table_text(table, root->name);
	table_number(table, root->ref);
	table_number(table, size);
}

/**
 * name_table() - make a table of the names of a heap
 * @fd: its descriptor
 * @heap: the heap; if it is not shared, the table is empty
 * @style: what the line asks for
 *
 * Return: the table, which tables_print() frees.
 */
struct table *name_table(int fd, const struct pymalloc_heap_info *heap, struct style style)
{
	struct table *table = table_new("names", name_columns, SHAPE_LIST, style);
	struct pymalloc_roots root = {};

	while (is_shared(heap) && next_name(fd, &root))
		add_name(table, fd, &root);
	return table;
}
