/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Types: objects of one kind, which a constructor prepares once and a program uses many times.
 *
 * Each thread keeps some dead objects of a type, as they are: the next one that it asks for is
 * one of them, without a constructor, as with CPython's own lists of dead floats, tuples, lists
 * and dicts.  What is more than may be kept is destructed, and its block goes back to the heap.
 *
 * The blocks of a type are those of its size, as pymalloc_malloc() returns them; or, if it asks
 * for that, blocks in pools of its own: type-stable memory.  No pointer to anything else in the
 * heap, however old, ever names such a block, and as long as the type lives, nothing else
 * is ever where an object of it has been.
 *
 * An object that one thread has allocated may be freed by another one, which keeps it then.
 * A thread's end destructs what it keeps.  A child of fork() has the objects and what all
 * threads kept; its first threads get the latter.  No function here may be called by a signal's
 * handler that may have interrupted one.
 *
 * Programs that include this file are compiled with the layout of the structs.  They ask for
 * the symbol version PYMALLOC_TYPE_1.
 */
#ifndef _PYMALLOC_TYPE_H
#define _PYMALLOC_TYPE_H

#include <stddef.h>

#include <pymalloc.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The most dead objects that a thread may keep of a type. */
#define PYMALLOC_KEEP_MAX	65536

/**
 * struct pymalloc_type_options - what a new type is to be like
 * @name: a name for people, of less than PYMALLOC_NAME_LEN printable ASCII characters; or NULL
 * @size: bytes of an object, 1 to PYMALLOC_SIZE_MAX; with PYMALLOC_TYPE_OWN_POOLS at most
 *	PYMALLOC_BLOCK_MAX
 * @alignment: a power of two, of at most PYMALLOC_POOL_SIZE, with PYMALLOC_TYPE_OWN_POOLS at
 *	most PYMALLOC_BLOCK_MAX; 0 is the heap's
 * @construct: prepares the bytes of a new object, which are undefined; returns 0, or anything
 *	else if it cannot, with errno set; or NULL
 * @destruct: ends an object whose block goes back to the heap; or NULL
 * @arg: what both get beside the object
 * @keep: how many dead objects a thread keeps at most, up to PYMALLOC_KEEP_MAX
 * @flags: PYMALLOC_TYPE_OWN_POOLS or 0
 *
 * The two functions may use the heap, and other types; also this one, except that an object that
 * is being constructed or destructed is not one yet, or not any more.
 */
struct pymalloc_type_options {
	const char *name;
	size_t size;
	size_t alignment;
	int (*construct)(void *object, void *arg);
	void (*destruct)(void *object, void *arg);
	void *arg;
	unsigned int keep;
	unsigned int flags;
};

/**
 * struct pymalloc_type_list - the dead objects of a type that a thread keeps
 * @top: the slot of the object that is handed out next; the slots above it have the others, and
 *	after the one that was kept first there is a NULL
 * @full: what @top is when no more may be kept
 */
struct pymalloc_type_list {
	void **top;
	void **full;
};

/**
 * struct pymalloc_type - the first part of a type: what the functions here need to know
 * @lists: where a thread has the address of its lists, as a distance from the thread pointer
 * @place: where the type's list lies among them, in bytes
 */
struct pymalloc_type {
	ptrdiff_t lists;
	size_t place;
};

/**
 * pymalloc_type_create() - make a type
 * @heap: the heap in which its objects are to be
 * @options: what it is to be like
 *
 * The first 255 types of a process have lists; each further one keeps nothing.  A heap has
 * at most PYMALLOC_TYPES_MAX types.  They end with it; no object of them is destructed then.
 *
 * Return: the type; or NULL and EINVAL (@options), ENOSPC (too many types), ENOMEM, EPERM (the
 * heap is sealed, or the process in a sandbox), ENOTTY (the module is older).
 */
PYMALLOC_API struct pymalloc_type *
pymalloc_type_create(struct pymalloc_heap *heap, const struct pymalloc_type_options *options);

