// SPDX-License-Identifier: GPL-2.0
/*
 * Allocate 200000 blocks of 64 bytes, and free every second one: by malloc(), or in a heap
 * of the library's with a sampled trace.
 */
#include <err.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/pymalloc.h>
#include <pymalloc.h>

#define COUNT		200000
#define SIZE		64
#define INTERVAL	4096

static void *blocks[COUNT];

static void use_malloc(void)
{
	for (size_t i = 0; i < COUNT; i++)
		blocks[i] = malloc(SIZE);
	for (size_t i = 0; i < COUNT; i += 2)
		free(blocks[i]);
}

static void set_trace(__u64 id)
{
	struct pymalloc_open open_arg = { .argsz = sizeof(open_arg), .id = id };
	struct pymalloc_trace trace = {
		.argsz = sizeof(trace),
		.flags = PYMALLOC_TRACE_SET,
		.mode = PYMALLOC_TRACE_SAMPLED,
		.interval = INTERVAL,
	};
	int device = open("/dev/pymalloc", O_RDWR | O_CLOEXEC);
	int fd = device < 0 ? -1 : ioctl(device, PYMALLOC_IOC_OPEN, &open_arg);

	if (fd < 0 || ioctl(fd, PYMALLOC_IOC_TRACE, &trace))
		err(1, "the trace cannot be set");
	close(fd);
	close(device);
}

static void use_heap(void)
{
	struct pymalloc_heap *heap = pymalloc_heap_create(NULL);

	if (!heap)
		err(1, "no heap");
	set_trace(pymalloc_heap_id(heap));
	for (size_t i = 0; i < COUNT; i++)
		blocks[i] = pymalloc_malloc(heap, SIZE);
	for (size_t i = 0; i < COUNT; i += 2)
		pymalloc_free(heap, blocks[i]);
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "malloc"))
		use_malloc();
	else
		use_heap();
	for (size_t i = 0; i < COUNT; i++)
		if (!blocks[i])
			errx(1, "no memory");
	return 0;
}
