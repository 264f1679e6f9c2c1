/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a type is to the library, and how its objects begin and end. */
#ifndef _PYML_TYPEOBJECT_H
#define _PYML_TYPEOBJECT_H

#include <pymalloc-type.h>

#include "types.h"

/*
 * Blocks of pools of its own that a thread may have for a type.  Half of them are moved by a
 * call, which is a small part of what so many objects cost then.
 */
#define PYML_STOCK	128

struct pyml_kept;

/**
 * struct pyml_type - a type
 * @view: what its users' fast paths need; the first member
 * @heap: the heap
 * @number: its number there
 * @index: its place among the types of the process that have lists
 * @size: bytes of an object
 * @alignment: of an object
 * @class: the size class of its blocks; 0 for those of pools of its own, and large objects
 * @block_bytes: bytes that one takes
 * @own: it has pools of its own
 * @keep: most dead objects that a thread keeps
 * @ending: it is being destroyed: no thread begins to keep anything
 * @construct: see struct pymalloc_type_options
 * @destruct: the same
 * @arg: the same
 * @kept: what threads keep, a list
 * @nr_abandoned: how many in @kept are of threads that do not exist in this process
 * @nr_begun: objects constructed without a list, or on lists that are gone
 * @nr_ended: objects destructed so, less the bad frees that were found later
 *
 * @kept and @nr_abandoned are under the lock in typelist.c.
 */
struct pyml_type {
	struct pymalloc_type view;
	struct pymalloc_heap *heap;
	__u32 number;
	size_t index;
	size_t size;
	size_t alignment;
	size_t class;
	size_t block_bytes;
	bool own;
	bool ending;
	unsigned int keep;
	int (*construct)(void *object, void *arg);
	void (*destruct)(void *object, void *arg);
	void *arg;
	struct pyml_kept *kept;
	size_t nr_abandoned;
	__u64 nr_begun;
	__u64 nr_ended;
};

/**
 * struct pyml_kept - what a thread keeps of a type
 * @next: the next one of the type
 * @type: the type
 * @list: where the thread has its list
 * @last: @list of a thread that does not exist in this process, or of a type that is ending
 * @abandoned: it is of such a thread
 * @nr_begun: objects that the thread has constructed
 * @nr_ended: objects that the thread has destructed
 * @untold: how many of both the kernel has not been told of
 * @next_tell: how many @untold must be before it is told
 * @nr_stock: blocks in @stock
 * @stock: blocks of pools of its own without an object; NULL for a type without such pools
 * @slots: the slots of the list, one more for the NULL at its end, and behind it @stock
 */
struct pyml_kept {
	struct pyml_kept *next;
	struct pyml_type *type;
	struct pymalloc_type_list *list;
	struct pymalloc_type_list last;
	bool abandoned;
	__u64 nr_begun;
	__u64 nr_ended;
	__u64 untold;
	__u64 next_tell;
	unsigned int nr_stock;
	void **stock;
	void *slots[];
};

#pragma GCC visibility push(hidden)

int pyml_type_call(struct pyml_type *type, __u32 op, struct pymalloc_type_info *info);
void *pyml_type_begin_object(struct pyml_type *type, struct pyml_kept *kept);
void pyml_type_end_object(struct pyml_type *type, struct pyml_kept *kept, void *object);
void pyml_type_flush_stock(struct pyml_kept *kept, unsigned int left);

#pragma GCC visibility pop

/* What the type is behind what its users see of it. */
static inline struct pyml_type *pyml_type_of(struct pymalloc_type *type)
{
	return (struct pyml_type *)type;
}

#endif /* _PYML_TYPEOBJECT_H */
