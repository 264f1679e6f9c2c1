// SPDX-License-Identifier: GPL-2.0
/*
 * Types: how they are made, told about, shown and dropped.
 *
 * A type that asks for pools of its own has a size class of its own, behind those of the heap,
 * and arenas that are for its pools alone.  Such an arena lies where nothing has ever been
 * in this heap, and stays the type's until the type is dropped, whatever becomes of its pages:
 * so no pointer to anything else ever names an object of the type, and what has once been an
 * address of the type is not that of anything else while the type lives.  Only after that,
 * the arenas are for all.
 *
 * The heap knows how many blocks such a type has.  What else is shown of a type is what its
 * maker tells, and nothing depends on it.
 */
#include <linux/err.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "arena.h"
#include "pool.h"
#include "quota.h"
#include "type.h"
#include "typetable.h"

/* Put a type where it can be found.  Returns its number; 0 if there is none left. */
static u32 type_insert(struct pym_heap *heap, struct pym_typetable *table, struct pym_type *type)
{
	u32 number;

	spin_lock(&heap->lock);
	for (number = 1; number <= PYMALLOC_TYPES_MAX; number++)
		if (!rcu_access_pointer(table->types[number]))
			break;
	if (number <= PYMALLOC_TYPES_MAX) {
		type->info.number = number;
		heap->nr_types++;
		/* Pairs with the rcu_dereference_raw() in pym_type_find(). */
		rcu_assign_pointer(table->types[number], type);
	}
	spin_unlock(&heap->lock);
	return number <= PYMALLOC_TYPES_MAX ? number : 0;
}

/* Make a type, with a class for pools of its own if it is to have some. */
static struct pym_type *type_new(struct pym_heap *heap, const struct pymalloc_type_info *info)
{
	u32 size = ALIGN(info->size, max(info->alignment, heap->alignment));
	struct pym_type *type = pym_type_new(heap, info);

	if (!IS_ERR(type) && info->flags & PYMALLOC_TYPE_OWN_POOLS)
		pym_class_init(&type->class, size, !heap->no_mesh);
	return type;
}

static int make_gated(struct pym_heap *heap, const struct pymalloc_type_info *info, u32 *number)
{
	struct pym_typetable *table;
	struct pym_type *type;

	if (heap->sealed)
		return -EPERM;
	table = pym_typetable_get(heap);
	if (IS_ERR(table))
		return PTR_ERR(table);
	type = type_new(heap, info);
	if (IS_ERR(type))
		return PTR_ERR(type);
	*number = type_insert(heap, table, type);
	if (*number)
		return 0;
	pym_type_free(heap, type);
	return -ENOSPC;
}

/**
 * pym_type_make() - make a type
 * @heap: the heap
 * @info: its name, size, alignment, flags and what it keeps, which have been checked
 * @number: out: its number
 *
 * Context: Sleeps.  Takes @heap->gate for reading.
 * Return: 0; -ENOSPC if the heap has as many types as it can have; -EPERM if it is sealed;
 *	-ENOMEM (memory, or the heap's limit); or -EDQUOT (the user's limit).
 */
int pym_type_make(struct pym_heap *heap, const struct pymalloc_type_info *info, u32 *number)
{
	int err;

	down_read(&heap->gate);
	err = make_gated(heap, info, number);
	up_read(&heap->gate);
	return err;
}

/* Does anything still need the type?  Nothing is on its way at rest but pages that go. */
static int type_use(struct pym_heap *heap, const struct pym_type *type)
{
	if (type->class.blocks || atomic_read(&type->users))
		return -EBUSY;
	return pym_arenas_are_free(heap, type) ? 0 : -EAGAIN;
}

static int drop_at_rest(struct pym_heap *heap, u32 number)
{
	struct pym_type *type = pym_type_find(heap, number);
	int err;

	if (!type)
		return -ENOENT;
	err = heap->sealed ? -EPERM : type_use(heap, type);
	if (err)
		return err;
	pym_arenas_disown(heap, type);
	heap->nr_types++;
	RCU_INIT_POINTER(heap->types->types[number], NULL);
	pym_type_free(heap, type);
	return 0;
}