/**
 * pymalloc_type_destroy() - end a type
 * @type: the type, or NULL; no thread may be using it or use it later
 *
 * All that threads keep is destructed.
 *
 * Return: 0; or -1 and EBUSY (the program still has objects of the type: nothing has changed but
 * that none is kept), EPERM (the heap is sealed, or the process in a sandbox), EBADF.
 */
PYMALLOC_API int pymalloc_type_destroy(struct pymalloc_type *type);

/**
 * struct pymalloc_type_figures - what there is of a type
 * @objects: objects that the program has
 * @kept: dead objects that threads keep, constructed
 * @constructed: how many have been constructed so far
 * @destructed: how many have been destructed so far
 * @bytes: bytes of the blocks of @objects, of @kept, and of those that are neither, which threads
 *	have for their next objects with PYMALLOC_TYPE_OWN_POOLS
 */
struct pymalloc_type_figures {
	__u64 objects;
	__u64 kept;
	__u64 constructed;
	__u64 destructed;
	__u64 bytes;
};

/**
 * pymalloc_type_figures() - what there is of a type
 * @type: the type
 * @figures: where to store it; approximate while other threads are using the type
 *
 * The kernel is told as well, which shows it to others.  Otherwise it is told at a thread's end,
 * and when a thread has constructed and destructed 64 objects and an eighth of all since it was
 * told last (the first times 1, 8 and 64).  What only goes to the threads' lists and comes back
 * from there is no reason to tell.
 */
PYMALLOC_API void pymalloc_type_figures(struct pymalloc_type *type,
					struct pymalloc_type_figures *figures);

/* What the functions below call if there is nothing to pop, or no room. */
PYMALLOC_API void *pymalloc_type_alloc_slow(struct pymalloc_type *type);
PYMALLOC_API void pymalloc_type_free_slow(struct pymalloc_type *type, void *object);

static inline struct pymalloc_type_list *pymalloc_type_own_list(const struct pymalloc_type *type)
{
	char *thread = (char *)__builtin_thread_pointer();

	return (struct pymalloc_type_list *)(*(char **)(thread + type->lists) + type->place);
}

/**
 * pymalloc_type_alloc() - get an object of a type
 * @type: the type
 *
 * If the thread keeps one, it is that which was freed last, as it was then.
 *
 * Return: the object, constructed; or NULL and ENOMEM, EPERM (the heap is sealed), or what the
 * constructor has set, if it has failed.
 */
static inline void *pymalloc_type_alloc(struct pymalloc_type *type)
{
	struct pymalloc_type_list *list = pymalloc_type_own_list(type);
	void **slot = list->top;
	void *object = *slot;

	if (__builtin_expect(!object, 0))
		return pymalloc_type_alloc_slow(type);
	list->top = slot + 1;
	return object;
}

/**
 * pymalloc_type_free() - give an object of a type back
 * @type: the type that it is of
 * @object: the object; NULL does nothing
 *
 * It is to be as the next user expects it.  If the thread keeps as many as it may, this one is
 * destructed.  Keeps errno.
 *
 * If @object is the one that this thread has given back last, the function of
 * pymalloc_set_bad_free() is called, and nothing has been given back.  Other bad frees are not
 * found when the object is kept: not of one that is kept already, of something else, or of an
 * object of a reservation.  When it is to be destructed, most are, as Documentation/library.rst
 * says; others when its block goes back to the kernel, and then the destructor has been called.
 */
static inline void pymalloc_type_free(struct pymalloc_type *type, void *object)
{
	struct pymalloc_type_list *list = pymalloc_type_own_list(type);
	void **slot = list->top;

	/* An empty list has a NULL there. */
	if (__builtin_expect(slot == list->full, 0) || __builtin_expect(*slot == object, 0) ||
	    __builtin_expect(!object, 0)) {
		pymalloc_type_free_slow(type, object);
		return;
	}
	slot[-1] = object;
	list->top = slot - 1;
}

#ifdef __cplusplus
}
#endif

#endif /* _PYMALLOC_TYPE_H */
