// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A heap's window: where it lies, and how much of it is mapped.
 *
 * A process may have little room for addresses (RLIMIT_AS), may have promised to
 * lock all that it maps (mlockall()), and has all that it maps in its cores.  So
 * only the first part of a window is mapped, and more behind it when the kernel has
 * used that up: twice as much each time, so that there are few parts.
 *
 * The whole of it has a place where nothing else grows: the kernel maps from the
 * top of the address space down, or from a third of it up, and programs lie at two
 * thirds or at the bottom.  Where the kernel has put the heap's own struct is as
 * random as it wants addresses to be; the place follows from that.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fd.h"
#include "sandbox.h"
#include "window.h"

/* What is mapped at first, and the least by which it grows. */
#define PART_FIRST	(1ULL << 20)
/* More parts than this many of equal size are not worth having. */
#define PARTS_EQUAL	64
/* Bytes of the pool map that are mapped at first: for 256 MiB of the window. */
#define MAP_FIRST	(16 * 4096)
/* Calls for which a process that can map no more is left alone. */
#define HOLD_OFF	64
/* What a process has mapped when it enters a sandbox, where it cannot grow. */
#define SANDBOX_EXTENT	(1ULL << 30)

/* Held while a window grows, and in fork().  A fork() handler may allocate. */
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

/* Of the pool map for so much of the window, in whole pages. */
static size_t map_bytes(__u64 extent)
{
	const size_t page = 4096;

	return (extent / PYMALLOC_POOL_SIZE + page - 1) & -page;
}

/* Of the window and the pool map, which lies before it. */
static size_t whole_bytes(const struct pymalloc_heap *heap)
{
	return map_bytes(heap->window) + heap->window;
}

/*
 * Does anything lie there?  No heap can be mapped MAP_PRIVATE, so that this maps
 * nothing.  What is there is found before any limit is looked at.
 */
static bool is_taken(const struct pymalloc_heap *heap, uintptr_t place)
{
	size_t bytes = whole_bytes(heap);
	void *found = mmap((void *)place, bytes, PROT_NONE,
			   MAP_PRIVATE | MAP_FIXED_NOREPLACE, heap->fd, 0);

	if (found != MAP_FAILED)
		munmap(found, bytes);
	return found == MAP_FAILED && errno == EEXIST;
}

/* Returns 0 if there is no room for it. */
static uintptr_t find_place(const struct pymalloc_heap *heap)
{
	uintptr_t top = (uintptr_t)heap;
	uintptr_t place = (top - top / 8) & -4096;

	while (place > top / 8) {
		if (!is_taken(heap, place))
			return place;
		if (whole_bytes(heap) > place)
			break;
		place -= whole_bytes(heap);
	}
	errno = ENOMEM;
	return 0;
}

static bool map(const struct pymalloc_heap *heap, const void *address, size_t bytes,
		int protection, __u64 offset)
{
	return mmap((void *)address, bytes, protection, MAP_SHARED | MAP_FIXED_NOREPLACE,
		    heap->fd, offset) != MAP_FAILED;
}

/* Maps what the pool map lacks for so much of the window. */
static bool map_pool_map(struct pymalloc_heap *heap, __u64 extent)
{
	size_t most = map_bytes(heap->window);
	size_t bytes = MIN(MAX(map_bytes(extent), MAP_FIRST), most);

	if (bytes <= heap->map_bytes)
		return true;
	if (!map(heap, heap->view.pool_map + heap->map_bytes, bytes - heap->map_bytes,
		 PROT_READ, PYMALLOC_POOL_MAP_OFFSET + heap->map_bytes))
		return false;
	heap->map_bytes = bytes;
	return true;
}

/* The pool map first: whoever believes an address to be in the window looks there. */
static bool map_until(struct pymalloc_heap *heap, __u64 extent)
{
	if (!map_pool_map(heap, extent) ||
	    !map(heap, heap->view.base + heap->view.extent, extent - heap->view.extent,
		 PROT_READ | PROT_WRITE, heap->view.extent))
		return false;
	__atomic_store_n(&heap->view.extent, extent, __ATOMIC_RELEASE);
	return true;
}

/* What a heap is to be made with as its extent. */
__u64 pyml_window_first(__u64 window)
{
	return MIN(window, PART_FIRST);
}

