// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A heap's window: where it lies, and how much of it is mapped.
 *
 * A process may have few addresses left (RLIMIT_AS), may lock all that it maps
 * (mlockall()), and its core dumps contain all that it maps.  So only the first part of a
 * window is mapped at first.  When the kernel has used up what is mapped, as much again is
 * mapped behind it, so that there are few parts.
 *
 * The whole window gets a place where nothing else grows.  The kernel maps from the top
 * of the address space down, or from a third of it up, and programs lie at two thirds or
 * at the bottom.  The kernel has put the heap's struct at an address that is as random
 * as it wants addresses to be, and the window's place follows from that address.
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

/*
 * Bytes that are mapped at first, and the least by which the window grows: four arenas.
 * A small heap costs no more addresses than that, and the next parts are larger anyway.
 */
#define PART_FIRST	(1ULL << 20)
/*
 * If there is no room to grow by 1/64 of what is mapped, the window does not grow: each
 * part is a mapping of its own, of which a process may have 65530 unless that is changed.
 */
#define PARTS_EQUAL	64
/*
 * Bytes of the pool map that are mapped at first: enough for 256 MiB of the window, so that
 * the heaps of most programs have it in one mapping.
 */
#define MAP_FIRST	(16 * 4096)
/*
 * After a failed attempt to grow, so many more are not made: each would be several system
 * calls that probably fail again, and without them the caller hears ENOMEM at once.
 */
#define HOLD_OFF	64
/*
 * What a process has mapped when it enters a sandbox, where the window cannot grow: more
 * than the small objects of most programs need, and without pages it costs addresses only.
 */
#define SANDBOX_EXTENT	(1ULL << 30)

/*
 * Held while a window grows, and in fork(), so that a child finds no window half grown.
 * Recursive, because other handlers of fork() may allocate.
 */
static pthread_mutex_t window_lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

/* Bytes of the pool map for @extent bytes of the window, in whole pages. */
static size_t map_bytes(__u64 extent)
{
	const size_t page = 4096;

	return (extent / PYMALLOC_POOL_SIZE + page - 1) & -page;
}

/* Bytes of the window and of the pool map, which lies before it. */
static size_t whole_bytes(const struct pymalloc_heap *heap)
{
	return map_bytes(heap->window) + heap->window;
}

/*
 * Whether anything is mapped there.  The kernel refuses to map a heap MAP_PRIVATE, so this
 * maps nothing; but before it refuses, and before it looks at any limit, it finds out
 * whether the place is taken.
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

/* Returns 0 if there is no place. */
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

static bool map_at(const struct pymalloc_heap *heap, const void *address, size_t bytes,
		   int protection, __u64 offset)
{
	return mmap((void *)address, bytes, protection, MAP_SHARED | MAP_FIXED_NOREPLACE,
		    heap->fd, offset) != MAP_FAILED;
}

/* Maps what is missing of the pool map for @extent bytes of the window. */
static bool map_pool_map(struct pymalloc_heap *heap, __u64 extent)
{
	size_t most = map_bytes(heap->window);
	size_t bytes = MIN(MAX(map_bytes(extent), MAP_FIRST), most);

	if (bytes <= heap->map_bytes)
		return true;
	if (!map_at(heap, heap->view.pool_map + heap->map_bytes, bytes - heap->map_bytes,
		    PROT_READ, PYMALLOC_POOL_MAP_OFFSET + heap->map_bytes))
		return false;
	heap->map_bytes = bytes;
	return true;
}

/*
 * The pool map comes first, because a thread that finds an address within the extent reads
 * the pool map.  The release pairs with the acquire in shim_has_heap(), and with the address
 * dependency of pymalloc_push(): an object in the new part can only be allocated, and so
 * freed, after the extent has been stored.
 */
static bool map_until(struct pymalloc_heap *heap, __u64 extent)
{
	if (!map_pool_map(heap, extent) ||
	    !map_at(heap, heap->view.base + heap->view.extent, extent - heap->view.extent,
		    PROT_READ | PROT_WRITE, heap->view.extent))
		return false;
	__atomic_store_n(&heap->view.extent, extent, __ATOMIC_RELEASE);
	return true;
}

