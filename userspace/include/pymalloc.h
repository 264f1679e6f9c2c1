/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libpymalloc: heaps of small objects whose memory the kernel manages.
 *
 * A heap is private to the process that made it.  Objects of up to
 * PYMALLOC_BLOCK_MAX bytes are blocks; each thread keeps some of every size
 * class at hand in magazines, so that most calls touch no lock and make no
 * system call; no more than 5 MiB of them for each heap.  Larger objects are runs
 * of whole pages, one system call each.
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
 *	characters; NULL is no name
 * @alignment: 8 or 16, to which every object is aligned; 0 is 8
 * @limit: most bytes of pages and metadata that the heap may hold; 0 is the service's
 *	default
 * @window: bytes of addresses that the heap may come to use, a multiple of
 *	PYMALLOC_ARENA_SIZE, of at most PYMALLOC_WINDOW_MAX; 0 is the service's
 *	default.  They are mapped as far as they are used
 */
struct pymalloc_heap_options {
	const char *name;
	unsigned int alignment;
	__u64 limit;
	__u64 window;
};

/**
 * pymalloc_heap_create() - make a heap
 * @options: what it is to be like; NULL for the defaults
 *
 * The first 16 heaps of a process have magazines; with more, each object of
 * the further ones costs a system call.
 *
 * Return: the heap; or NULL and ENOENT, EACCES (no service here), EINVAL
 * (@options, or a service of another version), EDQUOT (too many heaps),
 * EMFILE, ENFILE, ENOMEM.
 */
PYMALLOC_API struct pymalloc_heap *
pymalloc_heap_create(const struct pymalloc_heap_options *options);

/**
 * pymalloc_heap_destroy() - give a heap back with all that is in it
 * @heap: the heap, or NULL; no thread may be using it or use it later
 */
PYMALLOC_API void pymalloc_heap_destroy(struct pymalloc_heap *heap);

/**
 * pymalloc_heap_fd() - the heap's descriptor, for commands not offered here
 * @heap: the heap
 *
 * It stays the library's: do not close it, and ask again rather than keep it.
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
 * Done by itself when a thread ends.  Keeps errno.
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
 * @blocks: blocks in them, near enough while other threads are running
 * @bytes: bytes of those
 * @bytes_max: the most bytes of blocks that one thread can hold
 * @nr_fills: batches allocated so far
 * @nr_flushes: batches given back so far
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
 */
PYMALLOC_API void
pymalloc_heap_cache_stats(struct pymalloc_heap *heap,
			  struct pymalloc_cache_stats *stats);

/**
 * pymalloc_enter_sandbox() - do without all system calls but read() and write()
 *
 * For a thread that is about to give up system calls for good, as by a seccomp
 * filter: call it right before, in that thread.  From then on the whole process
 * moves batches by read() and write() on its heaps' descriptors, for which the
 * sandbox must leave room.  There is no way back; children of fork() begin that
 * way.  (The malloc shim sees prctl(PR_SET_SECCOMP) and seccomp() and needs no
 * such call.)
 *
 * The calling thread gets magazines now, if it has none, for each heap that has
 * any.  Another thread's first allocation takes an mmap(), and an munmap() at
 * its end.  What needs more fails with EPERM: pymalloc_heap_create(),
 * pymalloc_heap_trim(), pymalloc_heap_stats(); pymalloc_heap_id() may name the
 * parent's heap in a child, and pymalloc_heap_destroy() only unmaps.
 *
 * Who closes a heap's descriptor in the sandbox loses the heap: allocations fail
 * with ENOMEM, and nothing is freed any more.  If another file gets the number
 * before the library has met the lost one, refs may be written into it.
 */
PYMALLOC_API void pymalloc_enter_sandbox(void);

/**
 * pymalloc_malloc() - allocate an object
 * @heap: the heap
 * @size: its size in bytes; 0 is taken as 1
 *
 * The bytes are undefined.  Aligned to the heap's alignment; a size that is a
 * multiple of a larger power of two, up to PYMALLOC_BLOCK_MAX, is aligned to
 * that, and more than PYMALLOC_BLOCK_MAX bytes to a page.
 *
 * Return: the object; or NULL and ENOMEM, which a size of more than
 * PYMALLOC_SIZE_MAX always gives.
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
 * Return: the object, moved or not, with the bytes that both sizes have; or
 * NULL and ENOMEM, with @object as it was.
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
 * Keeps errno.  What is no object of the heap is reported as set with
 * pymalloc_set_bad_free(): at once if it lies in no pool, is less aligned than
 * the blocks there, or was freed before, else when the magazine is flushed.
 * The first word of what is freed is overwritten.
 */
PYMALLOC_API void pymalloc_free(struct pymalloc_heap *heap, void *object);

/**
 * pymalloc_usable_size() - bytes that may be used at an object
 * @heap: the heap that it is from
 * @object: the object; NULL gives 0
 *
 * Return: its size, at least what was asked for.
 */
PYMALLOC_API size_t pymalloc_usable_size(struct pymalloc_heap *heap,
					 const void *object);

/**
 * typedef pymalloc_bad_free_fn - what to do about a bad free
 * @heap: the heap
 * @object: what was freed
 * @status: what is there instead of an object: enum pymalloc_ref_status
 *
 * Called in the middle of the library's work: it must not call the library.  If
 * it returns, the free has done nothing.
 */
typedef void (*pymalloc_bad_free_fn)(struct pymalloc_heap *heap, void *object,
				     unsigned int status);

/**
 * pymalloc_set_bad_free() - say what is to be done about bad frees
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
