// SPDX-License-Identifier: LGPL-2.1-or-later
/* The shim's one heap, and what the fast paths see of it. */
#include "shim.h"

struct pymalloc_view shim_view;
struct pymalloc_view shim_window;
struct pymalloc_heap *shim_heap;

/* Its extent comes last: from then on the window is not empty. */
static void show(const struct pymalloc_heap *heap, struct pymalloc_view *view)
{
	view->base = heap->view.base;
	view->pool_map = heap->view.pool_map;
	__atomic_store_n(&view->extent, heap->view.extent, __ATOMIC_RELEASE);
}

/* The fast paths see nothing of it. */
void shim_show_window(const struct pymalloc_heap *heap)
{
	show(heap, &shim_window);
}

void shim_show_all(const struct pymalloc_heap *heap)
{
	show(heap, &shim_window);
	show(heap, &shim_view);
}
