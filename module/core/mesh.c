// SPDX-License-Identifier: GPL-2.0
/*
 * Meshing: pools of one class whose allocated blocks lie in different slots get one frame.
 * No address changes, and the other pages are given back.
 *
 * The idea is that of Powers, Tench, Berger and McGregor, "Mesh: Compacting Memory
 * Management for C/C++ Applications" (PLDI 2019).  They mesh two pages at a time.  Here
 * a frame gets as many faces as fit, up to PYM_FACES_MAX.
 *
 * Choice of partners: the used pools of a class, up to MESH_SLICE of them at once, are
 * sorted by allocated blocks, the fullest first.  Each goes to the first of up to
 * MESH_OPEN open frames that has none of its slots taken, or becomes an open frame itself,
 * in place of the fullest one if there are enough.  Pools with many blocks in random slots
 * hardly ever find a partner, but those whose blocks lie together often do.
 *
 * Order for one page, the source:
 *
 * 1. its pool and that of the target are held: no block of them is allocated meanwhile,
 *    but any may be freed;
 * 2. lock the source's page, if nobody else has it locked.  Threads that touch it wait
 *    in the fault handler from now on;
 * 3. take it out of the mappings;
 * 4. if anybody else has a reference to it (a pin, the kernel), leave it alone.  Who gets
 *    one later must wait for the lock, or look the page up again (copy.c);
 * 5. copy its blocks to the target.  That may stay mapped, because nobody uses the slots;
 * 6. under both locks make its faces the target's;
 * 7. unlock and free it.  Faults that have waited see that it is not there any more.
 *
 * Pages that may be shared after fork(), pages with a memory error and pools of pinned
 * blocks are left alone.  The mappings are held all the time, so there is no fork().
 */
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/kernel.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "arena.h"
#include "bits.h"
#include "face.h"
#include "frame.h"
#include "mesh.h"
#include "ops.h"
#include "page.h"
#include "pool.h"
#include "quota.h"
#include "stats.h"
#include "trace.h"

/*
 * How many pools look for partners among each other.  With fewer, more of them find none:
 * with 512, pools with one block each in evenly spread slots kept a third more pages
 * than they need.  With more, the mappings are held for longer.
 */
#define MESH_SLICE	2048
/* So many pools are looked at under the class's lock at once. */
#define MESH_LOOK	256U
/* So many pages are given back together. */
#define MESH_FREE	64
/*
 * With fewer open frames, more pools find no partner; with more, hardly fewer.  So many have
 * a bit each in a word, and one search looks at all of them together.
 */
#define MESH_OPEN	64

/* Faces that are reclaimed together: what is known of them is on the stack. */
#define RECLAIM_FACES	32

/* Most slots of a pool, and words of a bitmap of them. */
#define SLOTS		(PYMALLOC_POOL_SIZE / PYMALLOC_BLOCK_MIN)
#define BITMAP_WORDS	(SLOTS / 64)

/* An open frame: its primary face, how many it has, and which of its slots are taken. */
struct open_frame {
	struct pym_pool *pool;
	unsigned int faces;
	bool joined;
	unsigned long taken[BITMAP_WORDS];
};

/* A part of the window. */
struct place {
	u64 offset;
	unsigned int nr;
};

/*
 * A task's work on one class.
 * @sparse: so much of the heap is free that most pools will be meshed
 * @nr, @pools, @blocks: the pools that are held, and how many blocks each had then
 * @sorted: these pools, the fullest first; NULL for one that is not held any more
 * @ends: for each number of blocks, where its pools end there
 * @nr_freed, @freed: pages to be given back
 * @places: where a frame's faces are
 * @open: the open frames
 * @taken_in: for each slot, a bit for each of @open in which it is taken
 */
