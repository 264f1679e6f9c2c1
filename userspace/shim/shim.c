// SPDX-License-Identifier: LGPL-2.1-or-later
/* The shim's only heap, and what the fast paths see of it. */
#include "shim.h"

struct pymalloc_view shim_view;
struct pymalloc_view shim_window;
struct pymalloc_heap *shim_heap;

/*
 * The extent comes last: from then on the window is not empty.  The release pairs with the
 * acquire in shim_has_heap(); other readers have an object that was allocated later.
 */
static void show_in(const struct pymalloc_heap *heap, struct pymalloc_view *view)
{
	view->base = heap->view.base;
	view->pool_map = heap->view.pool_map;
	__atomic_store_n(&view->extent, heap->view.extent, __ATOMIC_RELEASE);
}

/**
 * shim_show_window() - let the slow paths see how much of the window there is
 * @heap: the shim's heap
 */
void shim_show_window(const struct pymalloc_heap *heap)
{
	show_in(heap, &shim_window);
}

/**
 * shim_show_all() - let the fast paths see it as well
 * @heap: the shim's heap
 */
void shim_show_all(const struct pymalloc_heap *heap)
{
	show_in(heap, &shim_window);
	show_in(heap, &shim_view);
}
