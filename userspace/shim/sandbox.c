// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * prctl() and syscall(): the ways into a seccomp sandbox, in which ioctl() may be forbidden.
 * The library changes over to read() and write() when one is about to be entered.
 */
#include <errno.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "enter.h"
#include "sandbox.h"
#include "shim.h"
#include "start.h"
#include "syscall.h"

/* As the C library's wrapper returns it. */
static long finish_call(long result)
{
	if (!pyml_syscall_failed(result))
		return result;
	errno = -result;
	return -1;
}

/* Before the call, because other threads may be in the sandbox as well when it returns. */
static void prepare_sandbox(void)
{
	int saved = errno;

	shim_start();
	pyml_enter();
	errno = saved;
}

/*
 * A positive result may mean that another thread could not enter the sandbox.  Nothing is
 * cancelled then: read() and write() do as well outside of it.
 */
static long enter_sandbox(long number, const long *args)
{
	long result;

	prepare_sandbox();
	result = pyml_syscall(number, args);
	if (pyml_syscall_failed(result))
		pyml_sandbox_cancel();
	return result;
}

static bool is_entry(long number, const long *args)
{
	if (number == SYS_prctl)
		return args[0] == PR_SET_SECCOMP;
	return number == SYS_seccomp && (args[0] == SECCOMP_SET_MODE_STRICT ||
					 args[0] == SECCOMP_SET_MODE_FILTER);
}

static inline void take_arguments(long *args, int count, va_list more)
{
	int i;

#pragma GCC unroll 6
	for (i = 0; i < count; i++)
		args[i] = va_arg(more, long);
}

static inline long make_call(long number, const long *args)
{
	if (unlikely(is_entry(number, args)))
		return finish_call(enter_sandbox(number, args));
	return finish_call(pyml_syscall(number, args));
}

PYMALLOC_API int prctl(int option, ...)
{
	long args[6] = { option };
	va_list more;

	va_start(more, option);
	take_arguments(args + 1, 4, more);
	va_end(more);
	return make_call(SYS_prctl, args);
}

PYMALLOC_API long syscall(long number, ...)
{
	long args[6];
	va_list more;

	va_start(more, number);
	take_arguments(args, 6, more);
	va_end(more);
	return make_call(number, args);
}
