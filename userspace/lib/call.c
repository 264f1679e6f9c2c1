// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Calls to the kernel's service.
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
#include <sys/syscall.h>
#include <unistd.h>

#include "heap.h"
#include "sandbox.h"

/* The table of descriptors is as long as the highest is: no number above. */
#define HIGHEST_FD	4096

/* Protects all heaps' descriptors, and the limit while it is raised. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

int pyml_open_device(void)
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
int pyml_move_up(int fd, int lowest)
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
void pyml_service_hide(struct pymalloc_heap *heap)
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
	int device = pyml_open_device();
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

static int call(struct pymalloc_heap *heap, unsigned long command, void *args)
{
	int fd = __atomic_load_n(&heap->fd, __ATOMIC_RELAXED);
	int ret = ioctl(fd, command, args);

	if (ret < 0 && (errno == EBADF || errno == ENOTTY) &&
	    reopen_heap(heap, fd))
		ret = ioctl(heap->fd, command, args);
	return ret;
}

/* In a sandbox EPERM, without a system call. */
int pyml_call(struct pymalloc_heap *heap, unsigned long command, void *args)
{
	int ret;

	if (!pyml_begin_calls()) {
		errno = EPERM;
		return -1;
	}
	ret = call(heap, command, args);
	pyml_end_calls();
	return ret;
}

/* Any call finds out if the descriptor is lost, and gets another one. */
void pyml_service_need_fd(struct pymalloc_heap *heap)
{
	struct pymalloc_alloc nothing = { .argsz = sizeof(nothing) };

	pyml_call(heap, PYMALLOC_IOC_ALLOC, &nothing);
}

/*
 * Has the process a heap?  A child of fork() for which there was no memory to make
 * one has the mappings, but nothing in them.  That needs no descriptor: it may be
 * closed, and the device out of reach.  The kernel reads the set of signals before
 * it finds that it does not know what to do with it.
 */
bool pyml_service_has_heap(const struct pymalloc_heap *heap)
{
	/* A sandbox has no way to ask: without a heap, an access is SIGBUS there. */
	if (pyml_in_sandbox())
		return true;
	syscall(SYS_rt_sigprocmask, ~0, heap->view.pool_map, NULL, sizeof(__u64));
	return errno != EFAULT;
}

/* Returns how many were allocated; if none, errno is ENOMEM. */
unsigned int pyml_service_alloc(struct pymalloc_heap *heap, size_t size,
				unsigned int flags, __u64 *refs,
				unsigned int count)
{
	struct pymalloc_alloc args = {
		.argsz = sizeof(args),
		.flags = flags,
		.size = size,
		.refs = (uintptr_t)refs,
		.count = count,
	};
	int saved = errno;
	__u64 extent;
	int ret;

	do {
		extent = pyml_extent(heap);
		ret = pyml_call(heap, PYMALLOC_IOC_ALLOC, &args);
	} while (ret < 0 && !args.done &&
		 (errno == EINTR ||
		  (errno == ENOSPC && pyml_window_grow(heap, extent))));
	if (ret < 0 && !args.done && pyml_in_sandbox())
		args.done = pyml_stream_alloc(heap, size, flags, refs, count);
	errno = args.done ? saved : ENOMEM;
	return args.done;
}

static void report_bad(struct pymalloc_heap *heap, const __u64 *refs,
		       const __u8 *status, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		if (status[i] != PYMALLOC_REF_OK)
			pyml_bad_free(heap, heap->view.base + refs[i],
				      status[i]);
}

/*
 * Keeps errno.  A heap that this process may not use (any more) keeps its
 * blocks: there is nobody to tell, and nothing is corrupted.
 */
void pyml_service_free(struct pymalloc_heap *heap, const __u64 *refs,
		       __u8 *status, unsigned int count)
{
	int saved = errno;

	while (count) {
		struct pymalloc_free args = {
			.argsz = sizeof(args),
			.refs = (uintptr_t)refs,
			.status = (uintptr_t)status,
			.count = count,
		};
		int ret = pyml_call(heap, PYMALLOC_IOC_FREE, &args);

		if (ret < 0 && pyml_in_sandbox()) {
			pyml_stream_free(heap, refs + args.done, status,
					 count - args.done);
			break;
		}
		if (ret < 0 && errno != EBADSLT && errno != EINTR)
			break;
		if (args.nr_bad && status)
			report_bad(heap, refs, status, args.done);
		refs += args.done;
		count -= args.done;
	}
	errno = saved;
}

/* For those who look at the heap.  Keeps errno. */
void pyml_service_tell_caches(struct pymalloc_heap *heap, __u64 threads,
			      __u64 bytes_max)
{
	struct pymalloc_caches args = {
		.argsz = sizeof(args),
		.threads = threads,
		.bytes_max = bytes_max,
	};
	int saved = errno;

	pyml_call(heap, PYMALLOC_IOC_CACHES, &args);
	errno = saved;
}

size_t pyml_service_usable(struct pymalloc_heap *heap, __u64 ref)
{
	__u64 size = 0;
	struct pymalloc_usable args = {
		.argsz = sizeof(args),
		.refs = (uintptr_t)&ref,
		.sizes = (uintptr_t)&size,
		.count = 1,
	};
	int ret;

	do {
		ret = pyml_call(heap, PYMALLOC_IOC_USABLE, &args);
	} while (ret < 0 && errno == EINTR);
	if (ret < 0 && pyml_in_sandbox())
		return pyml_stream_usable(heap, ref);
	return size;
}
