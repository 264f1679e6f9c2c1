/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Meshing: pools whose blocks lie in different slots get one frame.  See mesh.c.
 */
#ifndef PYM_MESH_H
#define PYM_MESH_H

#include "types.h"

/**
 * struct pym_mesh_result - what meshing has done
 * @pages_freed: pages given back; grows while the work goes on, for others that watch it
 * @frames_joined: frames that took the blocks of others
 * @bytes_copied: bytes of blocks copied
 * @pages_pinned: pages left alone because somebody else uses them
 */
struct pym_mesh_result {
	u64 pages_freed;
	u64 frames_joined;
	u64 bytes_copied;
	u64 pages_pinned;
};

int pym_mesh(struct pym_heap *heap, struct pym_mesh_result *result);
u64 pym_faces_reclaim(struct pym_heap *heap);
u64 pym_faces_reclaim_gated(struct pym_heap *heap);

#endif /* PYM_MESH_H */
