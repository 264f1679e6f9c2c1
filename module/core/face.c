// SPDX-License-Identifier: GPL-2.0
/*
 * Faces: pools of one class that have one frame together.
 *
 * Meshing (mesh.c) gives pools whose allocated blocks lie in different slots one frame.
 * They are its faces.  Each keeps its place in the window, its bitmap and its count.
 * One of them, the primary, stands for the frame:
 *
 * - The frame is counted and paid for as the primary's page.  The others only know it.
 * - Blocks are handed out through the primary alone, from the slots that are free in all
 *   faces.  So the others empty themselves.
 * - The primary is in the lists of its class, by the blocks of all faces.  The others
 *   are in none, until their last block is freed: then they are spent.  A spent face is
 *   still mapped, so it cannot become a free pool before it has been taken out of the
 *   mappings, which pym_faces_reclaim() does for many at once.
 *
 * The faces of a frame are a ring.  It changes under the locks of both the class and the
 * heap, so either is enough to follow it.  What is in the pools, and @nr_frame, is the
 * class's.
 */
#include <linux/bitops.h>
#include <linux/string.h>

#include "face.h"

/**
 * pym_face_primary() - the face that stands for a frame
 * @heap: the heap
 * @pool: one of the frame's faces, or a pool alone
 *
 * Context: Holds the lock of the pool's class and is under RCU, or holds the heap's lock.
 * Return: the primary face; @pool itself if it is alone.
 */
struct pym_pool *pym_face_primary(struct pym_heap *heap, struct pym_pool *pool)
{
	while (pym_pool_is_face(pool))
		pool = pym_pool_find(heap, (u64)pool->next_face << PYM_POOL_SHIFT);
	return pool;
}

/* The slots of one word of the bitmap that no face has allocated. */
static unsigned long frame_free_word(struct pym_heap *heap, struct pym_pool *pool,
				     unsigned int word)
{
	unsigned long free = ~0UL;
	struct pym_pool *face;

	pym_for_each_face(face, pool, heap)
		free &= face->free[word];
	return free;
}

/**
 * pym_frame_take() - allocate blocks of a frame that has several faces
 * @heap: the heap
 * @class: the frame's class, locked
 * @pool: its primary face
 * @refs: where the refs go
 * @nr: how many are wanted
 *
 * Return: how many were allocated.
 */
unsigned int pym_frame_take(struct pym_heap *heap, const struct pym_class *class,
			    struct pym_pool *pool, u64 *refs, unsigned int nr)
{
	u64 at = pym_pool_offset(pool);
	unsigned int word, left;

	nr = min(nr, class->capacity - pool->nr_frame);
	left = nr;
	rcu_read_lock();
	for (word = 0; left; word++, at += 64 * class->size) {
		unsigned long bits = frame_free_word(heap, pool, word);

		for (; bits && left; bits &= bits - 1, left--) {
			*refs++ = at + __ffs64(bits) * class->size;
			pool->free[word] &= ~(bits & -bits);
		}
	}
	rcu_read_unlock();
	pool->nr_alloc += nr;
	pool->nr_frame += nr;
	return nr;
}

/**
 * pym_frame_get_taken() - which slots of a frame are taken
 * @heap: the heap
 * @class: the frame's class, locked
 * @pool: one of its faces
 * @taken: out: a bit for each slot that a face has allocated
 *
 * Return: how many faces the frame has.
 */
unsigned int pym_frame_get_taken(struct pym_heap *heap, const struct pym_class *class,
				 struct pym_pool *pool, unsigned long *taken)
{
	unsigned int words = pym_bitmap_words(class), word, nr = 0;
	struct pym_pool *face;

	memset(taken, 0, words * sizeof(*taken));
	rcu_read_lock();
	pym_for_each_face(face, pool, heap) {
		for (word = 0; word < words; word++)
			taken[word] |= ~face->free[word];
		nr++;
	}
	rcu_read_unlock();
	return nr;
}

/**
 * pym_face_spend_locked() - note that a face which is not the primary one has no block
 * @class: its class, locked
 * @pool: the face
 */
void pym_face_spend_locked(struct pym_class *class, struct pym_pool *pool)
{
	list_add_tail(&pool->link, &class->spent);
	class->nr_spent++;
}

/**
 * pym_faces_join_locked() - give a frame's faces another frame
 * @heap: the heap
 * @class: their class
 * @source: the primary face of the frame whose bytes have been copied
 * @target: the primary face of the frame that has got them
 *
 * Both are held for meshing, and all of their blocks count as touched.
 *
 * Context: Holds the locks of the class and of the heap.
 */
void pym_faces_join_locked(struct pym_heap *heap, struct pym_class *class,
			   struct pym_pool *source, struct pym_pool *target)
{
	struct pym_pool *face;

	lockdep_assert_held(&class->lock);

	pym_for_each_face(face, source, heap)
		WRITE_ONCE(face->page, target->page);
	swap(source->next_face, target->next_face);
	target->nr_frame += source->nr_frame;
	source->role = PYM_POOL_FACE;
	class->pools_full--;
	class->faces++;
	class->nr_meshed++;
	if (!source->nr_alloc)
		pym_face_spend_locked(class, source);
}

/**
 * pym_face_leave_locked() - take a spent face out of its ring, and out of its class
 * @heap: the heap
 * @class: the class
 * @pool: the face
 *
 * Context: Holds the locks of the class and of the heap.
 * Return: a primary face that is alone now; else NULL.
 */
struct pym_pool *pym_face_leave_locked(struct pym_heap *heap, struct pym_class *class,
				       struct pym_pool *pool)
{
	struct pym_pool *before = pool, *face;

	lockdep_assert_held(&class->lock);

	pym_for_each_face(face, pool, heap)
		before = face;
	before->next_face = pool->next_face;
	pool->next_face = 0;
	pool->role = PYM_POOL_PLAIN;
	WRITE_ONCE(pool->class, PYM_CLASS_NONE);
	list_del_init(&pool->link);
	class->nr_spent--;
	class->faces--;
	if (before->next_face != before->number || before->role == PYM_POOL_HELD)
		return NULL;
	before->next_face = 0;
	return before;
}