struct mesh {
	struct pym_heap *heap;
	struct pym_class *class;
	struct pym_mesh_result *result;
	struct pym_mappings mappings;
	bool sparse;
	unsigned int nr;
	unsigned int nr_freed;
	unsigned int nr_open;
	struct place places[PYM_FACES_MAX];
	struct pym_pool *pools[MESH_SLICE];
	struct pym_pool *sorted[MESH_SLICE];
	u16 blocks[MESH_SLICE];
	u16 ends[SLOTS + 1];
	struct page *freed[MESH_FREE];
	struct open_frame open[MESH_OPEN];
	u64 taken_in[SLOTS];
};

/*
 * A page that may be shared is replaced by a copy at the first write.  The copy is locked
 * until all bytes are there: before that, nothing may be copied to it.
 */
static bool may_mesh(const struct pym_pool *pool)
{
	struct page *page = READ_ONCE(pool->page);

	return !pym_frame_maybe_shared(page) && !PageLocked(page) && !PageHWPoison(page);
}

/*
 * Hold pools from the end of a list, where those are that have been there for longest.  Those
 * that cannot be meshed go to its front.  Returns how many pools were looked at, at most
 * @room.
 */
static unsigned int hold_from_list(struct mesh *mesh, struct list_head *list,
				   unsigned int room)
{
	struct pym_pool *pool, *before;
	unsigned int seen = 0;
	LIST_HEAD(others);

	list_for_each_entry_safe_reverse(pool, before, list, link) {
		if (seen == room)
			break;
		seen++;
		if (may_mesh(pool)) {
			pym_class_hold_locked(mesh->class, pool);
			mesh->blocks[mesh->nr] = pool->nr_frame;
			mesh->pools[mesh->nr++] = pool;
		} else {
			list_move(&pool->link, &others);
		}
	}
	list_splice(&others, list);
	return seen;
}

/* Hold pools of one list that may be meshed.  Returns how many were looked at. */
static unsigned int hold_from_group(struct mesh *mesh, unsigned int group, unsigned int room)
{
	struct pym_class *class = mesh->class;
	unsigned int looked, now, seen = 0;

	do {
		now = min(room - seen, MESH_LOOK);
		spin_lock(&class->lock);
		looked = hold_from_list(mesh, &class->partial[group], now);
		spin_unlock(&class->lock);
		seen += looked;
	} while (looked == now && seen < room);
	return seen;
}

/* Hold pools that may be meshed.  Returns how many were looked at, at most MESH_SLICE. */
static unsigned int hold_pools(struct mesh *mesh)
{
	unsigned int group, seen = 0;

	mesh->nr = 0;
	mesh->nr_freed = 0;
	mesh->nr_open = 0;
	memset(mesh->taken_in, 0, mesh->class->capacity * sizeof(*mesh->taken_in));
	for (group = 0; group < PYM_GROUPS; group++)
		seen += hold_from_group(mesh, group, MESH_SLICE - seen);
	return seen;
}

static void resume_pools(struct mesh *mesh)
{
	struct pym_class *class = mesh->class;
	LIST_HEAD(empty);
	unsigned int i;

	spin_lock(&class->lock);
	for (i = 0; i < mesh->nr; i++)
		if (mesh->sorted[i])
			pym_class_resume_locked(class, mesh->sorted[i], &empty);
	spin_unlock(&class->lock);
	pym_pools_retire(mesh->heap, &empty);
}

/* Sort the held pools, the fullest first, by counting how many have how many blocks. */
static void sort_pools(struct mesh *mesh)
{
	unsigned int capacity = mesh->class->capacity, blocks, i;

	memset(mesh->ends, 0, (capacity + 1) * sizeof(*mesh->ends));
	for (i = 0; i < mesh->nr; i++)
		mesh->ends[mesh->blocks[i]]++;
	for (blocks = capacity; blocks; blocks--)
		mesh->ends[blocks - 1] += mesh->ends[blocks];
	for (i = 0; i < mesh->nr; i++)
		mesh->sorted[--mesh->ends[mesh->blocks[i]]] = mesh->pools[i];
}

