/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The table of a heap's types, and the class of a number.
 */
#ifndef PYM_TYPETABLE_H
#define PYM_TYPETABLE_H

#include "types.h"

/* What a type takes: kmalloc() of 2048 bytes; and so does the table. */
#define PYM_TYPE_BYTES		2048

/**
 * struct pym_type - a type of objects
 * @rcu: frees its memory when no task that has looked it up still reads it
 * @info: what its maker has said of it, and tells of its objects
 * @users: tasks that allocate from its pools
 * @nr_arenas: arenas that are for its pools alone
 * @usable: those that have a free pool
 * @class: the size class of its pools; its size is 0 without PYMALLOC_TYPE_OWN_POOLS
 *
 * @info changes with @heap->gate held for reading, and may be read torn: it is only shown.
 * @nr_arenas and @usable are under @heap->lock.
 */
struct pym_type {
	struct rcu_head rcu;
	struct pymalloc_type_info info;
	atomic_t users;
	u32 nr_arenas;
	struct pym_buckets usable;
	struct pym_class class;
};

/**
 * struct pym_typetable - the types of a heap by number
 * @types: the types; entry 0 is none
 *
 * It is made with the first type, and stays as long as the heap.
 */
struct pym_typetable {
	struct pym_type __rcu *types[PYMALLOC_TYPES_MAX + 1];
};

/* For each type of a heap; as pym_type_find(). */
#define pym_for_each_type(type, number, heap)					\
	for ((number) = 0; ((type) = pym_type_after(heap, &(number)));)

struct pym_typetable *pym_typetable_get(struct pym_heap *heap);
struct pym_type *pym_type_new(struct pym_heap *heap, const struct pymalloc_type_info *info);
void pym_type_free(struct pym_heap *heap, struct pym_type *type);
void pym_typetable_destroy(struct pym_heap *heap);

/**
 * pym_type_find() - look a type up
 * @heap: the heap
 * @number: any number
 *
 * Pairs with the rcu_assign_pointer() of who has made the type: one that is found is complete.
 *
 * Context: Under RCU, or holds @heap->gate or @heap->lock: a type goes with the gate held for
 *	writing.
 * Return: the type, or NULL.
 */
static inline struct pym_type *pym_type_find(const struct pym_heap *heap, u32 number)
{
	/* Pairs with the release in pym_typetable_get(). */
	const struct pym_typetable *table = smp_load_acquire(&heap->types);

	if (!table || number > PYMALLOC_TYPES_MAX)
		return NULL;
	return rcu_dereference_raw(table->types[number]);
}

/* The next type behind @number, which becomes that of the type; NULL if there is none. */
static inline struct pym_type *pym_type_after(const struct pym_heap *heap, u32 *number)
{
	struct pym_type *type = NULL;

	if (!heap->types)
		return NULL;
	while (!type && *number < PYMALLOC_TYPES_MAX)
		type = pym_type_find(heap, ++*number);
	return type;
}

/* The number of the type that a class belongs to; 0 if it is not one of a type's. */
static inline u32 pym_class_type(u8 class)
{
	return class > PYMALLOC_NR_CLASSES && class < PYM_CLASS_RUN ?
	       class - PYMALLOC_NR_CLASSES : 0;
}

/* Is there a class with this number?  As pym_type_find(). */
static inline bool pym_class_exists(const struct pym_heap *heap, u8 class)
{
	return !pym_class_type(class) || pym_type_find(heap, pym_class_type(class));
}

/**
 * pym_class_of() - the size class of a number
 * @heap: the heap
 * @number: as in pool->class
 *
 * Context: as pym_type_find().
 * Return: the class; entry 0 of the heap's, whose size is 0, if the number is of no class.
 */
static inline struct pym_class *pym_class_of(struct pym_heap *heap, u8 number)
{
	struct pym_type *type;

	if (likely(number <= PYMALLOC_NR_CLASSES))
		return &heap->classes[number];
	type = number < PYM_CLASS_RUN ? pym_type_find(heap, pym_class_type(number)) : NULL;
	return type ? &type->class : &heap->classes[PYM_CLASS_NONE];
}

#endif /* PYM_TYPETABLE_H */