/**
 * pyml_window_first() - the extent with which a heap is to be made
 * @window: bytes of its window
 *
 * Return: the bytes that pyml_window_map() maps.
 */
__u64 pyml_window_first(__u64 window)
{
	return MIN(window, PART_FIRST);
}

/**
 * pyml_window_unmap() - unmap a heap's window and pool map
 * @heap: the heap, which no thread uses any more
 */
void pyml_window_unmap(struct pymalloc_heap *heap)
{
	if (heap->map_bytes)
		munmap((void *)heap->view.pool_map, heap->map_bytes);
	if (heap->view.extent)
		munmap(heap->view.base, heap->view.extent);
}

/**
 * pyml_window_map() - find a place for a new heap's window and map its first part
 * @heap: the heap, which no other thread knows yet
 *
 * Return: 0; or -1 and ENOMEM.
 */
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

/* As much again; if addresses are limited, a quarter, to leave some for other uses. */
static __u64 next_part(const struct pymalloc_heap *heap)
{
	__u64 bytes = heap->view.extent;

	if (addresses_are_limited())
		bytes /= 4;
	return MAX(bytes & -PYMALLOC_ARENA_SIZE, PART_FIRST);
}

/* Maps another part; a smaller one if there are not enough addresses for it. */
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

/*
 * The kernel is told last: it may put objects into the new part only when all threads
 * take that for a part of the window.
 */
static bool grow_window(struct pymalloc_heap *heap)
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
	grown = grow_window(heap);
	if (!grown)
		heap->hold_off = HOLD_OFF;
	return grown;
}

/**
 * pyml_window_grow() - map more of a heap's window
 * @heap: the heap
 * @extent: pyml_extent() before the call for which it was not enough
 *
 * Does nothing if another thread has been faster.
 *
 * Return: whether more than @extent is mapped; false in a sandbox, where it cannot grow.
 */
bool pyml_window_grow(struct pymalloc_heap *heap, __u64 extent)
{
	bool grown;

	if (!pyml_begin_calls())
		return false;
	pthread_mutex_lock(&window_lock);
	grown = heap->view.extent > extent || grow_unless_held_off(heap);
	pthread_mutex_unlock(&window_lock);
	pyml_end_calls();
	return grown;
}

/**
 * pyml_window_grow_ahead() - map as much of a heap's window as a sandbox may need
 * @heap: the heap
 *
 * What does not fit there will fail; the malloc shim turns to the C library then.
 */
void pyml_window_grow_ahead(struct pymalloc_heap *heap)
{
	__u64 wanted = MIN(heap->window, SANDBOX_EXTENT);

	if (!pyml_lock_patiently(&window_lock))
		return;
	if (addresses_are_limited())
		wanted = MIN(wanted, heap->view.extent + 1);
	while (heap->view.extent < wanted && grow_window(heap))
		;
	pthread_mutex_unlock(&window_lock);
}

/**
 * pyml_window_is_there() - whether there is a heap behind a window
 * @heap: the heap
 *
 * If there was no memory to copy a heap for a child of fork(), the child has its mappings
 * with nothing in them, and any access is SIGBUS.  This asks without a descriptor, which may
 * be closed, while the device may be out of reach: rt_sigprocmask() reads a set of
 * signals from the pool map, which fails with EFAULT if nothing is there, and only then
 * refuses to do anything with it, because there is no command ~0.
 *
 * Return: whether there is one; in a sandbox, where one cannot ask, true.
 */
bool pyml_window_is_there(const struct pymalloc_heap *heap)
{
	if (pyml_in_sandbox())
		return true;
	syscall(SYS_rt_sigprocmask, ~0, heap->view.pool_map, NULL, sizeof(__u64));
	return errno != EFAULT;
}

/**
 * pyml_window_before_fork() - see that no window is half grown in the child
 */
void pyml_window_before_fork(void)
{
	pthread_mutex_lock(&window_lock);
}

/**
 * pyml_window_after_fork() - in the parent: go on
 */
void pyml_window_after_fork(void)
{
	pthread_mutex_unlock(&window_lock);
}

/**
 * pyml_window_inherit() - in the child: go on
 *
 * The lock is made anew: its owner is a thread of the parent, which alone can unlock it.
 */
void pyml_window_inherit(void)
{
	window_lock = (pthread_mutex_t)PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
}