/*
 * The part of the window to take out of the mappings because of one face.  If most pools
 * will be meshed, that is its whole arena, the first time: one flush of the TLB does for all
 * of them, and a fault brings back many of the others together.
 */
static struct place place_of(const struct mesh *mesh, const struct pym_pool *face)
{
	struct pym_arena *arena = pym_arena_of(mesh->heap, face);

	if (!mesh->sparse || arena->mesh_pass == mesh->heap->mesh_pass)
		return (struct place) { pym_pool_offset(face), 1 };
	arena->mesh_pass = mesh->heap->mesh_pass;
	return (struct place) { (u64)arena->number << PYM_ARENA_SHIFT, PYMALLOC_ARENA_POOLS };
}

/* Take a frame out of the mappings. */
static void unmap_frame(struct mesh *mesh, struct pym_pool *pool)
{
	struct pym_pool *face;
	unsigned int nr = 0;

	spin_lock(&mesh->class->lock);
	rcu_read_lock();
	pym_for_each_face(face, pool, mesh->heap)
		mesh->places[nr++] = place_of(mesh, face);
	rcu_read_unlock();
	spin_unlock(&mesh->class->lock);
	while (nr--)
		pym_zap(mesh->heap, &mesh->mappings, mesh->places[nr].offset, NULL,
			mesh->places[nr].nr);
}

/*
 * Make a held pool's page unreachable: lock it, and take it out of the mappings.  Returns the
 * page; or NULL if somebody else uses it, and then it is as it was.
 */
static struct page *isolate_page(struct mesh *mesh, struct pym_pool *pool)
{
	struct page *page = pool->page;

	if (!trylock_page(page))
		return NULL;
	/*
	 * Pairs with the barrier in pym_frame_wait(): either its reference is counted here,
	 * or it sees the lock.
	 */
	smp_mb();
	if (page_count(page) > PYM_REFS_AT_REST)
		unmap_frame(mesh, pool);
	if (page_count(page) == PYM_REFS_AT_REST)
		return page;
	unlock_page(page);
	return NULL;
}

/* Copy the taken slots of one page to another.  Returns how many bytes. */
static unsigned int copy_slots(const struct pym_class *class, const unsigned long *taken,
			       struct page *target, struct page *source)
{
	void *to = kmap_local_page(target), *from = kmap_local_page(source);
	unsigned int first, end, bytes = 0;

	for_each_set_bitrange(first, end, taken, class->capacity) {
		unsigned int nr = (end - first) * class->size;

		memcpy(to + first * class->size, from + first * class->size, nr);
		bytes += nr;
	}
	flush_dcache_page(target);
	kunmap_local(from);
	kunmap_local(to);
	return bytes;
}

/* The source's page is not the heap's any more. */
static void join_frames(struct mesh *mesh, struct pym_pool *source, struct pym_pool *target)
{
	struct pym_class *class = mesh->class;
	struct pym_heap *heap = mesh->heap;

	spin_lock(&class->lock);
	if (source->boundary < class->capacity)
		pym_class_touch_locked(class, source);
	if (target->boundary < class->capacity)
		pym_class_touch_locked(class, target);
	spin_lock(&heap->lock);
	pym_faces_join_locked(heap, class, source, target);
	pym_frame_unpay_locked(heap, pym_arena_of(heap, source), pym_pool_index(source));
	heap->pages--;
	heap->pages_out++;
	spin_unlock(&heap->lock);
	spin_unlock(&class->lock);
	pym_quota_uncharge(&heap->quota, PAGE_SIZE);
}

static void free_pages_of(struct mesh *mesh)
{
	struct pym_mesh_result *result = mesh->result;

	release_pages(mesh->freed, mesh->nr_freed);
	WRITE_ONCE(result->pages_freed, result->pages_freed + mesh->nr_freed);
	mesh->nr_freed = 0;
}

