// SPDX-License-Identifier: LGPL-2.1-or-later
/* Calls to the service. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "command.h"
#include "service.h"

/* Heaps that are asked for at once: 64 are more than most machines have, and 8 KiB. */
#define HEAPS_A_CALL	64

/**
 * open_device() - open the service's device
 *
 * Return: its descriptor.
 */
int open_device(void)
{
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		errx(EXIT_FAILED, "there is no %s; is the module loaded? (modprobe pymalloc)",
		     DEVICE);
	if (fd < 0)
		err(EXIT_FAILED, "%s", DEVICE);
	return fd;
}

/**
 * try_open_heap() - open a heap that may be gone
 * @id: its number
 * @flags: PYMALLOC_OPEN_*
 *
 * Return: its descriptor; or -1, and errno says why.
 */
int try_open_heap(__u64 id, unsigned int flags)
{
	struct pymalloc_open args = {
		.argsz = sizeof(args),
		.flags = flags,
		.id = id,
	};
	int device = open_device();
	int fd = ioctl(device, PYMALLOC_IOC_OPEN, &args);
	int error = errno;

	close(device);
	errno = error;
	return fd;
}

/**
 * open_heap() - open a heap
 * @id: its number
 * @flags: PYMALLOC_OPEN_*
 *
 * Return: its descriptor.
 */
int open_heap(__u64 id, unsigned int flags)
{
	int fd = try_open_heap(id, flags);

	if (fd < 0 && errno == ENOENT)
		errx(EXIT_FAILED, "no heap has the number %llu", id);
	if (fd < 0 && errno == ESTALE)
		errx(EXIT_FAILED, "heap %llu is dead: it cannot be changed", id);
	if (fd < 0 && errno == EPERM)
		errx(EXIT_FAILED, "heap %llu is not yours to look at", id);
	if (fd < 0)
		err(EXIT_FAILED, "heap %llu", id);
	return fd;
}

/**
 * heap_call() - make a call to a heap that may have ended, again if a signal interrupts it
 * @fd: descriptor of the device or a heap
 * @command: PYMALLOC_IOC_*
 * @args: its argument
 *
 * Return: false if the heap has ended.
 */
bool heap_call(int fd, unsigned long command, void *args)
{
	int ret;

	do {
		ret = ioctl(fd, command, args);
	} while (ret < 0 && errno == EINTR);
	if (ret < 0 && errno != ESTALE)
		err(EXIT_FAILED, "the service");
	return ret >= 0;
}

/**
 * service_call() - make a call, again if a signal interrupts it
 * @fd: descriptor of the device or a heap
 * @command: PYMALLOC_IOC_*
 * @args: its argument
 */
void service_call(int fd, unsigned long command, void *args)
{
	if (!heap_call(fd, command, args))
		errx(EXIT_FAILED, "the heap has ended with its process");
}

static size_t list_with(int fd, unsigned int flags, struct pymalloc_heap_info **heaps)
{
	struct pymalloc_heap_info *list = NULL;
	struct pymalloc_list args = { .argsz = sizeof(args), .flags = flags };
	size_t count = 0;

	do {
		list = reallocarray(list, count + HEAPS_A_CALL, sizeof(*list));
		if (!list)
			err(EXIT_FAILED, NULL);
		args.heaps = (uintptr_t)(list + count);
		args.count = HEAPS_A_CALL;
		args.entry_size = sizeof(*list);
		service_call(fd, PYMALLOC_IOC_LIST, &args);
		count += args.done;
		if (count)
			args.after = list[count - 1].id;
	} while (args.done == HEAPS_A_CALL);
	*heaps = list;
	return count;
}

/**
 * list_heaps() - ask for the heaps that the caller may see
 * @fd: descriptor of the device, or of a heap for that one alone
 * @heaps: where to store the array, which the caller frees
 *
 * Return: how many there are.
 */
size_t list_heaps(int fd, struct pymalloc_heap_info **heaps)
{
	return list_with(fd, 0, heaps);
}

/**
 * list_dead_heaps() - ask for the dead heaps that the caller may see
 * @fd: descriptor of the device
 * @heaps: where to store the array, which the caller frees
 *
 * Return: how many there are.
 */
size_t list_dead_heaps(int fd, struct pymalloc_heap_info **heaps)
{
	return list_with(fd, PYMALLOC_LIST_DEAD, heaps);
}

/**
 * try_describe_heap() - ask for one heap that may have ended
 * @fd: its descriptor
 * @heap: out: what list_heaps() says about it
 *
 * Return: false if the heap has ended.
 */
bool try_describe_heap(int fd, struct pymalloc_heap_info *heap)
{
	struct pymalloc_list list = {
		.argsz = sizeof(list),
		.heaps = (uintptr_t)heap,
		.count = 1,
		.entry_size = sizeof(*heap),
	};

	return heap_call(fd, PYMALLOC_IOC_LIST, &list) && list.done == 1;
}

/**
 * describe_heap() - ask for one heap
 * @fd: its descriptor
 *
 * Return: what list_heaps() says about it.
 */
struct pymalloc_heap_info describe_heap(int fd)
{
	struct pymalloc_heap_info heap;

	if (!try_describe_heap(fd, &heap))
		errx(EXIT_FAILED, "the heap has ended with its process");
	return heap;
}
