// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Spares: objects of 1 to 2 KiB that a thread has freed, one of each size, for
 * its next allocation of that size.
 *
 * They are the C library's, whose own caches of threads end just below: from
 * there on it merges and splits chunks, at some 300 instructions for a malloc()
 * and a free().  A program that needs such an object for a moment mostly needs
 * it often: each call of CPython's re does.
 */
#include <malloc.h>
#include <pthread.h>

#include "libc.h"
#include "report.h"
#include "shim.h"
#include "spare.h"

/* Usable bytes of the smallest object that the C library does not cache. */
#define LEAST	1048
/* Its sizes from there on: the distance of two, and of how many a spare is kept. */
#define STEP	16
#define NR	64

/* The calling thread's; LEAST + n * STEP bytes of that at place n are usable. */
static __thread void *spares[NR];
/* How far its life has come: it has to give them back at its end. */
static __thread enum { NEW, KEEPING, GONE } thread_state;

static pthread_key_t exit_key;
/* malloc_usable_size(), or NULL as long as nothing can be kept. */
static shim_usable_fn usable_size;

/* Where a spare of so many usable bytes is kept; NR or more: nowhere. */
static size_t place_of(size_t usable)
{
	return (usable - LEAST) / STEP;
}

/* The calling thread's. */
void shim_free_spares(void)
{
	size_t i;

	for (i = 0; i < NR; i++) {
		__libc_free(spares[i]);
		spares[i] = NULL;
	}
}

static void on_thread_exit(void *unused)
{
	(void)unused;
	thread_state = GONE;
	shim_free_spares();
}

static __attribute__((constructor)) void start(void)
{
	if (!pthread_key_create(&exit_key, on_thread_exit))
		usable_size = shim_libc_usable();
}

/* What is more than a block: usable bytes are a multiple of STEP, and 8. */
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

/* Not in the debug modes, nor without the service: the view is empty then. */
static bool may_keep(const void *object)
{
	return usable_size && shim_view.extent && thread_state != GONE &&
	       (uintptr_t)object % STEP == 0;
}

/* Returns false if it is to be freed. */
static bool keep(void *object)
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

/* Frees what is the C library's. */
void shim_free_large(void *object)
{
	if (!keep(object))
		__libc_free(object);
}
