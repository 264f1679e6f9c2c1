// SPDX-License-Identifier: LGPL-2.1-or-later
/* Heaps: made, mapped, asked and given back. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "call.h"
#include "fd.h"
#include "heap.h"
#include "magazine.h"
#include "sandbox.h"
#include "thread.h"
#include "typelist.h"
#include "window.h"

/* Fills in the defaults for what the caller left open. */
static int complete_options(int device, struct pymalloc_create *args)
{
	struct pymalloc_info info = { .argsz = sizeof(info) };

	if (ioctl(device, PYMALLOC_IOC_INFO, &info) < 0)
		return -1;
	if (!args->alignment)
		args->alignment = PYMALLOC_BLOCK_MIN;
	if (!args->window)
		args->window = info.window_default;
	args->extent = pyml_window_first(args->window);
	if (info.abi_version == PYMALLOC_ABI_VERSION)
		return 0;
	errno = EINVAL;
	return -1;
}

static int open_new(struct pymalloc_create *args)
{
	int device = pyml_fd_open_device();
	int fd = -1;

	if (device < 0)
		return -1;
	if (!complete_options(device, args))
		fd = ioctl(device, PYMALLOC_IOC_CREATE, args);
	close(device);
	return fd < 0 ? -1 : pyml_fd_move_up(fd, PYML_LOWEST_FD);
}

static int init_heap(struct pymalloc_heap *heap, struct pymalloc_create *args,
		     size_t first)
{
	heap->fd = open_new(args);
	if (heap->fd < 0)
		return -1;
	heap->id = args->id;
	heap->window = args->window;
	heap->view.round = args->alignment - 1;
	heap->view.keep = ~heap->view.round;
	if (pyml_window_map(heap) < 0) {
		close(heap->fd);
		return -1;
	}
	pyml_caches_attach(heap, first);
	return 0;
}

static int take_options(struct pymalloc_create *args,
			const struct pymalloc_heap_options *options)
{
	const char *name = options->name ? options->name : "";
	size_t length = strlen(name);

	args->alignment = options->alignment;
	args->flags = options->flags;
	args->limit = options->limit;
	args->window = options->window;
	/* Nothing in a shared heap could be freed. */
	if (length < sizeof(args->name) && !(options->flags & PYMALLOC_CREATE_SHARED)) {
		memcpy(args->name, name, length);
		return 0;
	}
	errno = EINVAL;
	return -1;
}

/**
 * pyml_heap_create_from() - pymalloc_heap_create(), with a choice of the index
 * @options: as there
 * @first: the least index in pyml_magazines that the heap may get; with
 *	PYML_CACHED_HEAPS it has no magazines
 *
 * Return: as there.
 */
struct pymalloc_heap *
pyml_heap_create_from(const struct pymalloc_heap_options *options,
		      size_t first)
{
	struct pymalloc_create args = { .argsz = sizeof(args) };
	struct pymalloc_heap *heap;
	int err;

	if (options && take_options(&args, options) < 0)
		return NULL;
	if (pyml_in_sandbox()) {
		errno = EPERM;
		return NULL;
	}
	heap = mmap(NULL, sizeof(*heap), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (heap == MAP_FAILED)
		return NULL;
	if (!init_heap(heap, &args, first))
		return heap;
	err = errno;
	munmap(heap, sizeof(*heap));
	errno = err;
	return NULL;
}

struct pymalloc_heap *
pymalloc_heap_create(const struct pymalloc_heap_options *options)
{
	return pyml_heap_create_from(options, 0);
}

void pymalloc_heap_destroy(struct pymalloc_heap *heap)
{
	struct pymalloc_end end = { .argsz = sizeof(end) };

	if (!heap || heap->sealed)
		return;
	pyml_types_forget(heap);
	pyml_caches_detach(heap);
	/* Closing is not enough: a child of fork() may have the descriptor as well. */
	pyml_call(heap, PYMALLOC_IOC_END, &end);
	pyml_window_unmap(heap);
	close(heap->fd);
	munmap(heap, sizeof(*heap));
}

int pymalloc_heap_fd(const struct pymalloc_heap *heap)
{
	return heap->fd;
}

/* In a child of fork() the heap has another number than in its parent: so it is asked for. */
__u64 pymalloc_heap_id(const struct pymalloc_heap *heap)
{
	struct pymalloc_heap_info info = { .id = heap->id };
	struct pymalloc_list args = {
		.argsz = sizeof(args),
		.heaps = (uintptr_t)&info,
		.count = 1,
		.entry_size = sizeof(info),
	};

	/* Without an answer, the number stays as it is. */
	pyml_call((struct pymalloc_heap *)heap, PYMALLOC_IOC_LIST, &args);
	return info.id;
}

void pymalloc_heap_flush(struct pymalloc_heap *heap)
{
	struct pyml_cache *cache = pyml_cache_own(heap);

	if (cache)
		pyml_magazines_flush(cache);
}

int pymalloc_heap_trim(struct pymalloc_heap *heap, __u64 *released)
{
	struct pymalloc_trim args = { .argsz = sizeof(args) };
	int ret;

	pymalloc_heap_flush(heap);
	ret = pyml_call(heap, PYMALLOC_IOC_TRIM, &args);
	if (released)
		*released = args.released;
	return ret;
}

int pymalloc_heap_compact(struct pymalloc_heap *heap, __u32 what,
			  struct pymalloc_compact *done)
{
	struct pymalloc_compact args = { .argsz = sizeof(args), .flags = what };
	int ret;

	pymalloc_heap_flush(heap);
	ret = pyml_call(heap, PYMALLOC_IOC_COMPACT, &args);
	if (done)
		*done = args;
	return ret;
}

int pymalloc_heap_seal(struct pymalloc_heap *heap)
{
	struct pymalloc_seal args = { .argsz = sizeof(args) };

	if (heap->sealed)
		return 0;
	pymalloc_heap_flush(heap);
	if (pyml_call(heap, PYMALLOC_IOC_SEAL, &args))
		return -1;
	heap->sealed = true;
	pyml_caches_bypass(heap);
	pyml_types_forget(heap);
	return 0;
}

int pymalloc_heap_stats(struct pymalloc_heap *heap,
			struct pymalloc_stats *stats,
			struct pymalloc_class_stats *classes)
{
	*stats = (struct pymalloc_stats){
		.argsz = sizeof(*stats),
		.classes = (uintptr_t)classes,
		.nr_classes = classes ? PYMALLOC_NR_CLASSES : 0,
		.class_size = classes ? sizeof(*classes) : 0,
	};
	return pyml_call(heap, PYMALLOC_IOC_STATS, stats);
}
