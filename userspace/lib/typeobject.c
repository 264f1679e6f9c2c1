// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Objects of types: a block is taken and constructed, or destructed and given back.
 */
#include <errno.h>

#include "call.h"
#include "object.h"
#include "report.h"
#include "trace.h"
#include "typeobject.h"

/**
 * pyml_type_call() - PYMALLOC_IOC_TYPES
 * @type: the type; gets its number from PYMALLOC_TYPES_MAKE
 * @op: PYMALLOC_TYPES_*
 * @info: what goes with it, or NULL
 *
 * Return: as pyml_call().
 */
int pyml_type_call(struct pyml_type *type, __u32 op, struct pymalloc_type_info *info)
{
	struct pymalloc_types args = {
		.argsz = sizeof(args),
		.op = op,
		.number = type->number,
		.infos = (uintptr_t)info,
		.entry_size = info ? sizeof(*info) : 0,
	};
	int ret = pyml_call(type->heap, PYMALLOC_IOC_TYPES, &args);

	type->number = args.number;
	return ret;
}

/* Gets blocks of a type's own pools; as pyml_call_alloc(). */
static unsigned int call_own(struct pyml_type *type, __u64 *refs, unsigned int count)
{
	return pyml_call_alloc(type->heap, type->size, type->number << PYMALLOC_ALLOC_TYPE_SHIFT,
			       refs, count);
}

/* Half of what a stock may have, so that the next frees have room. */
static void fill_stock(struct pyml_kept *kept)
{
	struct pymalloc_heap *heap = kept->type->heap;
	__u64 refs[PYML_STOCK / 2];
	unsigned int i, nr = call_own(kept->type, refs, PYML_STOCK / 2);

	/* The last one is taken first. */
	for (i = nr; i; i--)
		kept->stock[kept->nr_stock++] = heap->view.base + refs[i - 1];
}

/**
 * pyml_type_flush_stock() - give blocks of a type's own pools back to the heap
 * @kept: whose
 * @left: how many stay
 *
 * Keeps errno.
 */
void pyml_type_flush_stock(struct pyml_kept *kept, unsigned int left)
{
	__u64 refs[PYML_STOCK];
	__u8 status[PYML_STOCK];
	unsigned int nr = 0, bad = pyml_nr_bad_frees();

	while (kept->nr_stock > left)
		refs[nr++] = pyml_ref(kept->type->heap, kept->stock[--kept->nr_stock]);
	if (nr)
		pyml_call_free(kept->type->heap, refs, status, nr);
	/* They were counted when they came into the stock; @kept may not count any more. */
	bad = pyml_nr_bad_frees() - bad;
	if (bad)
		__atomic_sub_fetch(&kept->type->nr_ended, bad, __ATOMIC_RELAXED);
}

static void *alloc_own(struct pyml_type *type, struct pyml_kept *kept)
{
	struct pymalloc_heap *heap = type->heap;
	void *block = NULL;
	__u64 ref;

	if (kept && !kept->nr_stock)
		fill_stock(kept);
	if (kept && kept->nr_stock)
		block = kept->stock[--kept->nr_stock];
	else if (!kept && call_own(type, &ref, 1))
		block = heap->view.base + ref;
	if (block && unlikely(heap->trace))
		pyml_trace_run(heap, block);
	return block;
}

/* If there is a stock, what is wrong is found later: see pyml_type_flush_stock(). */
static void free_own(struct pyml_type *type, struct pyml_kept *kept, void *block)
{
	__u64 ref = pyml_ref(type->heap, block);
	__u8 status;

	if (unlikely(type->heap->trace))
		pyml_trace_freed(type->heap, block);
	if (!kept) {
		pyml_call_free(type->heap, &ref, &status, 1);
		return;
	}
	if (kept->nr_stock == PYML_STOCK)
		pyml_type_flush_stock(kept, PYML_STOCK / 2);
	kept->stock[kept->nr_stock++] = block;
}

static void *alloc_block(struct pyml_type *type, struct pyml_kept *kept)
{
	if (type->own)
		return alloc_own(type, kept);
	if (type->class)
		return pymalloc_inline_malloc(type->heap, type->block_bytes);
	return pymalloc_aligned_alloc(type->heap, type->alignment, type->size);
}

static void free_block(struct pyml_type *type, struct pyml_kept *kept, void *block)
{
	if (type->own)
		free_own(type, kept, block);
	else
		pymalloc_inline_free(type->heap, block);
}

