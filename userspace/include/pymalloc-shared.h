/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shared heaps: objects of several processes, which go when the last process that needs them
 * has dropped them or has ended, however that was.
 *
 * The kernel knows which process holds which object.  The library counts within its process how
 * often an object is held, and calls the kernel only for the first hold and for the last drop;
 * drops wait until there are some of them.  What an allocation returns is held already.
 *
 * An object lies at the same offset of the heap's window in each process, its ref, and in each
 * one at another address: objects refer to each other by refs.
 *
 * All threads may use a heap at the same time.  A child of fork() has the heap, and holds what
 * its parent held, as often.  What other threads than the one that has called fork() held, the
 * child holds until it drops it or ends.  No function here may be called by a signal's handler
 * that may have interrupted one.
 *
 * Programs that include this file are compiled with the layout of a struct.  They ask for the
 * symbol version PYMALLOC_SHARED_1.
 */
#ifndef _PYMALLOC_SHARED_H
#define _PYMALLOC_SHARED_H

#include <stddef.h>
#include <stdint.h>

#include <pymalloc.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct pymalloc_shared_options - what a new shared heap is to be like
 * @name: a name for people, of less than PYMALLOC_NAME_LEN printable ASCII characters; or NULL
 * @alignment: of every object, 8 or 16; 0 is 8
 * @flags: 0
 * @limit: most bytes of pages and metadata; 0 is the service's default
 * @window: bytes of addresses, a multiple of PYMALLOC_ARENA_SIZE from PYMALLOC_WINDOW_MIN to
 *	PYMALLOC_WINDOW_MAX; 0 is the service's default
 *
 * Each process that has the heap needs one and a half times @window of addresses.
 */
struct pymalloc_shared_options {
	const char *name;
	unsigned int alignment;
	unsigned int flags;
	__u64 limit;
	__u64 window;
};

/**
 * struct pymalloc_shared - the first part of a shared heap: what the functions here need to know
 * @base: where its window is mapped
 *
 * There are 4 bytes of a count for each 8 bytes of the window.  This struct lies where the count of
 * address 0 would lie: that of an object is found without a load.
 */
struct pymalloc_shared {
	char *base;
};

/*
 * What the count of an object is as long as the process holds it once; twice is one more.  One
 * less is an object whose last drop the kernel does not know yet.
 */
#define PYMALLOC_SHARED_ONCE	0x80000000U

/**
 * pymalloc_shared_create() - make a shared heap
 * @options: what it is to be like, or NULL for all defaults
 *
 * It lives until its last process has closed it, or ended.  Its memory is charged to the calling
 * process, its user and its memory cgroup, whoever allocates.
 *
 * Return: the heap; or NULL and ENOENT, EACCES (there is no /dev/pymalloc, or it cannot be opened),
 * EINVAL (@options, or a service of another version), EDQUOT (too many heaps of the user), ENOMEM
 * (memory, or addresses), EMFILE, ENFILE, EPERM (the process is in a sandbox).
 */
PYMALLOC_API struct pymalloc_shared *
pymalloc_shared_create(const struct pymalloc_shared_options *options);

/**
 * pymalloc_shared_open() - use a shared heap of which there is a descriptor
 * @fd: the descriptor, from another process (SCM_RIGHTS) or from PYMALLOC_IOC_OPEN; it is copied,
 *	and stays the caller's
 *
 * With a descriptor that is only a reader's (PYMALLOC_IOC_SEAL, PYMALLOC_OPEN_RDONLY), objects can
 * be read, held, dropped and received, and nothing else.
 *
 * A process has each heap once: if it has this one already, that is returned, and is to be closed
 * once more.
 *
 * Return: the heap; or NULL and EBADF, ENOTTY (not a heap's descriptor), EINVAL (not a shared
 * heap), EPERM (the descriptor is an observer's, or the process in a sandbox), EBUSY (the process
 * has the heap already, and @fd is a reader's and that not, or the reverse), ESTALE (the heap has
 * ended), ENOMEM, EMFILE.
 */
