// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * MALLOC_PERTURB_ in the environment, as the C library has it: what is allocated
 * is filled with the complement of a byte, and what is freed with the byte.  The
 * fast path sees nothing of it: its view and its magazines stay empty.
 */
#include <stdlib.h>
#include <string.h>

#include "perturb.h"

/* 0 if nothing is filled. */
__u8 shim_perturb;

/* As the environment says. */
void shim_perturb_choose(void)
{
	const char *value = getenv("MALLOC_PERTURB_");

	if (value)
		shim_perturb = strtoul(value, NULL, 0);
}

void *shim_perturb_malloc(size_t size)
{
	void *object = pymalloc_malloc(shim_heap, size);

	return object ? memset(object, ~shim_perturb, size) : NULL;
}

void shim_perturb_free(void *object)
{
	memset(object, shim_perturb, shim_usable(object));
	pymalloc_free(shim_heap, object);
}
