// SPDX-License-Identifier: LGPL-2.1-or-later
/* What the library writes to stderr, and what happens on a bad free or a bad release. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "report.h"

/**
 * pyml_say() - write a line to stderr
 * @format: as printf()'s
 *
 * Without stdio's streams, which allocate.  Cut at 159 characters.
 */
void pyml_say(const char *format, ...)
{
	/* Two lines of a terminal: no message is longer, unless a path in it is. */
	char line[160];
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (length >= (int)sizeof(line))
		length = sizeof(line) - 1;
	/* If stderr is closed, there is no other place to say so. */
	if (length > 0 && write(STDERR_FILENO, line, length) < 0)
		return;
}

/**
 * pyml_describe_bad() - what is wrong with a ref, in words
 * @status: enum pymalloc_ref_status
 *
 * Return: the words.
 */
const char *pyml_describe_bad(unsigned int status)
{
	switch (status) {
	case PYMALLOC_REF_FREE:
		return "double free";
	case PYMALLOC_REF_UNTOUCHED:
		return "never allocated";
	case PYMALLOC_REF_MISALIGNED:
		return "not the start of an object";
	case PYMALLOC_REF_FOREIGN:
		return "no object is there";
	case PYMALLOC_REF_SEALED:
		return "the heap is sealed";
	default:
		return "not in the heap";
	}
}

static void abort_on_bad_free(struct pymalloc_heap *heap, void *object,
			      unsigned int status)
{
	(void)heap;
	pyml_say("free(): invalid pointer %p: %s\n", object,
		 pyml_describe_bad(status));
	abort();
}

static void abort_on_bad_release(struct pymalloc_stack *stack,
				 const struct pymalloc_stack_mark *mark)
{
	pyml_say("pymalloc_stack_release(): mark %zu is not the last one of its stack (%zu)\n",
		 mark->number, stack->innermost);
	abort();
}

static pymalloc_bad_release_fn bad_release = abort_on_bad_release;

/**
 * pyml_bad_release() - do what the program wants to be done about a bad release
 * @stack: the stack
 * @mark: what it was to be released to
 *
 * The default does not return.
 */
void pyml_bad_release(struct pymalloc_stack *stack, const struct pymalloc_stack_mark *mark)
{
	__atomic_load_n(&bad_release, __ATOMIC_ACQUIRE)(stack, mark);
}

pymalloc_bad_release_fn pymalloc_set_bad_release(pymalloc_bad_release_fn fn)
{
	pymalloc_bad_release_fn old;

	/* Pairs with pyml_bad_release(). */
	old = __atomic_exchange_n(&bad_release, fn ? fn : abort_on_bad_release,
				  __ATOMIC_ACQ_REL);
	return old == abort_on_bad_release ? NULL : old;
}

static pymalloc_bad_free_fn bad_free = abort_on_bad_free;
static __thread unsigned int nr_bad_frees __attribute__((tls_model("initial-exec")));

/**
 * pyml_nr_bad_frees() - how many bad frees have been reported in the calling thread
 *
 * Return: their number, modulo 2^32.
 */
unsigned int pyml_nr_bad_frees(void)
{
	return nr_bad_frees;
}

/**
 * pyml_bad_free() - do what the program wants to be done about a bad free
 * @heap: the heap
 * @object: what was freed
 * @status: enum pymalloc_ref_status
 *
 * The default does not return.  The acquire pairs with pymalloc_set_bad_free(): what the
 * program prepared for its function is there.
 */
void pyml_bad_free(struct pymalloc_heap *heap, void *object,
		   unsigned int status)
{
	nr_bad_frees++;
	__atomic_load_n(&bad_free, __ATOMIC_ACQUIRE)(heap, object, status);
}

pymalloc_bad_free_fn pymalloc_set_bad_free(pymalloc_bad_free_fn fn)
{
	pymalloc_bad_free_fn old;

	/* Pairs with pyml_bad_free(). */
	old = __atomic_exchange_n(&bad_free, fn ? fn : abort_on_bad_free,
				  __ATOMIC_ACQ_REL);
	return old == abort_on_bad_free ? NULL : old;
}
