// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Spares: objects of 1 to 2 KiB that a thread has freed, one of each size, kept for its
 * next allocation of that size.
 *
 * They are the C library's, whose own caches of threads end just below these sizes: from
 * there on it merges and splits chunks, which takes some 300 instructions for a malloc()
 * and a free().  A program that needs such an object for a moment often needs it again:
 * each call of CPython's re does.
 */
#include <malloc.h>
#include <pthread.h>

#include "libc.h"
#include "report.h"
#include "shim.h"
#include "spare.h"

/* Usable bytes of the smallest object that the C library does not cache: glibc's tcache. */
#define LEAST	1048
/* glibc's sizes are so many bytes apart. */
#define STEP	16
/*
 * Of so many sizes a spare is kept: up to 2056 bytes.  A thread keeps at most 97 KiB in them;
 * larger objects are allocated less often, and what they are filled with costs more.
 */
#define NR	64

/* The calling thread's.  Of the one at place n, LEAST + n * STEP bytes are usable. */
static __thread void *spares[NR];
/* Whether the calling thread has kept one, which is to be freed at its end. */
static __thread enum { NEW, KEEPING, GONE } thread_state;

static pthread_key_t exit_key;
/* The C library's malloc_usable_size(); NULL before there is the key for a thread's end. */
static shim_usable_fn usable_size;

/* Where a spare of so many usable bytes is kept; not at all if this is NR or more. */
static size_t place_of(size_t usable)
{
	return (usable - LEAST) / STEP;
}

/**
 * shim_free_spares() - free the calling thread's spares
 */
void shim_free_spares(void)
{
	size_t i;

	for (i = 0; i < NR; i++) {
		__libc_free(spares[i]);
		spares[i] = NULL;
	}
}

static void free_spares_at_exit(void *unused)
{
	(void)unused;
	thread_state = GONE;
	shim_free_spares();
}

static __attribute__((constructor)) void start_spares(void)
{
	if (!pthread_key_create(&exit_key, free_spares_at_exit))
		usable_size = shim_libc_usable();
}

/**
 * shim_malloc_large() - allocate what is too large for a block
 * @size: bytes
 *
 * The usable bytes of the C library's objects are 8 more than a multiple of STEP.
 *
 * Return: the object; or NULL and ENOMEM.
 */
void *shim_malloc_large(size_t size)
{
	size_t place = place_of(((size + 7) & -STEP) + 8);
	void *object;

	if (place >= NR || !spares[place])
		return __libc_malloc(size);
	object = spares[place];
	spares[place] = NULL;
	return object;
}

/*
 * Not in the debug modes, nor without the service: the view is empty then.  And not what is
 * misaligned, for the C library to report.
 */
static bool may_keep(const void *object)
{
	return usable_size && shim_view.extent && thread_state != GONE &&
	       (uintptr_t)object % STEP == 0;
}

/* Returns false if it is not kept, and is to be freed. */
static bool keep_spare(void *object)
{
	size_t place;

	if (!may_keep(object))
		return false;
	place = place_of(usable_size(object));
	if (place >= NR)
		return false;
	if (spares[place] == object) {
		pyml_bad_free(shim_heap, object, PYMALLOC_REF_FREE);
		return true;
	}
	if (spares[place])
		return false;
	spares[place] = object;
	if (thread_state == NEW) {
		thread_state = KEEPING;
		pthread_setspecific(exit_key, &exit_key);
	}
	return true;
}

/**
 * shim_free_large() - free an object of the C library's
 * @object: the object
 */
void shim_free_large(void *object)
{
	if (!keep_spare(object))
		__libc_free(object);
}
