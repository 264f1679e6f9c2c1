// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The C library's functions that have no second name.
 * A program may be linked with another allocator, which would be next in line,
 * and knows nothing of objects that the C library has made for the shim.
 */
#include <dlfcn.h>
#include <gnu/lib-names.h>

#include "libc.h"
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

typedef void *(*dlopen_fn)(const char *file, int flags);

static dlopen_fn libc_dlopen(void)
{
	static dlopen_fn found;
	dlopen_fn open = __atomic_load_n(&found, __ATOMIC_ACQUIRE);

	if (!open) {
		open = (dlopen_fn)dlsym(RTLD_NEXT, "dlopen");
		__atomic_store_n(&found, open, __ATOMIC_RELEASE);
	}
	return open;
}

/*
 * dlopen() without RTLD_DEEPBIND.  A library loaded with it finds the C
 * library's free() before the shim's, and would pass it what strdup() and its
 * like have from the shim's malloc().
 *
 * The C library looks at the address that it returns to: the caller's RUNPATH
 * decides where a library is searched.  The compiler makes a jump of this call.
 */
PYMALLOC_API void *dlopen(const char *file, int flags)
{
	if (shim_has_heap())
		flags &= ~RTLD_DEEPBIND;
	return libc_dlopen()(file, flags);
}
