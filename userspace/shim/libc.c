// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * malloc_usable_size(), and the C library's functions that have no second name.
 * A program may be linked with another allocator, which would be next in line,
 * and knows nothing of objects that the C library has made for the shim.
 */
#include <dlfcn.h>
#include <gnu/lib-names.h>
#include <malloc.h>

#include "shim.h"

/* May allocate, which is no recursion: nothing allocates by these. */
void *shim_libc(const char *name)
{
	void *libc = dlopen(LIBC_SO, RTLD_LAZY | RTLD_NOLOAD);
	void *function = dlsym(libc, name);

	dlclose(libc);
	return function;
}

/* The C library's malloc_usable_size(). */
shim_usable_fn shim_libc_usable(void)
{
	static shim_usable_fn found;
	shim_usable_fn usable = __atomic_load_n(&found, __ATOMIC_ACQUIRE);

	if (!usable) {
		usable = (shim_usable_fn)shim_libc("malloc_usable_size");
		__atomic_store_n(&found, usable, __ATOMIC_RELEASE);
	}
	return usable;
}

PYMALLOC_API size_t malloc_usable_size(void *object)
{
	if (shim_owns(object))
		return shim_debug ? shim_debug_usable(object) :
				    shim_usable(object);
	return shim_libc_usable()(object);
}