/**
 * pym_type_drop() - end a type that has no blocks in pools of its own
 * @heap: the heap
 * @number: its number
 *
 * If another task is just giving its pages back, this waits for that.
 *
 * Context: Sleeps.  Takes @heap->gate for writing.
 * Return: 0; -ENOENT if there is no such type; -EBUSY if it has blocks, or a task allocates
 *	some; -EPERM if the heap is sealed; or -EINTR if the caller is being killed.
 */
int pym_type_drop(struct pym_heap *heap, u32 number)
{
	int err;

	for (;;) {
		down_write(&heap->gate);
		err = drop_at_rest(heap, number);
		up_write(&heap->gate);
		if (err != -EAGAIN)
			return err;
		if (fatal_signal_pending(current))
			return -EINTR;
		schedule_timeout_killable(1);
	}
}

/**
 * pym_type_tell() - note what the maker of a type says of its objects
 * @heap: the heap
 * @number: its number
 * @told: @objects, @kept and @constructed
 *
 * Context: Sleeps.  Takes @heap->gate for reading.
 * Return: 0, or -ENOENT if there is no such type.
 */
int pym_type_tell(struct pym_heap *heap, u32 number, const struct pymalloc_type_info *told)
{
	struct pym_type *type;

	down_read(&heap->gate);
	type = pym_type_find(heap, number);
	if (type) {
		WRITE_ONCE(type->info.objects, told->objects);
		WRITE_ONCE(type->info.kept, told->kept);
		WRITE_ONCE(type->info.constructed, told->constructed);
	}
	up_read(&heap->gate);
	return type ? 0 : -ENOENT;
}

/* What is known of a type with pools of its own. */
static void copy_class(struct pym_class *class, struct pymalloc_type_info *info)
{
	spin_lock(&class->lock);
	info->bytes = class->blocks * class->size;
	info->pools = class->pools_used + class->pools_full;
	spin_unlock(&class->lock);
}

/**
 * pym_type_next() - describe the next type of a heap
 * @heap: the heap, which may be in use, or dead
 * @after: the number of the type before; 0 for the first one
 * @info: out: the type
 *
 * Context: Any that may take the locks of size classes.
 * Return: its number; 0 if there is none.
 */
u32 pym_type_next(struct pym_heap *heap, u32 after, struct pymalloc_type_info *info)
{
	struct pym_type *type;

	rcu_read_lock();
	type = pym_type_after(heap, &after);
	if (type) {
		*info = type->info;
		info->bytes = (info->objects + info->kept) * ALIGN(info->size, heap->alignment);
		if (type->class.size)
			copy_class(&type->class, info);
	}
	rcu_read_unlock();
	return type ? after : 0;
}

static int clone_type(struct pym_heap *child, const struct pym_type *type)
{
	struct pym_type *copy = type_new(child, &type->info);

	if (IS_ERR(copy))
		return PTR_ERR(copy);
	pym_class_clone(&type->class, &copy->class);
	RCU_INIT_POINTER(child->types->types[type->info.number], copy);
	return 0;
}

/**
 * pym_types_clone() - give a clone the types of the original, with their numbers
 * @heap: the heap, at rest
 * @child: the clone, which has no arenas yet
 *
 * Context: Sleeps.
 * Return: 0 or -ENOMEM.
 */
int pym_types_clone(struct pym_heap *heap, struct pym_heap *child)
{
	const struct pym_type *type;
	u32 number;
	int err;

	if (!heap->types)
		return 0;
	err = PTR_ERR_OR_ZERO(pym_typetable_get(child));
	if (err)
		return err;
	pym_for_each_type(type, number, heap) {
		err = clone_type(child, type);
		if (err)
			return err;
	}
	return 0;
}
