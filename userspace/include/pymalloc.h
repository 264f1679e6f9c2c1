/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libpymalloc: heaps of small objects whose memory the kernel manages.
 *
 * A heap is private to the process that made it.  Objects of up to
 * PYMALLOC_BLOCK_MAX bytes are blocks.  Each thread keeps free blocks of every size class in
 * its magazines, at most 5 MiB of them for each heap, so that most calls take no lock and
 * make no system call.  Larger objects are runs of whole pages, with one system call for
 * each.
 *
 * All functions may be called from any thread, but not from a signal handler
 * that may have interrupted one of them.  A heap does not outlive its process;
 * a child of fork() has copies of its parent's heaps.
 */
#ifndef _PYMALLOC_H
#define _PYMALLOC_H

#include <stddef.h>
#include <sys/cdefs.h>

#include <linux/pymalloc.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PYMALLOC_API __attribute__((visibility("default")))

struct pymalloc_heap;

/**
 * struct pymalloc_heap_options - what a new heap is to be like
 * @name: a name for people, of less than PYMALLOC_NAME_LEN printable ASCII
 *	characters; or NULL
 * @alignment: 8 or 16, to which every object is aligned; 0 is 8
 * @flags: PYMALLOC_CREATE_*, or 0; but not PYMALLOC_CREATE_SHARED (pymalloc-shared.h)
 * @limit: most bytes of pages and metadata that the heap may hold; 0 is the service's
 *	default
 * @window: bytes of addresses that the heap may come to use, a multiple of
 *	PYMALLOC_ARENA_SIZE and at most PYMALLOC_WINDOW_MAX; 0 is the service's
 *	default.  Addresses are mapped only as far as they are used
 */
struct pymalloc_heap_options {
	const char *name;
	unsigned int alignment;
	unsigned int flags;
	__u64 limit;
	__u64 window;
};

/**
 * pymalloc_heap_create() - make a heap
 * @options: what it is to be like; NULL for the defaults
 *
 * The first 16 heaps of a process have magazines; in each further one, every allocation and
 * every free is a system call.
 *
 * Return: the heap; or NULL and ENOENT, EACCES (no service here), EINVAL
 * (@options, or a service of another version), EDQUOT (too many heaps),
 * EMFILE, ENFILE, ENOMEM.
 */
PYMALLOC_API struct pymalloc_heap *
pymalloc_heap_create(const struct pymalloc_heap_options *options);

/**
 * pymalloc_heap_destroy() - give a heap back, with all objects in it
 * @heap: the heap, or NULL; no thread may be using it or use it later
 */
PYMALLOC_API void pymalloc_heap_destroy(struct pymalloc_heap *heap);

/**
 * pymalloc_heap_fd() - the heap's descriptor, for commands not offered here
 * @heap: the heap
 *
 * It belongs to the library: do not close it.  It may change, so ask for it each time.
 *
 * Return: a descriptor that takes the commands of <linux/pymalloc.h>, and on
 * which poll() reports the notice of PYMALLOC_IOC_NOTIFY.
 */
PYMALLOC_API int pymalloc_heap_fd(const struct pymalloc_heap *heap);

/**
 * pymalloc_heap_id() - the heap's number, by which other processes name it
 * @heap: the heap
 *
 * Return: the number.
 */
PYMALLOC_API __u64 pymalloc_heap_id(const struct pymalloc_heap *heap);

/**
 * pymalloc_heap_flush() - give back what the calling thread's magazines hold
 * @heap: the heap
 *
 * A thread's end does the same.  Keeps errno.
 */
PYMALLOC_API void pymalloc_heap_flush(struct pymalloc_heap *heap);

/**
 * pymalloc_heap_trim() - give the memory of empty pools back to the system
 * @heap: the heap
 * @released: where to store the bytes given back; may be NULL
 *
 * Flushes the calling thread's magazines first.
 *
 * Return: 0; or -1 and EBADF, EPERM (not the heap's process).
 */
PYMALLOC_API int pymalloc_heap_trim(struct pymalloc_heap *heap,
				    __u64 *released);

