// SPDX-License-Identifier: GPL-2.0
/*
 * Meshing: pools of one class share a frame.  Does nothing yet.
 */
#include "mesh.h"

/**
 * pym_mesh() - let pools of one class share frames
 * @heap: the heap
 * @result: what has been done is added to it
 *
 * Context: Sleeps.  Not under the gate.
 * Return: 0, or -EBUSY, -EINTR or -EAGAIN.
 */
int pym_mesh(struct pym_heap *heap, struct pym_mesh_result *result)
{
	return 0;
}

/**
 * pym_faces_reclaim() - free the faces that have no block any more
 * @heap: the heap
 *
 * Context: Sleeps.  Holds @heap->gate for reading, and leaves it for a while.
 * Return: how many pages went.
 */
u64 pym_faces_reclaim(struct pym_heap *heap)
{
	return 0;
}
