// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A heap's descriptor, and a call on it.
 *
 * A program may close descriptors that it did not open; daemons do so to all
 * of them.  A heap lives as long as it is mapped, so one that has lost its
 * descriptor gets another.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fd.h"
#include "sandbox.h"

/* The table of descriptors is as long as the highest is: no number above. */
#define HIGHEST_FD	4096

/* Protects all heaps' descriptors, and the limit while it is raised. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

int pyml_fd_open_device(void)
{
	return open(PYML_DEVICE, O_RDWR | O_CLOEXEC);
}

/* As F_DUPFD_CLOEXEC, but from the soft limit on, too. */
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

/* Of a descriptor and the one that it was moved to, if that is one. */
static int keep_high(int fd, int high)
{
	if (high < 0)
		return fd;
	close(fd);
	return high;
}

/*
 * Moves a descriptor to @lowest or above, out of the way of those that a
 * program counts on, if the process may have as many.
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

/*
 * Moves a heap's descriptor past the last one that the program may open, if
 * there is such a place: those who try all numbers find nothing, nor close it.
 */
void pyml_fd_hide(struct pymalloc_heap *heap)
{
	struct rlimit limit;
	int lowest = PYML_LOWEST_FD;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= HIGHEST_FD)
		return;
	if (limit.rlim_cur > PYML_LOWEST_FD)
		lowest = limit.rlim_cur;
	pthread_mutex_lock(&lock);
	move_heap(heap, heap->fd, lowest);
	pthread_mutex_unlock(&lock);
}

/*
 * By its address: a child of fork() has a heap of its own where its parent's is, and
 * does not know the number.
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
 * Under its old number if that is free: then it stays right for the parent,
 * too, when a child of vfork() has closed everything.
 */
static bool reopen_heap(struct pymalloc_heap *heap, int lost)
{
	int fd;

	pthread_mutex_lock(&lock);
	fd = heap->fd;
	if (fd == lost) {
		fd = open_heap(heap);
		__atomic_store_n(&heap->lost, fd < 0 ? errno : 0,
				 __ATOMIC_RELAXED);
		if (fd >= 0)
			move_heap(heap, fd, lost);
	}
	pthread_mutex_unlock(&lock);
	return fd >= 0;
}

static int try_ioctl(struct pymalloc_heap *heap, unsigned long command, void *args)
{
	int fd = __atomic_load_n(&heap->fd, __ATOMIC_RELAXED);
	int ret = ioctl(fd, command, args);

	if (ret < 0 && (errno == EBADF || errno == ENOTTY) &&
	    reopen_heap(heap, fd))
		ret = ioctl(heap->fd, command, args);
	return ret;
}

/* In a sandbox EPERM, without a system call. */
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

/* Any call finds out if the descriptor is lost, and gets another one. */
void pyml_fd_renew(struct pymalloc_heap *heap)
{
	struct pymalloc_alloc nothing = { .argsz = sizeof(nothing) };

	pyml_ioctl(heap, PYMALLOC_IOC_ALLOC, &nothing);
}