/**
 * pymalloc_heap_compact() - give back all memory that a heap can give back
 * @heap: the heap
 * @what: PYMALLOC_COMPACT_*: what is to be done; 0 is all of it
 * @done: where to store what was done; may be NULL
 *
 * Beside what pymalloc_heap_trim() does, this takes back what other threads keep in their
 * magazines, and lets sparse pools share pages.  No object changes its address.  Other
 * threads may use the heap meanwhile.
 *
 * Return: 0; or -1 and EBADF, EINVAL, EPERM (not the heap's process), EINTR (the caller is
 * being killed), ENOTTY (the module is older).
 */
PYMALLOC_API int pymalloc_heap_compact(struct pymalloc_heap *heap, __u32 what,
				       struct pymalloc_compact *done);

/**
 * pymalloc_heap_seal() - make a heap one for reading only, for good
 * @heap: the heap; no other thread may be using it meanwhile
 *
 * For tables that are built once: children of fork() share all of its pages, and none is ever
 * copied, since nobody can write to them.  A write to an object is a SIGSEGV from then on,
 * whatever mprotect() has said.  Allocations and resizes fail with EPERM, a free calls the
 * function of pymalloc_set_bad_free() with PYMALLOC_REF_SEALED, and pymalloc_heap_destroy() does
 * nothing: the heap stays until the process ends.  Stacks, reservations and types in it cannot be
 * used any more.  Blocks in other threads' magazines are lost.
 *
 * Return: 0, also if it is sealed already; or -1 and EBUSY (something has a reference to one of
 * its pages, with which it could write there: direct I/O or a pipe, for example), EPERM (the
 * process is in a sandbox), ENOTTY (the module is older), EBADF, EINTR (the caller is being
 * killed).
 */
PYMALLOC_API int pymalloc_heap_seal(struct pymalloc_heap *heap);

/**
 * pymalloc_heap_stats() - the kernel's figures of a heap
 * @heap: the heap
 * @stats: where to store them; its member classes is @classes afterwards
 * @classes: where to store those of each size class, the smallest first:
 *	room for PYMALLOC_NR_CLASSES; or NULL
 *
 * Blocks in magazines count as allocated: see pymalloc_heap_cache_stats().
 *
 * Return: 0; or -1 and EBADF, EPERM (not the heap's process).
 */
PYMALLOC_API int pymalloc_heap_stats(struct pymalloc_heap *heap,
				     struct pymalloc_stats *stats,
				     struct pymalloc_class_stats *classes);

/**
 * struct pymalloc_cache_stats - the magazines of all threads for one heap
 * @threads: threads that have magazines
 * @blocks: blocks in them; approximate while other threads are running
 * @bytes: bytes of these blocks
 * @bytes_max: the most bytes of blocks that one thread can hold
 * @nr_fills: batches allocated to fill magazines so far
 * @nr_flushes: batches freed to flush magazines so far
 */
struct pymalloc_cache_stats {
	__u64 threads;
	__u64 blocks;
	__u64 bytes;
	__u64 bytes_max;
	__u64 nr_fills;
	__u64 nr_flushes;
};

/**
 * pymalloc_heap_cache_stats() - the library's figures of a heap
 * @heap: the heap
 * @stats: where to store them
 *
 * It counts as a use of every thread's magazines.  Called more often than every decay_ms
 * (a parameter of the module, 2000 milliseconds), it keeps the kernel from taking blocks
 * back from threads that do not use them.
 */
PYMALLOC_API void
pymalloc_heap_cache_stats(struct pymalloc_heap *heap,
			  struct pymalloc_cache_stats *stats);

/**
 * pymalloc_enter_sandbox() - do without all system calls but read() and write()
 *
 * A thread that is about to give up most system calls for ever, as with a filter of
 * seccomp(), calls this right before.  From then on the whole process moves batches by
 * read() and write() on its heaps' descriptors, which the sandbox must allow.  There is no
 * way back, and children of fork() begin in the same state.  (With the malloc shim this
 * is not needed: it sees prctl(PR_SET_SECCOMP) and seccomp().)
 *
 * The calling thread gets its magazines now, for each heap that has magazines.  The first
 * allocation of any other thread needs an mmap(), and the end of that thread an munmap().
 * What needs other system calls fails with EPERM: pymalloc_heap_create(),
 * pymalloc_heap_trim(), pymalloc_heap_compact(), pymalloc_heap_stats().  In a child of
 * fork(), pymalloc_heap_id() may return the number of the parent's heap, and
 * pymalloc_heap_destroy() only unmaps.
 *
 * A program that closes a heap's descriptor in the sandbox loses the heap: allocations fail
 * with ENOMEM, and nothing is freed any more.  If it opens another file under the same
 * number before the library has noticed, refs may be written into that file.
 */
