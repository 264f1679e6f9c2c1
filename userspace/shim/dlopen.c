// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * dlopen() without RTLD_DEEPBIND.  A library loaded with it finds the C
 * library's free() before the shim's, and would pass it what strdup() and its
 * like have from the shim's malloc().
 */
#include <dlfcn.h>

#include "shim.h"

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
 * The C library looks at the address that it returns to: the caller's RUNPATH
 * decides where a library is searched.  The compiler makes a jump of this call.
 */
PYMALLOC_API void *dlopen(const char *file, int flags)
{
	if (shim_has_heap())
		flags &= ~RTLD_DEEPBIND;
	return libc_dlopen()(file, flags);
}