/* Give the faces of @source the frame of @target.  Returns whether that was possible. */
static bool mesh_frames(struct mesh *mesh, struct pym_pool *source, struct open_frame *target,
			const unsigned long *taken)
{
	struct page *page = isolate_page(mesh, source);

	if (!page) {
		mesh->result->pages_pinned++;
		return false;
	}
	mesh->result->bytes_copied += copy_slots(mesh->class, taken, target->pool->page, page);
	join_frames(mesh, source, target->pool);
	unlock_page(page);
	mesh->freed[mesh->nr_freed++] = page;
	if (mesh->nr_freed == MESH_FREE)
		free_pages_of(mesh);
	return true;
}

/* Which open frames have none of these slots taken.  Returns a bit for each. */
static u64 open_with_room(const struct mesh *mesh, const unsigned long *taken)
{
	unsigned int word, bit, words = pym_bitmap_words(mesh->class);
	u64 found = mesh->nr_open ? GENMASK_ULL(mesh->nr_open - 1, 0) : 0;

	for (word = 0; word < words && found; word++)
		pym_for_each_bit(bit, taken[word])
			found &= ~mesh->taken_in[word * 64 + bit];
	return found;
}

/* The first open frame that has room for these slots and faces. */
static struct open_frame *find_target(struct mesh *mesh, const unsigned long *taken,
				      unsigned int faces)
{
	u64 found = open_with_room(mesh, taken);
	unsigned int i;

	pym_for_each_bit(i, found)
		if (mesh->open[i].faces + faces <= PYM_FACES_MAX)
			return &mesh->open[i];
	return NULL;
}

/* Note that the slots of an open frame are taken, or that this is not looked at any more. */
static void open_note_slots(struct mesh *mesh, const struct open_frame *open,
			    const unsigned long *slots, bool taken)
{
	unsigned int word, bit, words = pym_bitmap_words(mesh->class);
	u64 mask = BIT_ULL(open - mesh->open);

	for (word = 0; word < words; word++)
		pym_for_each_bit(bit, slots[word]) {
			if (taken)
				mesh->taken_in[word * 64 + bit] |= mask;
			else
				mesh->taken_in[word * 64 + bit] &= ~mask;
		}
}

/* Room for one more open frame: that of the fullest one, if there is no other. */
static struct open_frame *open_room(struct mesh *mesh)
{
	struct open_frame *fullest = mesh->open;
	unsigned int i;

	if (mesh->nr_open < MESH_OPEN)
		return &mesh->open[mesh->nr_open++];
	for (i = 1; i < MESH_OPEN; i++)
		if (READ_ONCE(mesh->open[i].pool->nr_frame) > READ_ONCE(fullest->pool->nr_frame))
			fullest = &mesh->open[i];
	open_note_slots(mesh, fullest, fullest->taken, false);
	return fullest;
}

static void open_frame_of(struct mesh *mesh, struct pym_pool *pool, unsigned int faces,
			  const unsigned long *taken)
{
	struct open_frame *open = open_room(mesh);

	open->pool = pool;
	open->faces = faces;
	open->joined = false;
	bitmap_copy(open->taken, taken, mesh->class->capacity);
	open_note_slots(mesh, open, taken, true);
}

static void open_frame_join(struct mesh *mesh, struct open_frame *open, unsigned int faces,
			    const unsigned long *taken)
{
	open->faces += faces;
	mesh->result->frames_joined += !open->joined;
	open->joined = true;
	bitmap_or(open->taken, open->taken, taken, mesh->class->capacity);
	open_note_slots(mesh, open, taken, true);
}

/*
 * Find a frame for a held pool, or let it be one for others.  Returns whether it has got
 * another frame: then it is not held any more, and may soon be gone.
 */