PYMALLOC_API void pymalloc_enter_sandbox(void);

/**
 * pymalloc_malloc() - allocate an object
 * @heap: the heap
 * @size: its size in bytes; 0 is taken as 1
 *
 * The bytes are undefined.  The object has the heap's alignment.  If its size is a multiple
 * of a larger power of two, and at most PYMALLOC_BLOCK_MAX, it is aligned to that power; if it
 * has more than PYMALLOC_BLOCK_MAX bytes, to a page.
 *
 * Return: the object; or NULL and ENOMEM, as for every size above PYMALLOC_SIZE_MAX.
 */
PYMALLOC_API void *pymalloc_malloc(struct pymalloc_heap *heap, size_t size)
	__attribute_malloc__ __attribute__((alloc_size(2)));

/**
 * pymalloc_calloc() - allocate an array of zero bytes
 * @heap: the heap
 * @count: how many members
 * @size: bytes of each
 *
 * Return: the array; or NULL and ENOMEM, also when @count * @size overflows.
 */
PYMALLOC_API void *pymalloc_calloc(struct pymalloc_heap *heap, size_t count,
				   size_t size)
	__attribute_malloc__ __attribute__((alloc_size(2, 3)));

/**
 * pymalloc_realloc() - give an object another size
 * @heap: the heap
 * @object: the object; NULL is as pymalloc_malloc()
 * @size: the new size; 0 frees @object and returns NULL
 *
 * An object that shrinks stays where it is unless moving saves a quarter of
 * it or more.
 *
 * Return: the object, which may have moved, with its first bytes up to the smaller size as
 * they were; or NULL and ENOMEM, with @object as it was.
 */
PYMALLOC_API void *pymalloc_realloc(struct pymalloc_heap *heap, void *object,
				    size_t size)
	__attribute__((alloc_size(3)));

/**
 * pymalloc_aligned_alloc() - allocate an object with a given alignment
 * @heap: the heap
 * @alignment: a power of two, of at most PYMALLOC_POOL_SIZE
 * @size: its size in bytes
 *
 * Return: the object; or NULL and EINVAL (@alignment), ENOMEM.
 */
PYMALLOC_API void *pymalloc_aligned_alloc(struct pymalloc_heap *heap,
					  size_t alignment, size_t size)
	__attribute_malloc__ __attribute__((alloc_align(2), alloc_size(3)));

/**
 * pymalloc_free() - free an object
 * @heap: the heap that it is from
 * @object: the object; NULL does nothing
 *
 * Keeps errno.  If @object is no object of the heap, the function of
 * pymalloc_set_bad_free() is called: at once if it lies in no pool, is less aligned than the
 * blocks there, or has been freed before; else when the magazine is flushed.  The first
 * word of a freed object is overwritten.
 */
PYMALLOC_API void pymalloc_free(struct pymalloc_heap *heap, void *object);

/**
 * pymalloc_usable_size() - how many bytes of an object may be used
 * @heap: the heap that it is from
 * @object: the object; NULL gives 0
 *
 * Return: its size, at least what was asked for.
 */
PYMALLOC_API size_t pymalloc_usable_size(struct pymalloc_heap *heap,
					 const void *object);

/**
 * typedef pymalloc_bad_free_fn - what is to be done on a bad free
 * @heap: the heap
 * @object: what was freed
 * @status: what is there instead of an object: enum pymalloc_ref_status
 *
 * It is called in the middle of the library's work, so it must not call the library.  If it
 * returns, nothing has been freed.
 */
typedef void (*pymalloc_bad_free_fn)(struct pymalloc_heap *heap, void *object,
				     unsigned int status);

/**
 * pymalloc_set_bad_free() - set what is to be done on a bad free
 * @fn: the function; NULL for the default, which writes a line to stderr and
 *	aborts
 *
 * Return: what was set before, or NULL for the default.
 */
PYMALLOC_API pymalloc_bad_free_fn
pymalloc_set_bad_free(pymalloc_bad_free_fn fn);

#ifdef __cplusplus
}
#endif

#endif /* _PYMALLOC_H */
