/* SPDX-License-Identifier: GPL-2.0 */
/* For programs that test the malloc shim: they start themselves again on it. */
#ifndef SELFTESTS_ON_SHIM_H
#define SELFTESTS_ON_SHIM_H

#include <libgen.h>
#include <stdio.h>
#include <unistd.h>

#include <kselftest.h>

/* The command lies where it was built, in ../../userspace from here. */
static inline void run_on_the_shim(const char *self)
{
	char path[4096] = "", command[4200];

	if (readlink("/proc/self/exe", path, sizeof(path) - 1) < 0)
		ksft_exit_fail_msg("/proc/self/exe: %m\n");
	snprintf(command, sizeof(command), "%s/../../userspace/pymalloc",
		 dirname(path));
	execl(command, "pymalloc", "run", "--", self, "on the shim", NULL);
	ksft_exit_fail_msg("%s: %m\n", command);
}

#endif /* SELFTESTS_ON_SHIM_H */
