// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The C library's own functions, where they have no second name by which to call them.
 *
 * RTLD_NEXT is no way to malloc_usable_size() and its like: a program may be linked with
 * another allocator, which would be next in line and knows nothing of objects that the
 * C library has made for the shim.
 */
#include <dlfcn.h>
#include <gnu/lib-names.h>

#include "libc.h"
#include "shim.h"

/**
 * shim_libc() - find a function of the C library
 * @name: its name
 *
 * May allocate.  That is no recursion, because malloc() and free() do not come here.
 *
 * Return: the function; NULL if this C library does not have it.
 */
void *shim_libc(const char *name)
{
	void *libc = dlopen(LIBC_SO, RTLD_LAZY | RTLD_NOLOAD);
	void *function = dlsym(libc, name);

	dlclose(libc);
	return function;
}

/**
 * shim_libc_usable() - the C library's malloc_usable_size()
 *
 * Several threads may look it up at the same time, and find the same.
 *
 * Return: the function.
 */
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
 * dlopen() without RTLD_DEEPBIND.  A library that is loaded with that flag finds the C
 * library's free() before the shim's, and would give it objects that strdup() and its like
 * have allocated with the shim's malloc().
 *
 * The C library finds its caller by the address to which it returns: the caller's
 * RUNPATH decides where a library is searched for.  That is still the program's, because
 * the compiler makes a jump of the call here.
 */
PYMALLOC_API void *dlopen(const char *file, int flags)
{
	if (shim_has_heap())
		flags &= ~RTLD_DEEPBIND;
	return libc_dlopen()(file, flags);
}
