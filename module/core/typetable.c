// SPDX-License-Identifier: GPL-2.0
/*
 * The table of a heap's types: their memory.
 */
#include <linux/err.h>
#include <linux/slab.h>

#include "quota.h"
#include "typetable.h"

/* Charge and allocate what a type, or the table, takes. */
static void *alloc_charged(struct pym_heap *heap)
{
	int err = pym_meta_charge(heap, PYM_TYPE_BYTES);
	void *memory;

	if (err)
		return ERR_PTR(err);
	memory = kzalloc(PYM_TYPE_BYTES, PYM_GFP);
	if (memory)
		return memory;
	pym_meta_uncharge(heap, PYM_TYPE_BYTES);
	return ERR_PTR(-ENOMEM);
}

static void free_charged(struct pym_heap *heap, void *memory)
{
	kfree(memory);
	pym_meta_uncharge(heap, PYM_TYPE_BYTES);
}

/**
 * pym_typetable_get() - the table of a heap, which is made if there is none
 * @heap: the heap
 *
 * Context: Sleeps.  Takes @heap->lock.  As pym_meta_charge().
 * Return: the table, or an error as of pym_meta_charge().
 */
struct pym_typetable *pym_typetable_get(struct pym_heap *heap)
{
	struct pym_typetable *table, *made;

	static_assert(sizeof(*table) <= PYM_TYPE_BYTES);

	/* Pairs with the release below. */
	table = smp_load_acquire(&heap->types);
	if (table)
		return table;
	made = alloc_charged(heap);
	if (IS_ERR(made))
		return made;
	spin_lock(&heap->lock);
	table = heap->types;
	if (!table) {
		/* Pairs with the acquire in pym_type_find(): a table that is found is zeroed. */
		smp_store_release(&heap->types, made);
	}
	spin_unlock(&heap->lock);
	if (!table)
		return made;
	/* Another task was faster. */
	free_charged(heap, made);
	return table;
}

/**
 * pym_type_new() - charge and make a type
 * @heap: the heap
 * @info: what it is to be like
 *
 * It has no number yet, no arenas, and a class without a size.
 *
 * Context: Sleeps.  As pym_meta_charge().
 * Return: the type, or an error as of pym_meta_charge().
 */
struct pym_type *pym_type_new(struct pym_heap *heap, const struct pymalloc_type_info *info)
{
	struct pym_type *type;

	static_assert(sizeof(*type) <= PYM_TYPE_BYTES);

	type = alloc_charged(heap);
	if (IS_ERR(type))
		return type;
	type->info = *info;
	pym_buckets_init(&type->usable);
	spin_lock_init(&type->class.lock);
	return type;
}

/**
 * pym_type_free() - free a type that is not in the table, or not any more
 * @heap: the heap
 * @type: the type, which has no arenas
 *
 * Context: As pym_meta_charge().
 */
void pym_type_free(struct pym_heap *heap, struct pym_type *type)
{
	kfree_rcu(type, rcu);
	pym_meta_uncharge(heap, PYM_TYPE_BYTES);
}

/**
 * pym_typetable_destroy() - free all types of a heap, and the table
 * @heap: the heap, used by nobody any more; its arenas have been freed before
 */
void pym_typetable_destroy(struct pym_heap *heap)
{
	struct pym_type *type;
	u32 number;

	if (!heap->types)
		return;
	pym_for_each_type(type, number, heap)
		pym_type_free(heap, type);
	free_charged(heap, heap->types);
	heap->types = NULL;
}