PYMALLOC_API struct pymalloc_shared *pymalloc_shared_open(int fd);

/**
 * pymalloc_shared_open_id() - use a shared heap of the same user by its number
 * @id: the number, see pymalloc_shared_id() and `pymalloc ls`
 *
 * Return: as pymalloc_shared_open(); or NULL and ENOENT (there is no such heap), EACCES.
 */
PYMALLOC_API struct pymalloc_shared *pymalloc_shared_open_id(__u64 id);

/**
 * pymalloc_shared_close() - use a shared heap no more
 * @heap: the heap, or NULL; no thread may be using it or use it later
 *
 * If it is closed as often as it was opened, the process holds nothing of it any more, and its
 * objects are unmapped.  Keeps errno.
 */
PYMALLOC_API void pymalloc_shared_close(struct pymalloc_shared *heap);

/**
 * pymalloc_shared_fd() - a shared heap's descriptor
 * @heap: the heap
 *
 * It belongs to the library: it is not to be closed.  It can be sent to another process, and is
 * for the commands that have no function here.  poll() reports POLLIN as long as something has
 * been given to this process that it has not received.  A program that drops or receives by the
 * descriptor what the library counts is wrong.
 *
 * Return: the descriptor.
 */
PYMALLOC_API int pymalloc_shared_fd(const struct pymalloc_shared *heap);

/**
 * pymalloc_shared_id() - a shared heap's number
 * @heap: the heap
 *
 * Return: the number, the same in all processes.
 */
PYMALLOC_API __u64 pymalloc_shared_id(const struct pymalloc_shared *heap);

/**
 * pymalloc_shared_client() - the number of this process as a client of the heap
 * @heap: the heap
 *
 * Others give to it by this number.  A child of fork() has another one.
 *
 * Return: the number; or 0 and EPERM (there was no memory in fork() to make this child a client,
 * or the process is in a sandbox), ESTALE (the heap has ended).
 */
PYMALLOC_API __u32 pymalloc_shared_client(struct pymalloc_shared *heap);

/**
 * pymalloc_shared_alloc() - allocate an object, and hold it once
 * @heap: the heap
 * @size: bytes, up to PYMALLOC_SIZE_MAX; 0 is 1
 *
 * Blocks come from a stock of up to 64 for each size class, which the process holds as well: they
 * are not lost when it ends.  The bytes of the object are undefined.
 *
 * Return: the object; or NULL and ENOMEM (a limit, no memory, the window is full, or @size is too
 * large), EDQUOT (the user's limit, or this client's), EPERM (a reader, no client, or in a
 * sandbox), ESTALE (the heap has ended).  Waiting drops have been sent then.
 */
PYMALLOC_API void *pymalloc_shared_alloc(struct pymalloc_shared *heap, size_t size);

/**
 * pymalloc_shared_alloc_batch() - allocate objects of one size
 * @heap: the heap
 * @size: bytes of each, as for pymalloc_shared_alloc()
 * @objects: where to store them
 * @count: how many
 *
 * Return: how many there are now; if that is less than @count, errno says why, as for
 * pymalloc_shared_alloc().
 */
PYMALLOC_API size_t pymalloc_shared_alloc_batch(struct pymalloc_shared *heap, size_t size,
						void **objects, size_t count);

/**
 * pymalloc_shared_flush() - tell the kernel all drops, and give the stock back
 * @heap: the heap
 *
 * Up to 64 last drops of blocks wait in a process until there are so many, or until it waits for
 * something here; a large object's never waits.  Objects that others do not need either are freed
 * when this returns.
 *
 * Return: 0; or -1 and EPERM (no client, or in a sandbox), ESTALE (the heap has ended).
 */
PYMALLOC_API int pymalloc_shared_flush(struct pymalloc_shared *heap);

/**
 * pymalloc_shared_ref() - by which name all processes know an object
 * @heap: the heap
 * @object: an address in the heap, or NULL
 *
 * Return: its ref; 0 for NULL.
 */
