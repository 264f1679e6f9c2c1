/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Faces: pools of one class that have one frame together.  See face.c.
 */
#ifndef PYM_FACE_H
#define PYM_FACE_H

#include "types.h"

/*
 * The most faces of a frame.  Who allocates from a frame, or frees through one of its faces,
 * looks at all of them.  More would help only classes of less than 64 bytes whose pools are
 * almost empty.
 */
#define PYM_FACES_MAX	64

/* For each face of a pool's frame, from this pool on; for a pool alone, itself. */
#define pym_for_each_face(face, pool)						\
	for ((face) = (pool); (face); (face) = pym_face_next(face, pool))

/* The face after @face, in a loop that began at @first; NULL if that was the last. */
static inline struct pym_pool *pym_face_next(const struct pym_pool *face,
					     const struct pym_pool *first)
{
	return face->next_face == first ? NULL : face->next_face;
}

/* Has the pool no frame of its own, but that of another pool? */
static inline bool pym_pool_is_face(const struct pym_pool *pool)
{
	return READ_ONCE(pool->flags) & PYM_POOL_FACE;
}

/* Blocks allocated in all faces of a frame, of which @pool is the primary one. */
static inline unsigned int pym_frame_blocks(const struct pym_pool *pool)
{
	return pool->next_face ? pool->nr_frame : pool->nr_alloc;
}

struct pym_pool *pym_face_primary(struct pym_pool *pool);
unsigned int pym_frame_take(const struct pym_class *class, struct pym_pool *pool, u64 *refs,
			    unsigned int nr);
void pym_frame_get_taken(const struct pym_class *class, const struct pym_pool *pool,
			 unsigned long *taken);
void pym_face_spend_locked(struct pym_class *class, struct pym_pool *pool);
void pym_faces_join_locked(struct pym_class *class, struct pym_pool *source,
			   struct pym_pool *target);
struct pym_pool *pym_face_leave_locked(struct pym_class *class, struct pym_pool *pool);

#endif /* PYM_FACE_H */
