// SPDX-License-Identifier: GPL-2.0
/* What the kernel reports about the heaps of this process. */
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/pymalloc.h>

#include "bench.h"

#define DEVICE		"/dev/pymalloc"
#define HEAPS_MAX	64

static int open_device(void)
{
	int device = open(DEVICE, O_RDWR | O_CLOEXEC);

	if (device < 0)
		err(1, DEVICE);
	return device;
}

static int open_heap(int device, __u64 id)
{
	struct pymalloc_open open = {
		.argsz = sizeof(open),
		.flags = PYMALLOC_OPEN_RDONLY,
		.id = id,
	};
	int fd = ioctl(device, PYMALLOC_IOC_OPEN, &open);

	if (fd < 0)
		err(1, "heap %llu", (unsigned long long)id);
	return fd;
}

typedef void look_fn(int heap, void *data);

/* Calls @look for each heap of this process, and returns how many there are. */
static unsigned int look_at_heaps(look_fn *look, void *data)
{
	struct pymalloc_heap_info heaps[HEAPS_MAX];
	struct pymalloc_list list = {
		.argsz = sizeof(list),
		.heaps = (uintptr_t)heaps,
		.count = HEAPS_MAX,
		.entry_size = sizeof(*heaps),
	};
	int device = open_device();
	unsigned int found = 0;
	unsigned int i;

	if (ioctl(device, PYMALLOC_IOC_LIST, &list) < 0)
		err(1, DEVICE);
	for (i = 0; i < list.done; i++) {
		int heap;

		if (heaps[i].pid != getpid())
			continue;
		heap = open_heap(device, heaps[i].id);
		look(heap, data);
		close(heap);
		found++;
	}
	close(device);
	return found;
}

static void check_heap(int heap, void *data)
{
	struct pymalloc_check check = { .argsz = sizeof(check) };

	(void)data;
	if (ioctl(heap, PYMALLOC_IOC_CHECK, &check) < 0)
		err(1, "cannot check a heap");
	if (check.errors)
		errx(1, "a heap is not sound: %s", check.message);
}

unsigned int check_heaps(void)
{
	return look_at_heaps(check_heap, NULL);
}

static void add_metadata(int heap, void *data)
{
	struct pymalloc_stats stats = { .argsz = sizeof(stats) };
	size_t *total = data;

	if (ioctl(heap, PYMALLOC_IOC_STATS, &stats) < 0)
		err(1, "no figures of a heap");
	*total += stats.meta_bytes;
}

size_t metadata_bytes(void)
{
	size_t total = 0;

	look_at_heaps(add_metadata, &total);
	return total;
}

static struct pymalloc_info get_info(int device)
{
	struct pymalloc_info info = { .argsz = sizeof(info) };

	if (ioctl(device, PYMALLOC_IOC_INFO, &info) < 0)
		err(1, DEVICE);
	return info;
}

size_t heap_bytes(void)
{
	int device = open_device();
	struct pymalloc_info info = get_info(device);

	close(device);
	return info.user_bytes - info.user_meta_bytes;
}

static int lives(const struct pymalloc_heap_info *heap)
{
	return heap->uid == geteuid() && heap->pid > 0 && !kill(heap->pid, 0);
}

/* The number of this user's heaps whose processes are still alive. */
static unsigned int count_living(int device)
{
	struct pymalloc_heap_info heap;
	struct pymalloc_list list = {
		.argsz = sizeof(list),
		.heaps = (uintptr_t)&heap,
		.count = 1,
		.entry_size = sizeof(heap),
	};
	unsigned int count = 0;

	do {
		if (ioctl(device, PYMALLOC_IOC_LIST, &list) < 0)
			err(1, DEVICE);
		count += list.done && lives(&heap);
		list.after = heap.id;
	} while (list.done);
	return count;
}

/* A heap counts against its user until the kernel has released all of it. */
void wait_for_ends(void)
{
	int device = open_device();

	while (get_info(device).user_heaps > count_living(device))
		usleep(1000);
	close(device);
}
