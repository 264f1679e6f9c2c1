/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The debug modes: objects between guards. */
#ifndef _SHIM_DEBUG_H
#define _SHIM_DEBUG_H

#include "guard.h"

#pragma GCC visibility push(hidden)

/**
 * enum shim_debug - which debug mode there is
 * @SHIM_NO_DEBUG: none
 * @SHIM_GUARDS: guards around objects
 * @SHIM_STRICT: the same, and the kernel judges each free at once
 */
extern enum shim_debug {
	SHIM_NO_DEBUG,
	SHIM_GUARDS,
	SHIM_STRICT,
} shim_debug;

void shim_debug_choose(void);
void shim_debug_start(void);
void *shim_debug_malloc(size_t size, size_t alignment);
struct guarded *shim_debug_check(const char *function, void *object);
void shim_debug_release(void *object, struct guarded *block);
void shim_debug_free(void *object);
size_t shim_debug_usable(void *object);

#pragma GCC visibility pop

#endif /* _SHIM_DEBUG_H */
