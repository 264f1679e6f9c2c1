// SPDX-License-Identifier: LGPL-2.1-or-later
/* The way into a sandbox: what needs other system calls is done before. */
#include <pymalloc.h>

#include "enter.h"
#include "sandbox.h"
#include "thread.h"

/*
 * The caller is about to enter a sandbox: heaps get back descriptors that are lost,
 * and the caller its magazines.
 */
void pyml_enter(void)
{
	if (!pyml_in_sandbox()) {
		if (pyml_sandbox_is_inherited())
			pyml_sandbox_start();
		pyml_caches_prepare();
	}
	pyml_sandbox_begin();
}

void pymalloc_enter_sandbox(void)
{
	pyml_enter();
}
