// SPDX-License-Identifier: GPL-2.0
/*
 * looker HEAP: may root change, or map, the heap of a module?  Its objects are the kernel's own
 * memory, so nobody may.  Ends with status 0 if all of that is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/pymalloc.h>

#define ARG(name, ...) ((struct pymalloc_##name) { .argsz = sizeof(struct pymalloc_##name), \
						   __VA_ARGS__ })

static int allowed;

/* A call has returned @result, and must have been refused with EPERM. */
static void refused(const char *what, int result)
{
	if (result >= 0 || errno != EPERM) {
		printf("%s is allowed: %d, %s\n", what, result, strerror(errno));
		allowed++;
	}
}

static void map(int fd, const char *what, off_t offset, int protection, int flags)
{
	void *memory = mmap(NULL, 1 << 18, protection, flags, fd, offset);

	refused(what, memory == MAP_FAILED ? -1 : 0);
}

static void change(int fd)
{
	__u64 ref = PYMALLOC_ARENA_SIZE;
	__u8 status;

	refused("ALLOC", ioctl(fd, PYMALLOC_IOC_ALLOC,
			       &ARG(alloc, .size = 48, .refs = (uintptr_t)&ref, .count = 1)));
	refused("FREE", ioctl(fd, PYMALLOC_IOC_FREE,
			      &ARG(free, .refs = (uintptr_t)&ref, .status = (uintptr_t)&status,
				   .count = 1)));
	refused("RESIZE", ioctl(fd, PYMALLOC_IOC_RESIZE, &ARG(resize, .ref = ref, .size = 8)));
	refused("GROW", ioctl(fd, PYMALLOC_IOC_GROW, &ARG(grow, .extent = 1 << 30)));
	refused("END", ioctl(fd, PYMALLOC_IOC_END, &ARG(end)));
	refused("SEAL", ioctl(fd, PYMALLOC_IOC_SEAL, &ARG(seal)));
	refused("CACHES", ioctl(fd, PYMALLOC_IOC_CACHES, &ARG(caches, .threads = 1)));
	refused("CACHE", ioctl(fd, PYMALLOC_IOC_CACHE, &ARG(cache, .op = PYMALLOC_CACHE_MAKE)));
	refused("TRACE", ioctl(fd, PYMALLOC_IOC_TRACE,
			       &ARG(trace, .flags = PYMALLOC_TRACE_SET,
				    .mode = PYMALLOC_TRACE_EXACT)));
	refused("TRACE of idle pages", ioctl(fd, PYMALLOC_IOC_TRACE,
					     &ARG(trace, .flags = PYMALLOC_TRACE_IDLE)));
	/* These may be asked for, and do no harm. */
	ioctl(fd, PYMALLOC_IOC_NOTIFY, &ARG(notify, .threshold = 1));
	ioctl(fd, PYMALLOC_IOC_NOTIFY, &ARG(notify));
	ioctl(fd, PYMALLOC_IOC_CACHE, &ARG(cache, .op = PYMALLOC_CACHE_STEAL));
	ioctl(fd, PYMALLOC_IOC_COMPACT, &ARG(compact));
	ioctl(fd, PYMALLOC_IOC_POLICY, &ARG(policy, .flags = PYMALLOC_POLICY_SET));
	ioctl(fd, PYMALLOC_IOC_SITES, &ARG(sites, .op = PYMALLOC_SITES_READ));
	ioctl(fd, PYMALLOC_IOC_SITES, &ARG(sites, .op = PYMALLOC_SITES_DROP));
	map(fd, "the window", 0, PROT_READ | PROT_WRITE, MAP_SHARED);
	map(fd, "the window for reading", 0, PROT_READ, MAP_SHARED);
	map(fd, "the pool map", PYMALLOC_POOL_MAP_OFFSET, PROT_READ, MAP_SHARED);
	map(fd, "caches", PYMALLOC_CACHES_OFFSET, PROT_READ | PROT_WRITE, MAP_SHARED);
}

int main(int argc, char **argv)
{
	struct pymalloc_open open_heap = ARG(open);
	int device = open("/dev/pymalloc", O_RDWR), fd;

	if (device < 0 || argc != 2)
		return 2;
	open_heap.id = atoll(argv[1]);
	fd = ioctl(device, PYMALLOC_IOC_OPEN, &open_heap);
	if (fd < 0) {
		perror("open");
		return 2;
	}
	change(fd);
	return allowed != 0;
}
