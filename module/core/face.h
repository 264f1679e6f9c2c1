/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Faces: pools of one class that have one frame together.  See face.c.
 */
#ifndef PYM_FACE_H
#define PYM_FACE_H

#include "arena.h"
#include "types.h"

/*
 * The most faces of a frame.  Who allocates from a frame, or frees through one of its faces,
 * looks at all of them.  More would help only classes of less than 64 bytes whose pools are
 * almost empty.
 */
#define PYM_FACES_MAX	64

/* For each face of a pool's frame, from this pool on; for a pool alone, itself. */
#define pym_for_each_face(face, pool, heap)					\
	for ((face) = (pool); (face); (face) = pym_face_next(heap, face, pool))

/*
 * The face after @face, in a loop that began at @first; NULL if that was the last.  Under
 * RCU, or with the heap's lock held.
 */
static inline struct pym_pool *pym_face_next(struct pym_heap *heap, const struct pym_pool *face,
					     const struct pym_pool *first)
{
	u32 next = face->next_face;

	if (!next || next == first->number)
		return NULL;
	return pym_pool_find(heap, (u64)next << PYM_POOL_SHIFT);
}

/* Has the pool no frame of its own, but that of another pool? */
static inline bool pym_pool_is_face(const struct pym_pool *pool)
{
	/* Under the heap's lock alone, @group next to it may change, but this does not. */
	return pool->role == PYM_POOL_FACE;
}

/* Do the pool's free blocks stay where they are?  Then it is in no list of used pools. */
static inline bool pym_pool_is_withheld(const struct pym_pool *pool)
{
	return pool->error || pool->role == PYM_POOL_HELD || pool->role == PYM_POOL_FACE;
}

/* Blocks allocated in all faces of a frame, of which @pool is the primary one. */
static inline unsigned int pym_frame_blocks(const struct pym_pool *pool)
{
	return pool->next_face ? pool->nr_frame : pool->nr_alloc;
}

static inline unsigned int pym_bitmap_words(const struct pym_class *class)
{
	return DIV_ROUND_UP(class->capacity, 64);
}

struct pym_pool *pym_face_primary(struct pym_heap *heap, struct pym_pool *pool);
unsigned int pym_frame_take(struct pym_heap *heap, const struct pym_class *class,
			    struct pym_pool *pool, u64 *refs, unsigned int nr);
unsigned int pym_frame_get_taken(struct pym_heap *heap, const struct pym_class *class,
				 struct pym_pool *pool, unsigned long *taken);
void pym_face_spend_locked(struct pym_class *class, struct pym_pool *pool);
void pym_faces_join_locked(struct pym_heap *heap, struct pym_class *class,
			   struct pym_pool *source, struct pym_pool *target);
struct pym_pool *pym_face_leave_locked(struct pym_heap *heap, struct pym_class *class,
				       struct pym_pool *pool);

#endif /* PYM_FACE_H */
