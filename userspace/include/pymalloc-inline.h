/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pymalloc_malloc() and pymalloc_free() as inline functions, for programs whose profile
 * shows the calls.  They do the same, and cost the same but for the call: the
 * library's own functions are made from this file.
 *
 * They are about magazines.  A thread has a magazine for each size class of each heap that
 * it uses: a stack of free objects that belongs to this thread alone.  malloc() pops an
 * object, free() pushes one, and only an empty or a full magazine needs the library,
 * which fills or flushes it.
 *
 * An object in a magazine is marked: its first word is the address of the pool map, which
 * a program has no reason to store there.  If a marked object is freed, the library finds
 * out whether it is free already.  malloc() removes the mark.
 *
 * Programs that include this file are compiled with the layout of the two structs.  They
 * ask for the symbol version PYMALLOC_INLINE_2, which a library with another layout does
 * not have, so that they do not start with such a library.
 *
 * In C and C++, with a compiler that has __builtin_thread_pointer(): GCC 11 or clang 12,
 * or later.
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
 * @top: by class, the slot of the object that is popped next; the slots above it have
 *	the others, and after the one that was pushed first there is a NULL
 * @full: by class, what @top is when the magazine is full
 * @low_bits: by class, the bits of an address that are 0 where a block begins: those below
 *	the highest power of two that divides the block's size
 *
 * There is a magazine for each value that a byte of the pool map may have.  Those of 0 (no
 * blocks here) and of classes that the heap does not have are empty and full at the same
 * time.
 */
struct pymalloc_magazines {
	void **top[PYMALLOC_NR_CLASSES + 1];
	void **full[PYMALLOC_NR_CLASSES + 1];
	uintptr_t low_bits[PYMALLOC_NR_CLASSES + 1];
};

/**
 * struct pymalloc_view - the first part of a heap: what the functions here need to know
 * @base: where its window is mapped
 * @pool_map: where its pool map is mapped
 * @extent: bytes of the window that are mapped, from @base on; it grows before there are
 *	objects in the new part
 * @magazines: where a thread has the address of its magazines for this heap, as a distance
 *	from the thread pointer, which is the same in all threads; the address is never
 *	NULL, since a thread without magazines has some that are empty and full
 * @round: what to add to a size ...
 * @keep: ... and which bits to keep then, to get the size of the blocks of its class
 */
struct pymalloc_view {
	char *base;
	const __u8 *pool_map;
	size_t extent;
	ptrdiff_t magazines;
	size_t round;
	size_t keep;
};

/* What the two functions at the end of this file call if there is nothing to pop, or no room. */
PYMALLOC_API void *pymalloc_malloc_slow(struct pymalloc_heap *heap,
					size_t size);
PYMALLOC_API void pymalloc_free_slow(struct pymalloc_heap *heap, void *object);

/* An object's first word, which may alias whatever type the program stores there. */
struct pymalloc_word {
	const void *mark;
} __attribute__((__may_alias__));

/*
 * While a thread sleeps, the kernel may take objects from its magazines: any but the one
 * that @top is at, behind which it then writes a NULL.  That is right in every state that
 * a pop or a push may be in, as long as each of them reads @top and the slot itself, and
 * stores @top before the next one begins.  So both are volatile: a compiler that merged
 * two pops into one would hand out an object that the kernel has taken.
 */
#ifndef PYMALLOC_ONCE
#define PYMALLOC_ONCE(word)	(*(__typeof__(word) volatile *)&(word))
#endif

/*
 * Makes the compiler believe that @word may have changed.  It then changes the word in
 * memory, which is one instruction less than computing it from the value that it has read
 * before.  @object stays in its register and need not be copied.  Being volatile, it
 * keeps its place among what is read and written here.
 */
#define PYMALLOC_REREAD(word, object) \
	__asm__ volatile("" : "+m" (word), "+r" (object))

/*
 * After a push: whoever sees the new @top sees the object in its slot.  Where processors
 * store in order, that is so; elsewhere it takes a store of its own.
 */
#if defined(__x86_64__)
#define PYMALLOC_LOWER(word)	(--(word))
#else
#define PYMALLOC_LOWER(word)	\
	__atomic_store_n(&(word), (word) - 1, __ATOMIC_RELEASE)
#endif

/*
 * Pops an object; returns NULL if there is none.  @class_size: the bytes of a block, or 0.
 * It is also the distance of the class's entry in @top: classes are 8 bytes apart, and so
 * are pointers.
 */
static inline void *pymalloc_pop(struct pymalloc_magazines *magazines,
				 size_t class_size)
{
	void ***top = (void ***)((char *)magazines->top + class_size);
	void *object = PYMALLOC_ONCE(*PYMALLOC_ONCE(*top));

	if (__builtin_expect(!object, 0))
		return NULL;
	PYMALLOC_REREAD(*top, object);
	++*top;
	((struct pymalloc_word *)object)->mark = NULL;
	return object;
}

/* How far @object lies in the window; a huge number if it lies before it. */
static inline size_t pymalloc_offset(const struct pymalloc_view *view,
				     const void *object)
{
	return (uintptr_t)object - (uintptr_t)view->base;
}

/* Compares 32 bits only: that is enough, and compilers have one instruction for it. */
static inline bool pymalloc_is_misaligned(uintptr_t low_bits, const void *object)
{
	return (__u32)(uintptr_t)object & (__u32)low_bits;
}

/* Whether what begins in a pool is marked, as objects in magazines are. */
static inline bool pymalloc_is_marked(const struct pymalloc_view *view,
				      const void *object)
{
	return ((const struct pymalloc_word *)object)->mark == view->pool_map;
}

/*
 * Pushes an object; returns false if it has not, for the slow path to find out why.  Reads
 * of @extent need no barrier: the program got @object from an allocation, which happened after
 * the extent had grown.
 */
static inline bool pymalloc_push(struct pymalloc_magazines *magazines,
				 const struct pymalloc_view *view, void *object)
{
	size_t offset = pymalloc_offset(view, object);
	size_t index;
	void **top;

	if (__builtin_expect(offset >= view->extent, 0))
		return false;
	index = view->pool_map[offset / PYMALLOC_POOL_SIZE];
	top = PYMALLOC_ONCE(magazines->top[index]);
	if (__builtin_expect(pymalloc_is_misaligned(magazines->low_bits[index],
						    object), 0) ||
	    __builtin_expect(top == magazines->full[index], 0) ||
	    __builtin_expect(pymalloc_is_marked(view, object), 0))
		return false;
	((struct pymalloc_word *)object)->mark = view->pool_map;
	PYMALLOC_ONCE(top[-1]) = object;
	PYMALLOC_REREAD(magazines->top[index], object);
	PYMALLOC_LOWER(magazines->top[index]);
	return true;
}

/* The calling thread's magazines for this heap. */
static inline struct pymalloc_magazines *
pymalloc_mine(const struct pymalloc_view *view)
{
	char *thread = (char *)__builtin_thread_pointer();

	return *(struct pymalloc_magazines **)(thread + view->magazines);
}

/* Multiples of 16 are sizes of blocks in every heap: a constant one is known when compiled. */
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