static bool mesh_pool(struct mesh *mesh, struct pym_pool *pool)
{
	unsigned long taken[BITMAP_WORDS];
	unsigned int faces;
	struct open_frame *open;

	spin_lock(&mesh->class->lock);
	faces = pym_frame_get_taken(mesh->heap, mesh->class, pool, taken);
	spin_unlock(&mesh->class->lock);
	if (bitmap_empty(taken, mesh->class->capacity) && faces == 1)
		return false;
	open = find_target(mesh, taken, faces);
	if (open && mesh_frames(mesh, pool, open, taken)) {
		open_frame_join(mesh, open, faces, taken);
		return true;
	}
	if (!open)
		open_frame_of(mesh, pool, faces, taken);
	return false;
}

/*
 * Mesh some pools of a class, and end early if anybody waits for what is held.  Returns how
 * many have been looked at.
 */
static unsigned int mesh_slice(struct mesh *mesh)
{
	unsigned int seen = hold_pools(mesh), i;

	sort_pools(mesh);
	for (i = 0; i < mesh->nr && !pym_gate_is_wanted(mesh->heap, &mesh->mappings); i++) {
		if (mesh_pool(mesh, mesh->sorted[i]))
			mesh->sorted[i] = NULL;
		cond_resched();
	}
	resume_pools(mesh);
	free_pages_of(mesh);
	return seen;
}

static int mesh_class(struct mesh *mesh)
{
	u64 left = READ_ONCE(mesh->class->pools_used);
	unsigned int seen;
	int err;

	while (left > 1) {
		err = pym_gate_enter_held(mesh->heap, &mesh->mappings);
		if (err)
			return err;
		seen = mesh_slice(mesh);
		pym_gate_leave_held(mesh->heap, &mesh->mappings);
		err = pym_pause(mesh->heap);
		if (err || !seen)
			return err;
		left -= min_t(u64, left, seen);
	}
	return 0;
}

static int mesh_classes(struct mesh *mesh)
{
	u32 step = mesh->heap->alignment / PYMALLOC_BLOCK_MIN, number;
	int err = 0;

	for (number = step; number <= PYMALLOC_NR_CLASSES && !err; number += step) {
		mesh->class = &mesh->heap->classes[number];
		err = mesh_class(mesh);
	}
	return err;
}

/* Is more than half of the pages' memory free? */
static bool heap_is_sparse(struct pym_heap *heap)
{
	u64 bytes = pym_block_bytes(heap) + (READ_ONCE(heap->run_pages) << PYM_POOL_SHIFT);

	return bytes < READ_ONCE(heap->pages) << (PYM_POOL_SHIFT - 1);
}

/* Memory for the work, for a short while: not the heap's, as it may be at its limit. */
static int mesh_with_memory(struct pym_heap *heap, struct pym_mesh_result *result)
{
	struct mesh *mesh = kvmalloc(sizeof(*mesh), GFP_KERNEL | __GFP_NOWARN | __GFP_NORETRY);
	int err;

	if (!mesh)
		return -ENOMEM;
	mesh->heap = heap;
	mesh->result = result;
	mesh->sparse = heap_is_sparse(heap);
	heap->mesh_pass++;
	err = pym_mesh_begin(heap) ?: mesh_classes(mesh);
	kvfree(mesh);
	return err;
}

/**
 * pym_mesh() - give pools whose blocks lie in different slots one frame
 * @heap: the heap
 * @result: out: what has been done, also if there is an error
 *
 * All other calls on the heap go on meanwhile.
 *
 * Context: Sleeps.  Holds nothing.
 * Return: 0; or -EOPNOTSUPP (nobody maps the heap), -EBUSY (another task is meshing it),
 *	-ENOMEM, -EINTR or -EAGAIN as of pym_gate_enter_held(), or an error of
 *	pym_pause().
 */
int pym_mesh(struct pym_heap *heap, struct pym_mesh_result *result)
{
	int err;

	memset(result, 0, sizeof(*result));
	if (!heap->ops)
		return -EOPNOTSUPP;
	if (heap->no_mesh)
		return 0;
	/* The acquire pairs with the release below: one task at a time. */
	if (cmpxchg(&heap->meshing, 0, 1))
		return -EBUSY;
	err = mesh_with_memory(heap, result);
	/* Pairs with the cmpxchg above. */
	smp_store_release(&heap->meshing, 0);
	return err;
}

