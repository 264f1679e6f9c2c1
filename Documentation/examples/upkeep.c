// SPDX-License-Identifier: LGPL-2.1-or-later
/* A heap of the library that gives memory back sooner, and lets no pools share pages. */
#include <err.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include <pymalloc.h>

int main(void)
{
	struct pymalloc_heap *heap = pymalloc_heap_create(NULL);
	struct pymalloc_policy policy = { .argsz = sizeof(policy) };
	int fd;

	if (!heap)
		err(1, "no heap");
	fd = pymalloc_heap_fd(heap);
	/* What is in force, so that the rest of it can stay. */
	if (ioctl(fd, PYMALLOC_IOC_POLICY, &policy) < 0)
		err(1, "no policy");
	policy.flags = PYMALLOC_POLICY_SET;
	policy.decay_ms = 500;
	policy.off |= PYMALLOC_POLICY_NO_MESH;
	if (ioctl(fd, PYMALLOC_IOC_POLICY, &policy) < 0)
		err(1, "policy not set");
	printf("every %u ms; of empty pools, %llu bytes stay; off: %#x\n",
	       policy.decay_ms, policy.keep_bytes, policy.off);
	pymalloc_heap_destroy(heap);
	return 0;
}
