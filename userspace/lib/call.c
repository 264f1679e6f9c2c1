// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Calls to the kernel's service: by ioctl(), again if nothing has been done yet, and by
 * read() and write() in a sandbox.
 */
#include <errno.h>
#include <string.h>

#include "call.h"
#include "fd.h"
#include "report.h"
#include "sandbox.h"
#include "stream.h"
#include "window.h"

/*
 * Makes a call, and makes it again as long as it has done nothing because of a signal, or
 * because the window was used up and has grown now.  @done: where the call says how much
 * it has done.
 */
static inline int call_until_done(struct pymalloc_heap *heap, unsigned long command,
				  void *args, const __u32 *done)
{
	__u64 extent;
	int ret;

	do {
		extent = pyml_extent(heap);
		ret = pyml_ioctl(heap, command, args);
	} while (ret < 0 && !*done &&
		 (errno == EINTR ||
		  (errno == ENOSPC && pyml_window_grow(heap, extent))));
	return ret;
}

/**
 * pyml_call() - make a call that does all of its work or none
 * @heap: the heap
 * @command: PYMALLOC_IOC_*
 * @args: its argument
 *
 * Makes it again if a signal interrupts it, and grows the window if that is used up.
 *
 * Return: as ioctl(); in a sandbox -1 with errno EPERM.
 */
int pyml_call(struct pymalloc_heap *heap, unsigned long command, void *args)
{
	static const __u32 nothing;

	return call_until_done(heap, command, args, &nothing);
}

/**
 * pyml_call_alloc() - allocate a batch of objects
 * @heap: the heap
 * @size: bytes of each, 1 to PYMALLOC_SIZE_MAX
 * @flags: PYMALLOC_ALLOC_*
 * @refs: where to store the refs
 * @count: how many objects
 *
 * Return: how many were allocated, with errno as it was; or 0 with errno ENOMEM.
 */
unsigned int pyml_call_alloc(struct pymalloc_heap *heap, size_t size,
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
	int ret;

	ret = call_until_done(heap, PYMALLOC_IOC_ALLOC, &args, &args.done);
	if (ret < 0 && !args.done && pyml_in_sandbox())
		args.done = pyml_stream_alloc(heap, size, flags, refs, count);
	errno = args.done ? saved : ENOMEM;
	return args.done;
}

/**
 * pyml_alloc_uncached() - allocate a block that does not come from a magazine
 * @heap: the heap
 * @size: bytes
 * @flags: PYMALLOC_ALLOC_*
 *
 * A block that was flushed may still have the mark that its free left: only a pop from a
 * magazine removes it, and the kernel does not know it.
 *
 * Return: as pymalloc_malloc().
 */
void *pyml_alloc_uncached(struct pymalloc_heap *heap, size_t size, unsigned int flags)
{
	void *object;
	__u64 ref;

	if (!pyml_call_alloc(heap, size, flags, &ref, 1))
		return NULL;
	object = heap->view.base + ref;
	if (pymalloc_is_marked(&heap->view, object))
		memset(object, 0, sizeof(void *));
	return object;
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

/**
 * pyml_call_free() - free a batch of objects
 * @heap: the heap
 * @refs: the objects
 * @status: room for the kernel's answer about each; NULL if bad refs are not to be
 *	reported
 * @count: how many objects
 *
 * Keeps errno.  If this process may not use the heap, or not any more, its blocks stay
 * allocated: no error can be returned, and nothing is corrupted.
 */
void pyml_call_free(struct pymalloc_heap *heap, const __u64 *refs,
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
		int ret = pyml_ioctl(heap, PYMALLOC_IOC_FREE, &args);

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

/**
 * pyml_call_caches() - tell the kernel about the magazines, for the heap's figures
 * @heap: the heap
 * @threads: how many threads have magazines
 * @bytes_max: most bytes of blocks in those of one thread
 *
 * Keeps errno.
 */
void pyml_call_caches(struct pymalloc_heap *heap, __u64 threads,
		      __u64 bytes_max)
{
	struct pymalloc_caches args = {
		.argsz = sizeof(args),
		.threads = threads,
		.bytes_max = bytes_max,
	};
	int saved = errno;

	pyml_ioctl(heap, PYMALLOC_IOC_CACHES, &args);
	errno = saved;
}

/**
 * pyml_call_usable() - ask for an object's usable size
 * @heap: the heap
 * @ref: the object
 *
 * Return: its usable bytes; 0 if it is not allocated.
 */
size_t pyml_call_usable(struct pymalloc_heap *heap, __u64 ref)
{
	__u64 size = 0;
	struct pymalloc_usable args = {
		.argsz = sizeof(args),
		.refs = (uintptr_t)&ref,
		.sizes = (uintptr_t)&size,
		.count = 1,
	};
	int ret;

	ret = pyml_call(heap, PYMALLOC_IOC_USABLE, &args);
	if (ret < 0 && pyml_in_sandbox())
		return pyml_stream_usable(heap, ref);
	return size;
}
