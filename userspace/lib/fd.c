// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A heap's descriptor, and ioctl() on it.
 *
 * A program may close descriptors that it did not open; daemons close all of them.  A
 * heap lives as long as it is mapped, so the library opens another descriptor then.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fd.h"
#include "sandbox.h"

/*
 * A process's table of descriptors is as long as its highest number, at 8 bytes an entry:
 * a number above this one would cost more than 32 KiB to hide one descriptor.
 */
#define HIGHEST_FD	4096

/* Protects all heaps' descriptors, and RLIMIT_NOFILE while it is raised. */
static pthread_mutex_t fd_lock = PTHREAD_MUTEX_INITIALIZER;

/**
 * pyml_fd_open_device() - open the service's device
 *
 * Return: a descriptor; or -1 and errno.
 */
int pyml_fd_open_device(void)
{
	return open(PYML_DEVICE, O_RDWR | O_CLOEXEC);
}

/* As F_DUPFD_CLOEXEC, but @lowest may be past the soft limit: that is raised meanwhile. */
static int dup_from(int fd, int lowest)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, lowest);
	struct rlimit limit, raised;

	if (high >= 0 || getrlimit(RLIMIT_NOFILE, &limit))
		return high;
	raised = limit;
	raised.rlim_cur = raised.rlim_max;
	setrlimit(RLIMIT_NOFILE, &raised);
	high = fcntl(fd, F_DUPFD_CLOEXEC, lowest);
	setrlimit(RLIMIT_NOFILE, &limit);
	return high;
}

/* Returns @high if @fd could be copied there, and closes @fd; else @fd. */
static int keep_high(int fd, int high)
{
	if (high < 0)
		return fd;
	close(fd);
	return high;
}

/**
 * pyml_fd_move_up() - give a descriptor a high number, which no program expects
 * @fd: the descriptor
 * @lowest: the least number that it is to get, if the process may have as many
 *
 * Return: its number from now on.
 */
int pyml_fd_move_up(int fd, int lowest)
{
	return keep_high(fd, fcntl(fd, F_DUPFD_CLOEXEC, lowest));
}

static void move_heap(struct pymalloc_heap *heap, int fd, int lowest)
{
	fd = keep_high(fd, dup_from(fd, lowest));
	__atomic_store_n(&heap->fd, fd, __ATOMIC_RELAXED);
}

/**
 * pyml_fd_hide() - give a heap's descriptor a number that the program cannot open
 * @heap: the heap
 *
 * A program that closes all numbers below its limit then does not close it.  Does nothing
 * if the limit is too high for that.
 */
void pyml_fd_hide(struct pymalloc_heap *heap)
{
	struct rlimit limit;
	int lowest = PYML_LOWEST_FD;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= HIGHEST_FD)
		return;
	if (limit.rlim_cur > PYML_LOWEST_FD)
		lowest = limit.rlim_cur;
	pthread_mutex_lock(&fd_lock);
	move_heap(heap, heap->fd, lowest);
	pthread_mutex_unlock(&fd_lock);
}

/*
 * By its address, since a child of fork() has a heap of its own at the address of its
 * parent's heap, and does not know its number.
 */
static int open_heap(const struct pymalloc_heap *heap)
{
	struct pymalloc_open args = {
		.argsz = sizeof(args),
		.flags = PYMALLOC_OPEN_MAPPED,
		.id = (uintptr_t)heap->view.base,
	};
	int device = pyml_fd_open_device();
	int fd;

	if (device < 0)
		return -1;
	fd = ioctl(device, PYMALLOC_IOC_OPEN, &args);
	close(device);
	return fd;
}

/*
 * Gets the number @lost again if that is free.  If a child made by vfork() has closed its
 * descriptors, the number in this memory is then still right for its parent.
 */
static bool reopen_heap(struct pymalloc_heap *heap, int lost)
{
	int fd;

	pthread_mutex_lock(&fd_lock);
	fd = heap->fd;
	if (fd == lost) {
		fd = open_heap(heap);
		__atomic_store_n(&heap->lost, fd < 0 ? errno : 0,
				 __ATOMIC_RELAXED);
		if (fd >= 0)
			move_heap(heap, fd, lost);
	}
	pthread_mutex_unlock(&fd_lock);
	return fd >= 0;
}

/* Another file under the number says ENOTTY, a closed one EBADF. */
static int try_ioctl(struct pymalloc_heap *heap, unsigned long command, void *args)
{
	int fd = __atomic_load_n(&heap->fd, __ATOMIC_RELAXED);
	int ret = ioctl(fd, command, args);

	if (ret < 0 && (errno == EBADF || errno == ENOTTY) &&
	    reopen_heap(heap, fd))
		ret = ioctl(heap->fd, command, args);
	return ret;
}

/**
 * pyml_ioctl() - make an ioctl() on a heap's descriptor
 * @heap: the heap
 * @command: PYMALLOC_IOC_*
 * @args: its argument
 *
 * Opens the descriptor again if the program has closed it.
 *
 * Return: as ioctl(); or -1 with errno EPERM, without a system call, in a sandbox.
 */
int pyml_ioctl(struct pymalloc_heap *heap, unsigned long command, void *args)
{
	int ret;

	if (!pyml_begin_calls()) {
		errno = EPERM;
		return -1;
	}
	ret = try_ioctl(heap, command, args);
	pyml_end_calls();
	return ret;
}

/**
 * pyml_fd_renew() - see that a heap has a descriptor
 * @heap: the heap
 *
 * Makes a call that does nothing: any call opens a lost descriptor again.
 */
void pyml_fd_renew(struct pymalloc_heap *heap)
{
	struct pymalloc_alloc nothing = { .argsz = sizeof(nothing) };

	pyml_ioctl(heap, PYMALLOC_IOC_ALLOC, &nothing);
}
