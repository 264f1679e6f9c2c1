// SPDX-License-Identifier: LGPL-2.1-or-later
/* Entering a sandbox: first comes all that needs system calls which it forbids. */
#include <pymalloc.h>

#include "enter.h"
#include "sandbox.h"
#include "thread.h"
#include "typelist.h"

/**
 * pyml_enter() - prepare for a sandbox that the calling thread is about to enter
 *
 * pyml_sandbox_cancel() undoes it if that fails.
 */
void pyml_enter(void)
{
	if (!pyml_in_sandbox()) {
		if (pyml_sandbox_is_inherited())
			pyml_sandbox_start();
		pyml_caches_prepare();
		pyml_types_prepare();
	}
	pyml_sandbox_begin();
}

void pymalloc_enter_sandbox(void)
{
	pyml_enter();
}