void pyml_window_unmap(struct pymalloc_heap *heap)
{
	if (heap->map_bytes)
		munmap((void *)heap->view.pool_map, heap->map_bytes);
	if (heap->view.extent)
		munmap(heap->view.base, heap->view.extent);
}

/* Finds a place for a new heap's window and maps its first part. */
int pyml_window_map(struct pymalloc_heap *heap)
{
	uintptr_t place = find_place(heap);

	if (!place)
		return -1;
	heap->view.pool_map = (__u8 *)place;
	heap->view.base = (char *)place + map_bytes(heap->window);
	if (map_until(heap, pyml_window_first(heap->window)))
		return 0;
	pyml_window_unmap(heap);
	errno = ENOMEM;
	return -1;
}

static bool addresses_are_limited(void)
{
	struct rlimit limit;

	return !getrlimit(RLIMIT_AS, &limit) && limit.rlim_cur != RLIM_INFINITY;
}

/* As much again; where addresses are limited, others need them, too. */
static __u64 next_part(const struct pymalloc_heap *heap)
{
	__u64 bytes = heap->view.extent;

	if (addresses_are_limited())
		bytes /= 4;
	return MAX(bytes & -PYMALLOC_ARENA_SIZE, PART_FIRST);
}

/* Maps another part, a smaller one if there is no room for it. */
static bool map_more(struct pymalloc_heap *heap)
{
	__u64 left = heap->window - heap->view.extent;
	__u64 least = MAX(heap->view.extent / PARTS_EQUAL, PART_FIRST);
	__u64 bytes = next_part(heap);

	while (left && bytes >= least) {
		if (map_until(heap, heap->view.extent + MIN(bytes, left)))
			return true;
		bytes = bytes / 2 & -PYMALLOC_ARENA_SIZE;
	}
	return false;
}

/* Objects may lie in what is mapped only after everybody takes it for the window. */
static bool grow(struct pymalloc_heap *heap)
{
	struct pymalloc_grow args = { .argsz = sizeof(args) };

	if (!map_more(heap))
		return false;
	if (heap->on_grow)
		heap->on_grow(heap);
	args.extent = heap->view.extent;
	return !pyml_ioctl(heap, PYMALLOC_IOC_GROW, &args);
}

static bool grow_unless_held_off(struct pymalloc_heap *heap)
{
	bool grown;

	if (heap->hold_off) {
		heap->hold_off--;
		return false;
	}
	grown = grow(heap);
	if (!grown)
		heap->hold_off = HOLD_OFF;
	return grown;
}

/*
 * Returns whether there is more of the window than @extent bytes, which did not do.
 * In a sandbox it cannot grow.
 */
bool pyml_window_grow(struct pymalloc_heap *heap, __u64 extent)
{
	bool grown;

	if (!pyml_begin_calls())
		return false;
	pthread_mutex_lock(&lock);
	grown = heap->view.extent > extent || grow_unless_held_off(heap);
	pthread_mutex_unlock(&lock);
	pyml_end_calls();
	return grown;
}

/* Maps what a sandbox may need; what is more will be the C library's. */
void pyml_window_grow_ahead(struct pymalloc_heap *heap)
{
	__u64 wanted = MIN(heap->window, SANDBOX_EXTENT);

	if (!pyml_lock_patiently(&lock))
		return;
	if (addresses_are_limited())
		wanted = MIN(wanted, heap->view.extent + 1);
	while (heap->view.extent < wanted && grow(heap))
		;
	pthread_mutex_unlock(&lock);
}

/*
 * Has the process a heap?  A child of fork() for which there was no memory to make
 * one has the mappings, but nothing in them.  That needs no descriptor: it may be
 * closed, and the device out of reach.  The kernel reads the set of signals before
 * it finds that it does not know what to do with it.
 */
bool pyml_window_is_there(const struct pymalloc_heap *heap)
{
	/* A sandbox has no way to ask: without a heap, an access is SIGBUS there. */
	if (pyml_in_sandbox())
		return true;
	syscall(SYS_rt_sigprocmask, ~0, heap->view.pool_map, NULL, sizeof(__u64));
	return errno != EFAULT;
}

/* A child of fork() must not find a window half grown by a thread that it has not. */
void pyml_window_before_fork(void)
{
	pthread_mutex_lock(&lock);
}

void pyml_window_after_fork(void)
{
	pthread_mutex_unlock(&lock);
}

/* To unlock it is the parent's. */
void pyml_window_inherit(void)
{
	lock = (pthread_mutex_t)PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
}
