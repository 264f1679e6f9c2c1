/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stacks: memory that is given back to a mark, as a function's variables are.
 *
 * A thread has a stack for each heap that it wants one for.  Allocating there moves a pointer.
 * A mark remembers where that is, and a release takes it back: all that was allocated since
 * the mark is gone at once.  Marks nest, and are checked.
 *
 * The memory comes in chunks from the heap, as large objects, and counts there.  A thread keeps
 * its first chunk, of 64 KiB, and one more of at most 256 KiB, so that a program that allocates
 * and releases about as much each time makes no system call.  At the thread's end all go back.
 *
 * Only the thread that has got a stack may use it, and no signal's handler.  The thread that
 * calls fork() has its stacks in the child as well, with all that is on them.  What other
 * threads had on theirs stays allocated there, as their other objects do.
 *
 * Programs that include this file are compiled with the layout of the structs.  They ask for
 * the symbol version PYMALLOC_STACK_1.
 */
#ifndef _PYMALLOC_STACK_H
#define _PYMALLOC_STACK_H

#include <stddef.h>
#include <stdint.h>

#include <pymalloc.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What all objects on a stack are aligned to. */
#define PYMALLOC_STACK_ALIGNMENT	16

struct pymalloc_chunk;

/**
 * struct pymalloc_stack - a thread's stack in a heap
 * @top: where the next object begins
 * @end: the end of the chunk in which @top lies
 * @innermost: the number of the last mark that has not been released; 0 if there is none
 * @last: the number of the last mark that was made
 * @heap: the heap
 * @chunk: the chunk in which @top lies
 * @spare: a chunk that is kept for later, or NULL
 */
struct pymalloc_stack {
	char *top;
	char *end;
	size_t innermost;
	size_t last;
	struct pymalloc_heap *heap;
	struct pymalloc_chunk *chunk;
	struct pymalloc_chunk *spare;
};

/**
 * struct pymalloc_stack_mark - what a stack can be released to
 * @top: @top of the stack when the mark was made
 * @end: @end of the stack then
 * @number: the mark's number
 * @outer: that of the mark around it
 */
struct pymalloc_stack_mark {
	char *top;
	char *end;
	size_t number;
	size_t outer;
};

/**
 * pymalloc_stack_get() - the calling thread's stack in a heap
 * @heap: the heap
 *
 * The first call of a thread makes the stack, with its first chunk.  Later ones return the
 * same, until the thread or the heap ends.
 *
 * Return: the stack; or NULL and ENOMEM (also if the thread is at its end), ENOTSUP (the heap has
 * no magazines, as those after the first 16 of a process), or EPERM (the heap is sealed).
 */
PYMALLOC_API struct pymalloc_stack *pymalloc_stack_get(struct pymalloc_heap *heap);

/* What the functions below call if the chunk is not the right one. */
PYMALLOC_API void *pymalloc_stack_alloc_slow(struct pymalloc_stack *stack, size_t size);
PYMALLOC_API void pymalloc_stack_release_slow(struct pymalloc_stack *stack,
					      const struct pymalloc_stack_mark *mark);

/**
 * pymalloc_stack_mark() - remember how much there is on a stack
 * @stack: the calling thread's stack
 *
 * Return: the mark, for pymalloc_stack_release().
 */
static inline struct pymalloc_stack_mark pymalloc_stack_mark(struct pymalloc_stack *stack)
{
	struct pymalloc_stack_mark mark;

	mark.top = stack->top;
	mark.end = stack->end;
	mark.number = ++stack->last;
	mark.outer = stack->innermost;
	stack->innermost = mark.number;
	return mark;
}

/**
 * pymalloc_stack_alloc() - allocate an object on a stack
 * @stack: the calling thread's stack
 * @size: its size in bytes, up to PYMALLOC_SIZE_MAX less 16
 *
 * The bytes are undefined, and aligned to PYMALLOC_STACK_ALIGNMENT.  An object of 0 bytes has
 * an address that the next one may have, too.  It is gone when a mark is released that was
 * made before; pymalloc_free() must not see it.
 *
 * Return: the object; or NULL and ENOMEM, EPERM (the heap is sealed, and @size is not 0).
 */
static inline void *pymalloc_stack_alloc(struct pymalloc_stack *stack, size_t size)
{
	char *object = stack->top;

	/* Both ends are aligned, so what is left has room for the rounded size, too. */
	if (__builtin_expect(size > (size_t)(stack->end - object), 0))
		return pymalloc_stack_alloc_slow(stack, size);
	stack->top = (char *)(((uintptr_t)object + size + PYMALLOC_STACK_ALIGNMENT - 1) &
			      -(uintptr_t)PYMALLOC_STACK_ALIGNMENT);
	return object;
}

/**
 * pymalloc_stack_release() - give back all that was allocated since a mark
 * @stack: the stack of which the mark is
 * @mark: the last mark that was made and has not been released
 *
 * If it is another mark, the function of pymalloc_set_bad_release() is called, and nothing is
 * given back.  Keeps errno.
 */
static inline void pymalloc_stack_release(struct pymalloc_stack *stack,
					  const struct pymalloc_stack_mark *mark)
{
	if (__builtin_expect(mark->number != stack->innermost, 0) ||
	    __builtin_expect(mark->end != stack->end, 0)) {
		pymalloc_stack_release_slow(stack, mark);
		return;
	}
	stack->top = mark->top;
	stack->innermost = mark->outer;
}

/**
 * typedef pymalloc_bad_release_fn - what is to be done on a bad release
 * @stack: the stack
 * @mark: a mark that is not the last one, or not one of this stack, or has been released
 *
 * If it returns, nothing has been released.
 */
typedef void (*pymalloc_bad_release_fn)(struct pymalloc_stack *stack,
					const struct pymalloc_stack_mark *mark);

/**
 * pymalloc_set_bad_release() - set what is to be done on a bad release
 * @fn: the function; NULL for the default, which writes a line to stderr and aborts
 *
 * Return: what was set before, or NULL for the default.
 */
PYMALLOC_API pymalloc_bad_release_fn pymalloc_set_bad_release(pymalloc_bad_release_fn fn);

/* What pymalloc_stack_scope() declares. */
struct pymalloc_stack_scope {
	struct pymalloc_stack *stack;
	struct pymalloc_stack_mark mark;
};

static inline struct pymalloc_stack_scope
pymalloc_stack_scope_begin(struct pymalloc_stack *stack)
{
	struct pymalloc_stack_scope scope;

	scope.stack = stack;
	scope.mark = pymalloc_stack_mark(stack);
	return scope;
}

static inline void pymalloc_stack_scope_end(struct pymalloc_stack_scope *scope)
{
	pymalloc_stack_release(scope->stack, &scope->mark);
}

#define PYMALLOC_NAME_AT_(line)	pymalloc_stack_scope_at_##line
#define PYMALLOC_NAME_AT(line)	PYMALLOC_NAME_AT_(line)

/**
 * pymalloc_stack_scope() - release a stack where a block of the program ends
 * @stack: the calling thread's stack
 *
 * Stands where a variable may be declared.  What is allocated after it goes when the program
 * leaves the block, by return, break or goto as well; not by longjmp().
 */
#define pymalloc_stack_scope(stack) \
	struct pymalloc_stack_scope PYMALLOC_NAME_AT(__LINE__) \
		__attribute__((__cleanup__(pymalloc_stack_scope_end), __unused__)) = \
		pymalloc_stack_scope_begin(stack)

#ifdef __cplusplus
}
#endif

#endif /* _PYMALLOC_STACK_H */
