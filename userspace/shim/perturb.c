// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * MALLOC_PERTURB_ in the environment, as in the C library: what is freed is filled with
 * that byte, and what is allocated with its complement.  The fast paths do no work for it:
 * their view and their magazines stay empty, so that all objects take the slow path.
 */
#include <stdlib.h>
#include <string.h>

#include "perturb.h"

/* The byte; 0 if nothing is filled.  Set once, before the heap is there. */
__u8 shim_perturb;

/**
 * shim_perturb_choose() - read the byte from the environment
 */
void shim_perturb_choose(void)
{
	const char *value = getenv("MALLOC_PERTURB_");

	if (value)
		shim_perturb = strtoul(value, NULL, 0);
}

/**
 * shim_perturb_malloc() - allocate an object and fill it
 * @size: bytes
 *
 * Return: the object; or NULL if the service has no memory.
 */
void *shim_perturb_malloc(size_t size)
{
	void *object = pymalloc_malloc(shim_heap, size);

	return object ? memset(object, ~shim_perturb, size) : NULL;
}

/**
 * shim_perturb_free() - fill an object and free it
 * @object: the object
 */
void shim_perturb_free(void *object)
{
	memset(object, shim_perturb, shim_usable(object));
	pymalloc_free(shim_heap, object);
}
