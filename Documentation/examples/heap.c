// SPDX-License-Identifier: GPL-2.0
/* Make a heap without the library, map it, use it and look at it. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/pymalloc.h>

#define COUNT	100
#define WINDOW	(64UL << 20)

static int create_heap(void)
{
	struct pymalloc_create args = {
		.argsz = sizeof(args),
		.window = WINDOW,
		.name = "example",
	};
	int device = open("/dev/pymalloc", O_RDWR | O_CLOEXEC);
	int heap;

	if (device < 0)
		err(1, "/dev/pymalloc");
	heap = ioctl(device, PYMALLOC_IOC_CREATE, &args);
	if (heap < 0)
		err(1, "create");
	close(device);
	return heap;
}

static void allocate(int heap, __u64 *refs)
{
	struct pymalloc_alloc args = {
		.argsz = sizeof(args),
		.size = 42,
		.refs = (uintptr_t)refs,
		.count = COUNT,
	};

	/* If there was an error, the refs that are done are valid all the same. */
	if (ioctl(heap, PYMALLOC_IOC_ALLOC, &args) < 0)
		err(1, "%u of %u allocated", args.done, args.count);
}

static void free_all(int heap, const __u64 *refs)
{
	__u8 status[COUNT];
	struct pymalloc_free args = {
		.argsz = sizeof(args),
		.refs = (uintptr_t)refs,
		.status = (uintptr_t)status,
		.count = COUNT,
	};

	if (!ioctl(heap, PYMALLOC_IOC_FREE, &args))
		return;
	if (errno != EBADSLT)
		err(1, "free");
	printf("%u of %u refs are bad; the first is number %u, status %u\n",
	       args.nr_bad, args.done, args.first_bad, status[args.first_bad]);
}

static void show(int heap)
{
	struct pymalloc_stats stats = { .argsz = sizeof(stats) };

	if (ioctl(heap, PYMALLOC_IOC_STATS, &stats) < 0)
		err(1, "stats");
	printf("%llu blocks of %llu bytes in %llu bytes of pages\n",
	       stats.blocks, stats.block_bytes, stats.page_bytes);
}

int main(void)
{
	int heap = create_heap();
	const __u8 *pool_map;
	__u64 refs[COUNT];
	char *window;
	size_t i;

	window = mmap(NULL, WINDOW, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_NORESERVE, heap, 0);
	pool_map = mmap(NULL, WINDOW / PYMALLOC_POOL_SIZE, PROT_READ, MAP_SHARED,
			heap, PYMALLOC_POOL_MAP_OFFSET);
	if (window == MAP_FAILED || pool_map == MAP_FAILED)
		err(1, "mmap");

	allocate(heap, refs);
	for (i = 0; i < COUNT; i++)
		snprintf(window + refs[i], 42, "block %zu", i);
	printf("%s is in the pool at %#llx, of %d-byte blocks\n",
	       window + refs[0], refs[0] / PYMALLOC_POOL_SIZE * PYMALLOC_POOL_SIZE,
	       PYMALLOC_BLOCK_MIN * pool_map[refs[0] / PYMALLOC_POOL_SIZE]);
	show(heap);

	/* Free block 3 twice, and block 7 not at all. */
	refs[7] = refs[3];
	free_all(heap, refs);
	show(heap);
	return 0;
}
