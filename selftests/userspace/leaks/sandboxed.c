// SPDX-License-Identifier: GPL-2.0
/* Allocates first when it has entered a sandbox, which ends it for almost any system call. */
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	void *volatile object;

	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
		return 1;
	object = malloc(40);
	syscall(SYS_exit, !object);
}
