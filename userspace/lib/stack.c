// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Stacks: their chunks.  The fast paths are in pymalloc-stack.h; here is what happens when a
 * chunk is full, and when a release leaves it.
 */
#include <errno.h>
#include <stdlib.h>

#include "call.h"
#include "report.h"
#include "stack.h"
#include "trace.h"

/* Bytes of a chunk, unless an object needs more: a call for each 16 pages. */
#define CHUNK_BYTES	((size_t)64 * 1024)
/* A chunk of more bytes is not kept for later. */
#define SPARE_BYTES	((size_t)256 * 1024)

/**
 * struct pymalloc_chunk - a large object on which a part of a stack lies: its first bytes
 * @below: the chunk that was used before; NULL for the first one
 * @end: its end
 */
struct pymalloc_chunk {
	struct pymalloc_chunk *below;
	char *end;
} __attribute__((aligned(PYMALLOC_STACK_ALIGNMENT)));

static char *first_of(struct pymalloc_chunk *chunk)
{
	return (char *)(chunk + 1);
}

static size_t bytes_of(const struct pymalloc_chunk *chunk)
{
	return chunk->end - (const char *)chunk;
}

/* Makes a chunk with room for @size bytes; NULL and ENOMEM. */
static struct pymalloc_chunk *make_chunk(struct pymalloc_heap *heap, size_t size)
{
	struct pymalloc_chunk *chunk;
	size_t bytes = CHUNK_BYTES;
	__u64 ref;

	if (size > PYMALLOC_SIZE_MAX - sizeof(*chunk)) {
		errno = ENOMEM;
		return NULL;
	}
	if (size > bytes - sizeof(*chunk))
		bytes = (size + sizeof(*chunk) + PYMALLOC_POOL_SIZE - 1) &
			-(size_t)PYMALLOC_POOL_SIZE;
	if (!pyml_call_alloc(heap, bytes, 0, &ref, 1))
		return NULL;
	chunk = (struct pymalloc_chunk *)(heap->view.base + ref);
	chunk->end = (char *)chunk + bytes;
	if (heap->trace)
		pyml_trace_run(heap, chunk);
	return chunk;
}

/* @chunk may be NULL. */
static void free_chunk(struct pymalloc_heap *heap, struct pymalloc_chunk *chunk)
{
	__u64 ref = pyml_ref(heap, chunk);
	__u8 status;

	if (!chunk)
		return;
	if (heap->trace)
		pyml_trace_freed(heap, chunk);
	pyml_call_free(heap, &ref, &status, 1);
}

static void push_chunk(struct pymalloc_stack *stack, struct pymalloc_chunk *chunk)
{
	chunk->below = stack->chunk;
	stack->chunk = chunk;
	stack->top = first_of(chunk);
	stack->end = chunk->end;
}

/* Of a chunk that is left and the one that is kept, the larger one is kept, if that may be. */
static void keep_chunk(struct pymalloc_stack *stack, struct pymalloc_chunk *chunk)
{
	struct pymalloc_chunk *spare = stack->spare;

	if (bytes_of(chunk) <= SPARE_BYTES && (!spare || bytes_of(chunk) > bytes_of(spare))) {
		stack->spare = chunk;
		chunk = spare;
	}
	free_chunk(stack->heap, chunk);
}

/**
 * pymalloc_stack_alloc_slow() - what pymalloc_stack_alloc() does if the chunk is full
 * @stack: the stack
 * @size: bytes
 *
 * Return: as there.
 */
void *pymalloc_stack_alloc_slow(struct pymalloc_stack *stack, size_t size)
{
	struct pymalloc_chunk *chunk = stack->spare;

	if (unlikely(stack->heap->sealed)) {
		errno = EPERM;
		return NULL;
	}
	if (chunk && size <= bytes_of(chunk) - sizeof(*chunk))
		stack->spare = NULL;
	else
		chunk = make_chunk(stack->heap, size);
	if (!chunk)
		return NULL;
	push_chunk(stack, chunk);
	return pymalloc_stack_alloc(stack, size);
}

static bool has_chunk_of(const struct pymalloc_stack *stack,
			 const struct pymalloc_stack_mark *mark)
{
	const struct pymalloc_chunk *chunk = stack->chunk;

	while (chunk && chunk->end != mark->end)
		chunk = chunk->below;
	return chunk;
}

/**
 * pymalloc_stack_release_slow() - what pymalloc_stack_release() does if the mark is a wrong one,
 * or in another chunk
 * @stack: the stack
 * @mark: the mark
 */
void pymalloc_stack_release_slow(struct pymalloc_stack *stack,
				 const struct pymalloc_stack_mark *mark)
{
	if (mark->number != stack->innermost || !has_chunk_of(stack, mark)) {
		pyml_bad_release(stack, mark);
		return;
	}
	if (stack->heap->sealed) {
		stack->innermost = mark->outer;
		return;
	}
	while (stack->chunk->end != mark->end) {
		struct pymalloc_chunk *chunk = stack->chunk;

		stack->chunk = chunk->below;
		keep_chunk(stack, chunk);
	}
	stack->top = mark->top;
	stack->end = mark->end;
	stack->innermost = mark->outer;
}

/**
 * pyml_stack_begin() - see that a stack has its first chunk
 * @stack: the stack, which is zero if it has never been used
 * @heap: its heap
 *
 * Return: the stack; or NULL and ENOMEM, EPERM (the heap is sealed).
 */
struct pymalloc_stack *pyml_stack_begin(struct pymalloc_stack *stack, struct pymalloc_heap *heap)
{
	struct pymalloc_chunk *chunk;

	if (stack->chunk)
		return stack;
	if (heap->sealed) {
		errno = EPERM;
		return NULL;
	}
	chunk = make_chunk(heap, 0);
	if (!chunk)
		return NULL;
	stack->heap = heap;
	push_chunk(stack, chunk);
	return stack;
}

/**
 * pyml_stack_close() - have nothing come on a stack any more, whose heap is sealed
 * @stack: the stack, which no thread is using, and which may never have been used
 *
 * All but objects of no bytes take the slow path from now on.  So does the release of a mark that
 * was made before.
 */
void pyml_stack_close(struct pymalloc_stack *stack)
{
	if (stack->chunk) {
		/* Where no mark is from. */
		stack->top = first_of(stack->chunk);
		stack->end = stack->top;
	}
}

/**
 * pyml_stack_end() - give back the memory of a stack whose thread ends
 * @stack: the stack, which may never have been used
 */
void pyml_stack_end(struct pymalloc_stack *stack)
{
	struct pymalloc_chunk *chunk;

	/* What is in a sealed heap stays. */
	if (!stack->chunk || stack->heap->sealed)
		return;
	free_chunk(stack->heap, stack->spare);
	while ((chunk = stack->chunk)) {
		stack->chunk = chunk->below;
		free_chunk(stack->heap, chunk);
	}
}