/* A face that has left its class, but is still mapped. */
struct spent_face {
	struct pym_arena *arena;
	unsigned int index;
	struct page *page;
};

/* Take spent faces out of their class.  Returns how many. */
static unsigned int faces_leave(struct pym_heap *heap, struct pym_class *class,
				struct spent_face *faces, struct list_head *empty)
{
	unsigned int nr = 0;

	spin_lock(&class->lock);
	spin_lock(&heap->lock);
	while (class->nr_spent && nr < RECLAIM_FACES) {
		struct pym_pool *pool = list_first_entry(&class->spent, struct pym_pool, link);
		struct spent_face *face = &faces[nr++];

		face->arena = pym_arena_of(heap, pool);
		face->index = pym_pool_index(pool);
		face->arena->busy |= BIT_ULL(face->index);
		WRITE_ONCE(face->arena->map[face->index], 0);
		face->page = pool->page;
		get_page(face->page);
		pym_class_unface_locked(class, pym_face_leave_locked(heap, class, pool), empty);
	}
	spin_unlock(&heap->lock);
	spin_unlock(&class->lock);
	return nr;
}

/* Make a face that has left its class a free pool.  The mappings are held. */
static void face_free(struct pym_heap *heap, const struct pym_mappings *mappings,
		      struct spent_face *face)
{
	struct pym_span span = { face->arena, BIT_ULL(face->index) };

	pym_zap(heap, mappings, pym_place_offset(face->arena, face->index), &face->page, 1);
	put_page(face->page);
	trace_pool_free(heap->id, pym_place_offset(face->arena, face->index));
	pym_pools_forget(heap, span);
	pym_pools_release(heap, span);
}

static u64 reclaim_in_class(struct pym_heap *heap, const struct pym_mappings *mappings,
			    struct pym_class *class)
{
	struct spent_face faces[RECLAIM_FACES] __uninitialized;
	LIST_HEAD(empty);
	unsigned int nr;
	u64 all = 0;

	do {
		nr = faces_leave(heap, class, faces, &empty);
		all += nr;
		while (nr)
			face_free(heap, mappings, &faces[--nr]);
		pym_pools_retire(heap, &empty);
		cond_resched();
	} while (READ_ONCE(class->nr_spent));
	return all;
}

static u64 reclaim_held(struct pym_heap *heap, const struct pym_mappings *mappings)
{
	u64 nr = 0;
	u32 number;

	for (number = 1; number <= PYMALLOC_NR_CLASSES; number++)
		if (READ_ONCE(heap->classes[number].nr_spent))
			nr += reclaim_in_class(heap, mappings, &heap->classes[number]);
	return nr;
}

/**
 * pym_faces_reclaim() - make faces without blocks free pools
 * @heap: the heap
 *
 * A frame whose faces are all without blocks becomes an empty pool.
 *
 * Context: Sleeps.  Holds nothing.
 * Return: how many pools became free.
 */
u64 pym_faces_reclaim(struct pym_heap *heap)
{
	struct pym_mappings mappings;
	u64 nr;

	if (!heap->ops || pym_gate_enter_held(heap, &mappings))
		return 0;
	nr = reclaim_held(heap, &mappings);
	pym_gate_leave_held(heap, &mappings);
	return nr;
}

/**
 * pym_faces_reclaim_gated() - the same for a caller in the gate
 * @heap: the heap
 *
 * Context: Sleeps.  Holds @heap->gate for reading, and leaves it for a while.
 * Return: how many pools became free.
 */
u64 pym_faces_reclaim_gated(struct pym_heap *heap)
{
	u64 nr;

	if (!heap->ops)
		return 0;
	up_read(&heap->gate);
	nr = pym_faces_reclaim(heap);
	down_read(&heap->gate);
	return nr;
}
