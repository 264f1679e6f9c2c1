// SPDX-License-Identifier: GPL-2.0
/* The kernel's checker, over whatever heaps this process has come to have. */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/pymalloc.h>

#include "bench.h"

#define DEVICE		"/dev/pymalloc"
#define HEAPS_MAX	64

static void check_heap(int device, __u64 id)
{
	struct pymalloc_open open = {
		.argsz = sizeof(open),
		.flags = PYMALLOC_OPEN_RDONLY,
		.id = id,
	};
	struct pymalloc_check check = { .argsz = sizeof(check) };
	int fd = ioctl(device, PYMALLOC_IOC_OPEN, &open);

	if (fd < 0 || ioctl(fd, PYMALLOC_IOC_CHECK, &check) < 0)
		err(1, "cannot check heap %llu", (unsigned long long)id);
	if (check.errors)
		errx(1, "heap %llu: %s", (unsigned long long)id, check.message);
	close(fd);
}

/* Returns how many there are. */
unsigned int check_heaps(void)
{
	struct pymalloc_heap_info heaps[HEAPS_MAX];
	struct pymalloc_list list = {
		.argsz = sizeof(list),
		.heaps = (uintptr_t)heaps,
		.count = HEAPS_MAX,
		.entry_size = sizeof(*heaps),
	};
	int device = open(DEVICE, O_RDWR | O_CLOEXEC);
	unsigned int found = 0;
	unsigned int i;

	if (device < 0 || ioctl(device, PYMALLOC_IOC_LIST, &list) < 0)
		err(1, DEVICE);
	for (i = 0; i < list.done; i++) {
		if (heaps[i].pid != getpid())
			continue;
		check_heap(device, heaps[i].id);
		found++;
	}
	close(device);
	return found;
}
