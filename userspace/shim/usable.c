// SPDX-License-Identifier: LGPL-2.1-or-later
/* malloc_usable_size(): the one of the C library's that has no second name. */
#include <dlfcn.h>
#include <malloc.h>

#include "shim.h"

typedef size_t (*usable_fn)(void *object);

/* dlsym() may allocate, which is no recursion: nothing allocates by this. */
static usable_fn libc_usable(void)
{
	static usable_fn found;
	usable_fn usable = __atomic_load_n(&found, __ATOMIC_ACQUIRE);

	if (!usable) {
		usable = (usable_fn)dlsym(RTLD_NEXT, "malloc_usable_size");
		__atomic_store_n(&found, usable, __ATOMIC_RELEASE);
	}
	return usable;
}

PYMALLOC_API size_t malloc_usable_size(void *object)
{
	if (shim_owns(object))
		return shim_debug ? shim_debug_usable(object) :
				    shim_usable(object);
	return libc_usable()(object);
}
