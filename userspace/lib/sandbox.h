/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether the process is in a sandbox, and the system calls that a sandbox forbids. */
#ifndef _PYML_SANDBOX_H
#define _PYML_SANDBOX_H

#include <pthread.h>
#include <stdbool.h>

#pragma GCC visibility push(hidden)

bool pyml_in_sandbox(void);
bool pyml_begin_calls(void);
void pyml_end_calls(void);
bool pyml_lock_patiently(pthread_mutex_t *lock);
void pyml_sandbox_start(void);
bool pyml_sandbox_is_inherited(void);
void pyml_sandbox_begin(void);
void pyml_sandbox_cancel(void);

#pragma GCC visibility pop

#endif /* _PYML_SANDBOX_H */