static inline __u64 pymalloc_shared_ref(const struct pymalloc_shared *heap, const void *object)
{
	return object ? (uintptr_t)object - (uintptr_t)heap->base : 0;
}

/**
 * pymalloc_shared_at() - where the object of a ref is
 * @heap: the heap
 * @ref: the ref: whoever writes refs into objects is to be trusted with what they name
 *
 * Return: its address in this process; NULL for 0.
 */
static inline void *pymalloc_shared_at(const struct pymalloc_shared *heap, __u64 ref)
{
	return ref ? heap->base + ref : NULL;
}

/* What the functions below call if more is to be done than to count. */
PYMALLOC_API int pymalloc_shared_hold_slow(struct pymalloc_shared *heap, const void *object);
PYMALLOC_API void pymalloc_shared_drop_slow(struct pymalloc_shared *heap, const void *object,
					    __u32 before);

static inline __u32 *pymalloc_shared_count(const struct pymalloc_shared *heap, const void *object)
{
	return (__u32 *)((uintptr_t)heap + ((uintptr_t)object >> 3) * 4);
}

/**
 * pymalloc_shared_hold() - hold an object once more
 * @heap: the heap
 * @object: an address at which one of its objects begins: this is not checked if it lies outside
 *	the window.  Somebody must need the object: this process, another one, or a name; else it
 *	may be another one by now
 *
 * It makes a system call if this process did not hold it, and no drop of it waits.
 *
 * Return: 0; or -1 and EBADSLT (no object begins there, or not any more), EDQUOT (this client's
 * limit, or the user's), ENOMEM, EPERM (no client, or in a sandbox), ESTALE (the heap has ended).
 */
static inline int pymalloc_shared_hold(struct pymalloc_shared *heap, const void *object)
{
	/* Only counts of what is held are negative. */
	if (__builtin_expect((__s32)__atomic_add_fetch(pymalloc_shared_count(heap, object), 1,
						       __ATOMIC_RELAXED) < 0, 1))
		return 0;
	return pymalloc_shared_hold_slow(heap, object);
}

/**
 * pymalloc_shared_drop() - hold an object once less
 * @heap: the heap
 * @object: the object.  That it lies in the window is not checked
 *
 * If nobody holds it any more, it is freed; but see pymalloc_shared_flush().  If the process does
 * not hold it, the function of pymalloc_set_bad_drop() is called.  Keeps errno.
 */
static inline void pymalloc_shared_drop(struct pymalloc_shared *heap, const void *object)
{
	/* What was done with it comes before the free, whoever drops it last. */
	__u32 before = __atomic_fetch_sub(pymalloc_shared_count(heap, object), 1,
					  __ATOMIC_RELEASE);

	if (__builtin_expect(before <= PYMALLOC_SHARED_ONCE, 0))
		pymalloc_shared_drop_slow(heap, object, before);
}

/**
 * typedef pymalloc_bad_drop_fn - called instead of dropping
 * @heap: the heap
 * @object: an address there at which the process holds nothing
 */
typedef void (*pymalloc_bad_drop_fn)(struct pymalloc_shared *heap, const void *object);

/**
 * pymalloc_set_bad_drop() - say what is to happen when what is not held is dropped
 * @fn: the function, or NULL for the default, which writes a line to stderr and aborts.  If it
 *	returns, nothing has been dropped
 *
 * Return: what was set before; NULL is the default.
 */
PYMALLOC_API pymalloc_bad_drop_fn pymalloc_set_bad_drop(pymalloc_bad_drop_fn fn);

/**
 * pymalloc_shared_give() - give an object to another process
 * @heap: the heap
 * @client: the number that pymalloc_shared_client() has returned there
 * @object: an object that this process holds
 *
 * It is held once less here, and is the other's to receive; it is somebody's all the time, and
 * goes if the other one ends before.
 *
 * Return: 0; or -1, and nothing has changed: EBADSLT (the process does not hold it), ESRCH (there
 * is no such client any more), EAGAIN (it has not received very many), EDQUOT, ENOMEM, EPERM (a
 * reader, no client, or in a sandbox), ESTALE (the heap has ended).
 */