/*
 * Is this block in the thread's stock?  If threads keep dead objects, only that is looked at which
 * has come last: the others are not worth the time then.
 */
static bool is_in_stock(const struct pyml_kept *kept, const void *block)
{
	unsigned int i = kept->nr_stock, last = kept->type->keep && i ? i - 1 : 0;

	while (i > last)
		if (kept->stock[--i] == block)
			return true;
	return false;
}

/*
 * Reports an object that is free already, as far as that can be told before its destructor runs
 * again.  Returns whether it is.
 */
static bool report_free(struct pyml_type *type, struct pyml_kept *kept, void *object)
{
	if (type->class)
		return pymalloc_is_marked(&type->heap->view, object) &&
		       pyml_report_free(type->heap, object, type->class);
	if (!kept || !type->own || !is_in_stock(kept, object))
		return false;
	pyml_bad_free(type->heap, object, PYMALLOC_REF_FREE);
	return true;
}

/*
 * Whether the kernel has an object there.  It is asked if it gets the block at once and there is
 * something to destruct; but not about each object that was kept, when its thread ends.
 */
static bool is_there(const struct pyml_type *type, const struct pyml_kept *kept, const void *object)
{
	if (type->class || !type->destruct || (type->own && (kept || type->keep)))
		return true;
	return pyml_call_usable(type->heap, pyml_ref(type->heap, object));
}

/* By the thread alone, so that others at most read a number that is too old. */
static void count(__u64 *own, __u64 *shared, __u64 nr)
{
	if (own)
		__atomic_store_n(own, *own + nr, __ATOMIC_RELAXED);
	else
		__atomic_add_fetch(shared, nr, __ATOMIC_RELAXED);
}

/* An object has ended, but for the bad frees that were reported meanwhile: those had counted. */
static void count_end(struct pyml_type *type, struct pyml_kept *kept, unsigned int bad)
{
	__u64 nr = 1;

	/* A stock corrects the count itself. */
	if (!(type->own && kept))
		nr -= pyml_nr_bad_frees() - bad;
	count(kept ? &kept->nr_ended : NULL, &type->nr_ended, nr);
}

/**
 * pyml_type_begin_object() - make an object
 * @type: its type
 * @kept: what the calling thread keeps of it, or NULL
 *
 * Return: the object, constructed; or NULL and ENOMEM or what the constructor has set.
 */
void *pyml_type_begin_object(struct pyml_type *type, struct pyml_kept *kept)
{
	void *block = alloc_block(type, kept);

	if (!block)
		return NULL;
	if (type->construct && type->construct(block, type->arg)) {
		int saved = errno;

		free_block(type, kept, block);
		errno = saved;
		return NULL;
	}
	count(kept ? &kept->nr_begun : NULL, &type->nr_begun, 1);
	return block;
}

/* May an object of the type begin there? */
static bool may_begin_at(const struct pyml_type *type, const void *object)
{
	const struct pymalloc_view *view = &type->heap->view;
	size_t within = pymalloc_offset(view, object) % PYMALLOC_POOL_SIZE;

	if (type->class)
		return pyml_class_at(view, object) == type->class;
	if (!pyml_in_window(type->heap, object) || pyml_pool_class(view, object))
		return false;
	if (!type->own)
		return !within;
	/* In pools of its own, blocks lie as in all pools. */
	return within % type->block_bytes == 0 && within + type->block_bytes <= PYMALLOC_POOL_SIZE;
}

/**
 * pyml_type_end_object() - destruct an object, and give its block back
 * @type: its type
 * @kept: what the calling thread keeps of it, or NULL
 * @object: the object; if no object of the type can begin there, or it has ended, as far as that
 *	can be seen, that is reported
 *
 * Keeps errno.
 */
void pyml_type_end_object(struct pyml_type *type, struct pyml_kept *kept, void *object)
{
	int saved = errno;
	unsigned int bad;

	if (!may_begin_at(type, object)) {
		pyml_bad_free(type->heap, object, PYMALLOC_REF_FOREIGN);
		return;
	}
	if (report_free(type, kept, object))
		return;
	/* If there is none, the free reports it. */
	if (type->destruct && is_there(type, kept, object))
		type->destruct(object, type->arg);
	bad = pyml_nr_bad_frees();
	free_block(type, kept, object);
	count_end(type, kept, bad);
	errno = saved;
}
