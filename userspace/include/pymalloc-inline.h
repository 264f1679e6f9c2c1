/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pymalloc_malloc() and pymalloc_free() without a call, for those whose
 * profile asks for it.  What they do is the same, and so is what they cost but
 * for the call: the library's own are made from this file.
 *
 * Magazines are the whole of it.  A thread has one for each size class of each
 * heap that it uses: a stack of objects that belongs to it alone.  malloc()
 * pops, free() pushes, and only an empty or a full one needs the library.
 *
 * An object in a magazine is marked: its first word is the address of the pool
 * map, which a program has no reason to store.  The free of a marked object is
 * not believed but looked into by the library; malloc() takes the mark away.
 *
 * Programs that include this file have the layout of the two structs in them.
 * A library with another layout would not have the symbol version
 * PYMALLOC_INLINE_2, which they ask for, so that they would not start.
 *
 * In C and C++, with a compiler that knows __builtin_thread_pointer(): GCC 11
 * or clang 12, or later.
 */
#ifndef _PYMALLOC_INLINE_H
#define _PYMALLOC_INLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pymalloc.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct pymalloc_magazines - a thread's magazines for one heap
 * @top: of each, its last object, which is popped next; further ones follow,
 *	and after the first one that was pushed there is a NULL
 * @full: of each, @top when it is full
 * @low_bits: of each, the bits of an address that are 0 where a block begins:
 *	those below the highest power of two that divides the class's size
 *
 * There is one for each value that a byte of the pool map may have.  Those of
 * 0 (no blocks here) and of classes that the heap has not are empty and full
 * at once.
 */
struct pymalloc_magazines {
	void **top[PYMALLOC_NR_CLASSES + 1];
	void **full[PYMALLOC_NR_CLASSES + 1];
	uintptr_t low_bits[PYMALLOC_NR_CLASSES + 1];
};

/**
 * struct pymalloc_view - how a heap begins
 * @base: where its window is mapped
 * @pool_map: where its pool map is mapped
 * @extent: bytes of the window that are mapped, from @base on; grows, before there
 *	are objects in what is new
 * @magazines: where a thread has the address of its magazines for this heap:
 *	the distance from the thread pointer, the same in all threads.  There
 *	always are some, if only empty and full ones
 * @round: what to add to a size ...
 * @keep: ... and which bits to keep to get that of its class
 */
struct pymalloc_view {
	char *base;
	const __u8 *pool_map;
	size_t extent;
	ptrdiff_t magazines;
	size_t round;
	size_t keep;
};

/* Where the two below end when the magazine is empty or full, or is none. */
PYMALLOC_API void *pymalloc_malloc_slow(struct pymalloc_heap *heap,
					size_t size);
PYMALLOC_API void pymalloc_free_slow(struct pymalloc_heap *heap, void *object);

/* An object's first word, whatever the program takes it to be. */
struct pymalloc_word {
	const void *mark;
} __attribute__((__may_alias__));

/*
 * To the compiler, @word may have changed by now: it changes it in place, which
 * is one instruction less than with what it read before.  @object stays in its
 * register, from where it need not be copied.
 */
#define PYMALLOC_REREAD(word, object)	__asm__("" : "+m" (word), "+r" (object))

/*
 * Returns NULL if there is no object.  @class_size: bytes of a class, or 0.  It
 * is how far into @magazines the class's top is, too: both go by eights.
 */
static inline void *pymalloc_pop(struct pymalloc_magazines *magazines,
				 size_t class_size)
{
	void ***top = (void ***)((char *)magazines->top + class_size);
	void *object = **top;

	if (__builtin_expect(!object, 0))
		return NULL;
	PYMALLOC_REREAD(*top, object);
	++*top;
	((struct pymalloc_word *)object)->mark = NULL;
	return object;
}

static inline size_t pymalloc_offset(const struct pymalloc_view *view,
				     const void *object)
{
	return (uintptr_t)object - (uintptr_t)view->base;
}

/* By 32 bits, which are enough and for which compilers find one instruction. */
static inline bool pymalloc_is_misaligned(uintptr_t low_bits, const void *object)
{
	return (__u32)(uintptr_t)object & (__u32)low_bits;
}

/* Of what begins in a pool: it lies in a magazine, if the mark is right. */
static inline bool pymalloc_is_marked(const struct pymalloc_view *view,
				      const void *object)
{
	return ((const struct pymalloc_word *)object)->mark == view->pool_map;
}

/* Returns false, with nothing done, for the slow path to find out why. */
static inline bool pymalloc_push(struct pymalloc_magazines *magazines,
				 const struct pymalloc_view *view, void *object)
{
	size_t offset = pymalloc_offset(view, object);
	size_t index;
	void **top;

	if (__builtin_expect(offset >= view->extent, 0))
		return false;
	index = view->pool_map[offset / PYMALLOC_POOL_SIZE];
	top = magazines->top[index];
	if (__builtin_expect(pymalloc_is_misaligned(magazines->low_bits[index],
						    object), 0) ||
	    __builtin_expect(top == magazines->full[index], 0) ||
	    __builtin_expect(pymalloc_is_marked(view, object), 0))
		return false;
	((struct pymalloc_word *)object)->mark = view->pool_map;
	top[-1] = object;
	PYMALLOC_REREAD(magazines->top[index], object);
	--magazines->top[index];
	return true;
}

/* The calling thread's magazines. */
static inline struct pymalloc_magazines *
pymalloc_mine(const struct pymalloc_view *view)
{
	char *thread = (char *)__builtin_thread_pointer();

	return *(struct pymalloc_magazines **)(thread + view->magazines);
}

/* What is a class's size in every heap needs no look at the heap. */
static inline size_t pymalloc_class_size(const struct pymalloc_view *view,
					 size_t size)
{
	if (__builtin_constant_p(size) && size % 16 == 0)
		return size;
	return (size + view->round) & view->keep;
}

/**
 * pymalloc_inline_malloc() - pymalloc_malloc() without a call
 * @heap: the heap
 * @size: the object's size in bytes; best a constant
 *
 * Return: as pymalloc_malloc().
 */
static inline void *pymalloc_inline_malloc(struct pymalloc_heap *heap,
					   size_t size)
{
	const struct pymalloc_view *view = (const struct pymalloc_view *)heap;
	void *object = NULL;

	if (__builtin_expect(size <= PYMALLOC_BLOCK_MAX, 1))
		object = pymalloc_pop(pymalloc_mine(view),
				      pymalloc_class_size(view, size));
	if (__builtin_expect(!!object, 1))
		return object;
	return pymalloc_malloc_slow(heap, size);
}

/**
 * pymalloc_inline_free() - pymalloc_free() without a call
 * @heap: the heap that it is from
 * @object: the object; NULL does nothing
 */
static inline void pymalloc_inline_free(struct pymalloc_heap *heap,
					void *object)
{
	const struct pymalloc_view *view = (const struct pymalloc_view *)heap;

	if (__builtin_expect(!pymalloc_push(pymalloc_mine(view), view, object),
			     0))
		pymalloc_free_slow(heap, object);
}

#ifdef __cplusplus
}
#endif

#endif /* _PYMALLOC_INLINE_H */
