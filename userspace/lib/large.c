// SPDX-License-Identifier: LGPL-2.1-or-later
/* Large objects: runs of pages from the service's raw allocator. */
#include <errno.h>

#include "heap.h"

void *pyml_large_alloc(struct pymalloc_heap *heap, size_t size,
		       unsigned int flags)
{
	__u64 ref;

	if (size > PYMALLOC_SIZE_MAX) {
		errno = ENOMEM;
		return NULL;
	}
	if (!pyml_service_alloc(heap, size, flags, &ref, 1))
		return NULL;
	return heap->view.base + ref;
}

void *pyml_large_resize(struct pymalloc_heap *heap, void *object,
			size_t size)
{
	struct pymalloc_resize args = {
		.argsz = sizeof(args),
		.ref = pyml_ref(heap, object),
		.size = size,
	};
	__u64 extent;
	int ret;

	if (size > PYMALLOC_SIZE_MAX) {
		errno = ENOMEM;
		return NULL;
	}
	do {
		extent = pyml_extent(heap);
		ret = pyml_call(heap, PYMALLOC_IOC_RESIZE, &args);
	} while (ret < 0 &&
		 (errno == EINTR ||
		  (errno == ENOSPC && pyml_window_grow(heap, extent))));
	if (!ret)
		return heap->view.base + args.ref;
	errno = ENOMEM;
	return NULL;
}
