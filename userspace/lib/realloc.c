// SPDX-License-Identifier: LGPL-2.1-or-later
/* Objects that change their size. */
#include <errno.h>
#include <string.h>

#include "heap.h"
#include "sandbox.h"

static void *move(struct pymalloc_heap *heap, void *object, size_t usable,
		  size_t size)
{
	void *moved = pymalloc_malloc(heap, size);

	if (!moved)
		return NULL;
	memcpy(moved, object, size < usable ? size : usable);
	pymalloc_free(heap, object);
	return moved;
}

void *pymalloc_realloc(struct pymalloc_heap *heap, void *object, size_t size)
{
	size_t usable, class;

	if (!object)
		return pymalloc_malloc(heap, size);
	if (!size) {
		pymalloc_free(heap, object);
		return NULL;
	}
	class = pyml_class_at(&heap->view, object);
	if (pyml_is_free(heap, object, class)) {
		pyml_bad_free(heap, object, PYMALLOC_REF_FREE);
		errno = EINVAL;
		return NULL;
	}
	usable = pymalloc_usable_size(heap, object);
	if (pyml_stays(usable, size))
		return object;
	if (usable > PYMALLOC_BLOCK_MAX && size > PYMALLOC_BLOCK_MAX &&
	    !pyml_in_sandbox())
		return pyml_large_resize(heap, object, size);
	if (usable)
		return move(heap, object, usable, size);
	/* Nothing is there: that says why. */
	pymalloc_free_slow(heap, object);
	errno = EINVAL;
	return NULL;
}