PYMALLOC_API int pymalloc_shared_give(struct pymalloc_shared *heap, __u32 client,
				      const void *object);

/**
 * pymalloc_shared_give_batch() - give objects to another process, in order
 * @heap: the heap
 * @client: the number
 * @objects: the objects
 * @count: how many
 *
 * Return: how many were given, from the first one on; if that is less than @count, errno says why,
 * as for pymalloc_shared_give().
 */
PYMALLOC_API size_t pymalloc_shared_give_batch(struct pymalloc_shared *heap, __u32 client,
					       void *const *objects, size_t count);

/**
 * pymalloc_shared_receive() - get what others have given
 * @heap: the heap
 * @objects: where to store the objects, each of which is held once more than before
 * @count: how many at most
 * @timeout: for how many milliseconds to wait for the first one; 0 is not at all, and less is for
 *	ever
 *
 * Before it waits, waiting drops are sent.
 *
 * Return: how many there are; or -1 and EAGAIN (none), EINTR (a signal came while it waited),
 * EINVAL (@count is 0), EDQUOT (this client's limit), ENOMEM, EPERM (no client, or in a sandbox),
 * ESTALE (the heap has ended).
 */
PYMALLOC_API int pymalloc_shared_receive(struct pymalloc_shared *heap, void **objects,
					 unsigned int count, int timeout);

/**
 * pymalloc_shared_publish() - give an object a name
 * @heap: the heap
 * @name: from 1 to PYMALLOC_NAME_LEN - 1 printable ASCII characters
 * @object: an object that this process holds, and goes on to hold
 *
 * The name needs the object as well, whoever ends.  If another object has the name, it loses it.
 *
 * Return: 0; or -1 and EINVAL (@name), EBADSLT (the process does not hold it), EDQUOT, ENOMEM,
 * EPERM (a reader, no client, or in a sandbox), ESTALE (the heap has ended).
 */
PYMALLOC_API int pymalloc_shared_publish(struct pymalloc_shared *heap, const char *name,
					 const void *object);

/**
 * pymalloc_shared_publish_new() - give an object a name that nothing has
 * @heap: the heap
 * @name: the name
 * @object: the object
 *
 * Of several processes that try at the same time, one is successful.
 *
 * Return: as pymalloc_shared_publish(); or -1 and EEXIST.
 */
PYMALLOC_API int pymalloc_shared_publish_new(struct pymalloc_shared *heap, const char *name,
					     const void *object);

/**
 * pymalloc_shared_lookup() - hold the object that has a name
 * @heap: the heap
 * @name: the name
 *
 * Return: the object, held once more than before; or NULL and ENOENT (nothing has the name), EINVAL
 * (@name), EDQUOT (this client's limit), ENOMEM, EPERM (no client, or in a sandbox), ESTALE (the
 * heap has ended).
 */
PYMALLOC_API void *pymalloc_shared_lookup(struct pymalloc_shared *heap, const char *name);

/**
 * pymalloc_shared_wait() - wait until an object has a name, and hold it
 * @heap: the heap
 * @name: the name
 *
 * Before it waits, waiting drops are sent.
 *
 * Return: as pymalloc_shared_lookup(), but not ENOENT; or NULL and EINTR (a signal came).
 */
PYMALLOC_API void *pymalloc_shared_wait(struct pymalloc_shared *heap, const char *name);

/**
 * pymalloc_shared_remove() - take a name away
 * @heap: the heap
 * @name: the name
 *
 * Return: 0; or -1 and ENOENT (nothing has the name), EINVAL (@name), EPERM (a reader, no client,
 * or in a sandbox), ESTALE (the heap has ended).
 */
PYMALLOC_API int pymalloc_shared_remove(struct pymalloc_shared *heap, const char *name);

#ifdef __cplusplus
}
#endif

#endif /* _PYMALLOC_SHARED_H */
