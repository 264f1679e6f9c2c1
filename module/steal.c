// SPDX-License-Identifier: GPL-2.0
/*
 * Park and steal: blocks in the caches of threads are taken back without the threads'
 * help, and at no cost to a thread that pops and pushes.
 *
 * Park: the header page of a cache is unmapped with its lock held.  All that its owner
 * has stored there is then done.  The owner can be anywhere in a pop or a push, but
 * takes no further step that touches the header without a fault, which waits for the lock.
 *
 * Steal: in each magazine of a parked cache, any blocks but the one at top.
 *
 * - A pop under way may have read top, and the block there.  It will store top + 1.
 *   There it finds the next block, or the 0 behind the last one that was left.
 * - A push under way will write the slot before top, which nobody looks at, and store
 *   top - 1.
 * - A cache that is busy is passed over: its owner is doing more than these two.
 *
 * A cache that is parked in one round and is still so in the next has not been used
 * meanwhile: two rounds tell that a thread sleeps.
 *
 * Taken blocks are freed with the lock still held.  So whoever looks for a block in the
 * header and the slots, and then asks the kernel, misses it in neither place.
 */
#include <linux/bits.h>
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/pid.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "cache.h"
#include "service_heap.h"
#include "steal.h"
#include "window.h"

/* Blocks freed at once: their refs and statuses lie on the stack, 1152 bytes. */
#define PART		128
#define SLOTS_PER_PAGE	(PYMALLOC_POOL_SIZE / sizeof(u64))
/* No cache has more blocks than slots, whatever its header says. */
#define SLOTS		(PYMALLOC_CACHE_PAGES * SLOTS_PER_PAGE)
/*
 * A round ends after the cache with which it has taken so many: all heaps share the thread that
 * goes round, and each holds its mappings meanwhile.
 */
#define ROUND_MAX	BIT(20)
/* Header pages that are unmapped together. */
#define PARK_AT_ONCE	64U

static_assert(sizeof(struct pymalloc_cache_header) <= PYMALLOC_POOL_SIZE);

/* Refs on their way from a cache to the heap. */
struct loot {
	unsigned int nr;
	unsigned int left;	/* so many more may be taken from the cache */
	u64 refs[PART];
	u8 status[PART];
};

/* The header; NULL if its page has a memory error. */
static struct pymalloc_cache_header *cache_header(const struct pym_cache *cache)
{
	return PageHWPoison(cache->header) ? NULL : page_address(cache->header);
}

/* A slot by its number; NULL if it is not there, or its page has a memory error. */
static u64 *cache_slot(const struct pym_cache *cache, u64 number)
{
	struct page *page = cache->slots[number / SLOTS_PER_PAGE];

	if (!page || PageHWPoison(page))
		return NULL;
	return (u64 *)page_address(page) + number % SLOTS_PER_PAGE;
}

/* Slots, by number: from @first to before @end. */
struct slots {
	u64 first;
	u64 end;
};

/* The slots of a magazine that have blocks, as the header says; none if that is nonsense. */
static struct slots magazine_slots(const struct pymalloc_cache_header *header, u32 class)
{
	u64 start = READ_ONCE(header->slots);
	u64 first = READ_ONCE(header->top[class]) - start;
	u64 end = READ_ONCE(header->bottom[class]) - start;

	if ((first | end) % sizeof(u64) || first > end || end >= SLOTS * sizeof(u64))
		return (struct slots) {};
	return (struct slots) { first / sizeof(u64), end / sizeof(u64) };
}

static bool loot_is_full(const struct loot *loot)
{
	return loot->nr == PART;
}

/* Take blocks of a magazine, from its bottom up, but not the one at top. */
static void take_from_magazine(const struct pym_cache *cache,
			       struct pymalloc_cache_header *header, u32 class,
			       struct loot *loot)
{
	struct slots slots = magazine_slots(header, class);
	u64 end = slots.end, base = READ_ONCE(header->base), object;
	u64 *slot;

	while (end > slots.first + 1 && !loot_is_full(loot)) {
		slot = cache_slot(cache, end - 1);
		object = slot ? READ_ONCE(*slot) : 0;
		if (!object)
			break;
		WRITE_ONCE(*slot, 0);
		loot->refs[loot->nr++] = object - base;
		end--;
	}
	if (end != slots.end)
		WRITE_ONCE(header->bottom[class],
			   READ_ONCE(header->slots) + end * sizeof(u64));
}

/* Take refs from the queue, which only a busy owner touches. */
static void take_from_queue(const struct pym_cache *cache,
			    struct pymalloc_cache_header *header, struct loot *loot)
{
	u32 nr = READ_ONCE(header->nr_queued);
	const u64 *slot;

	if (!nr || nr > SLOTS)
		return;
	while (nr && !loot_is_full(loot)) {
		slot = cache_slot(cache, nr - 1);
		if (!slot)
			break;
		loot->refs[loot->nr++] = READ_ONCE(*slot);
		nr--;
	}
	WRITE_ONCE(header->nr_queued, nr);
}

static void take_from_cache(const struct pym_cache *cache,
			    struct pymalloc_cache_header *header, struct loot *loot)
{
	u32 class;

	take_from_queue(cache, header, loot);
	for (class = 1; class <= PYMALLOC_NR_CLASSES && !loot_is_full(loot); class++)
		take_from_magazine(cache, header, class, loot);
}

static void note_bad_ref(struct pymalloc_cache_header *header, u64 ref, u8 status)
{
	u32 nr = READ_ONCE(header->nr_bad);

	if (nr >= PYMALLOC_CACHE_BAD)
		return;
	header->bad[nr].ref = ref;
	header->bad[nr].status = status;
	WRITE_ONCE(header->nr_bad, nr + 1);
}

/* The owner reports bad refs when it is next in the slow path, as after a flush. */
static void note_bad_refs(struct pymalloc_cache_header *header, const struct loot *loot)
{
	unsigned int i;

	for (i = 0; i < loot->nr; i++)
		if (loot->status[i] != PYMALLOC_REF_OK)
			note_bad_ref(header, loot->refs[i], loot->status[i]);
}

/* Returns how many were freed. */
static unsigned int free_loot(struct pym_heap *heap, struct pymalloc_cache_header *header,
			      struct loot *loot)
{
	unsigned int bad = pym_free_blocks(heap, loot->refs, loot->status, loot->nr);

	if (bad) {
		atomic64_add(bad, &heap->nr_bad_refs);
		note_bad_refs(header, loot);
	}
	return loot->nr - bad;
}

/*
 * Take and free one part of what a cache holds, with its header locked.  Returns how many
 * refs were taken, and adds to *@freed how many of them were freed.
 */
static unsigned int steal_part_locked(struct pym_heap *heap, struct pym_cache *cache,
				      u64 *freed)
{
	struct pymalloc_cache_header *header = cache_header(cache);
	struct loot loot __uninitialized;

	if (heap->sealed || !cache->parked || !header || READ_ONCE(header->busy))
		return 0;
	loot.nr = 0;
	take_from_cache(cache, header, &loot);
	if (loot.nr)
		*freed += free_loot(heap, header, &loot);
	WRITE_ONCE(cache->emptied, !loot_is_full(&loot));
	return loot.nr;
}

/*
 * A header that is locked by somebody else is just being mapped.  The gate is not waited
 * for: who has it may be waiting for something that the heap's process does.
 */
static unsigned int steal_part(struct pym_heap *heap, struct pym_cache *cache, u64 *freed)
{
	unsigned int nr = 0;

	if (!trylock_page(cache->header))
		return 0;
	if (down_read_trylock(&heap->gate)) {
		nr = steal_part_locked(heap, cache, freed);
		up_read(&heap->gate);
	}
	unlock_page(cache->header);
	return nr;
}

/* All blocks go with a heap whose process has ended; its memory must not wait for this. */
static bool steal_ends(const struct pym_mappings *mappings)
{
	return fatal_signal_pending(current) || pym_window_is_abandoned(mappings);
}

/*
 * A device may write to a header while it is parked, if the process has pinned it: no more
 * is taken at once than there are slots.  Returns how many refs were taken, and adds to *@freed
 * how many of them were freed.
 */
static unsigned int steal_from(struct pym_heap *heap, const struct pym_mappings *mappings,
			       struct pym_cache *cache, u64 *freed)
{
	unsigned int nr, taken = 0;

	do {
		nr = steal_part(heap, cache, freed);
		taken += nr;
		cond_resched();
	} while (nr == PART && taken < SLOTS && !steal_ends(mappings));
	return taken;
}

/* Take up to about @most refs, beginning where this ended the last time. */
static u64 steal_from_parked(struct pym_service_heap *sheap,
			     const struct pym_mappings *mappings, u64 most)
{
	struct pym_caches *caches = sheap->caches;
	u64 taken = 0, freed = 0;
	u32 i, index = caches->next;

	for (i = 0; i < caches->size && taken < most && !steal_ends(mappings); i++, index++) {
		struct pym_cache *cache = pym_cache_find(caches, index % caches->size);

		if (cache && READ_ONCE(cache->parked))
			taken += steal_from(&sheap->heap, mappings, cache, &freed);
	}
	caches->next = index;
	atomic64_add(freed, &sheap->upkeep->nr_stolen);
	return freed;
}

/* Lock the headers of the caches that are not parked.  Returns a bit for each. */
static u64 lock_headers(struct pym_caches *caches, u32 first, u32 nr)
{
	u64 locked = 0;
	u32 i;

	for (i = 0; i < nr; i++) {
		struct pym_cache *cache = caches->table[first + i];

		if (cache && !READ_ONCE(cache->parked) && trylock_page(cache->header))
			locked |= BIT_ULL(i);
	}
	return locked;
}

static void park_some(struct pym_service_heap *sheap, const struct pym_mappings *mappings,
		      u32 first, u32 nr)
{
	struct pym_caches *caches = sheap->caches;
	u64 locked = lock_headers(caches, first, nr);
	u32 i;

	if (!locked)
		return;
	/* Once for all of them: the flush of the TLB costs most. */
	pym_window_zap_file(sheap, mappings, pym_cache_header_offset(first), nr);
	for (i = 0; i < nr; i++) {
		if (!(locked & BIT_ULL(i)))
			continue;
		WRITE_ONCE(caches->table[first + i]->parked, true);
		unlock_page(caches->table[first + i]->header);
	}
}

static void park(struct pym_service_heap *sheap, const struct pym_mappings *mappings)
{
	u32 size = sheap->caches->size, first;

	for (first = 0; first < size && !steal_ends(mappings); first += PARK_AT_ONCE) {
		park_some(sheap, mappings, first, min(PARK_AT_ONCE, size - first));
		cond_resched();
	}
}

/* A kernel thread, which many heaps share, does not wait. */
static bool lock_caches(struct pym_caches *caches)
{
	if (current->flags & PF_KTHREAD)
		return mutex_trylock(&caches->mutex);
	return !mutex_lock_killable(&caches->mutex);
}

static u64 steal_round(struct pym_service_heap *sheap, const struct pym_mappings *mappings,
		       bool all)
{
	u64 sum;

	/* The process is ending. */
	if (!mappings->space || !lock_caches(sheap->caches))
		return 0;
	if (all)
		park(sheap, mappings);
	sum = steal_from_parked(sheap, mappings, all ? U64_MAX : ROUND_MAX);
	if (!all)
		park(sheap, mappings);
	mutex_unlock(&sheap->caches->mutex);
	return sum;
}

/**
 * pym_caches_steal() - take back what sleeping threads have in their caches
 * @sheap: the heap
 * @all: take from all threads that are not busy, at once; else from those whose caches
 *	have not been touched since the last round, and not from more than can be done soon:
 *	the next round goes on
 *
 * The mappings are held meanwhile, so that no fork() sees a block that has left a cache and
 * is not yet free.
 *
 * Context: Sleeps.  Not in memory reclaim.
 * Return: how many blocks were taken.
 */
u64 pym_caches_steal(struct pym_service_heap *sheap, bool all)
{
	/* Pairs with pym_caches_get(). */
	struct pym_caches *caches = smp_load_acquire(&sheap->caches);
	struct pym_mappings mappings;
	u64 sum;

	if (!caches || !READ_ONCE(caches->nr) ||
	    sheap->heap.ops->hold(&sheap->heap, &mappings))
		return 0;
	sum = steal_round(sheap, &mappings, all);
	sheap->heap.ops->release(&sheap->heap, &mappings);
	if (sum)
		pym_trim_surplus(&sheap->heap);
	return sum;
}

/**
 * pym_caches_pending() - may further rounds find something in caches?
 * @sheap: the heap
 *
 * Context: Any but interrupts; also memory reclaim.
 * Return: false if all caches are parked, and nothing more can be taken from them.
 */
bool pym_caches_pending(struct pym_service_heap *sheap)
{
	/* Pairs with pym_caches_get(). */
	struct pym_caches *caches = smp_load_acquire(&sheap->caches);
	bool pending = false;
	u32 i;

	if (!caches || READ_ONCE(sheap->heap.sealed))
		return false;
	spin_lock(&caches->lock);
	for (i = 0; i < caches->size && !pending; i++)
		pending = caches->table[i] && !READ_ONCE(caches->table[i]->emptied);
	spin_unlock(&caches->lock);
	return pending;
}

/* Free refs, of which some may be bad: then their owner was interrupted. */
static void free_rest(struct pym_heap *heap, struct loot *loot)
{
	down_read(&heap->gate);
	pym_free_blocks(heap, loot->refs, loot->status, loot->nr);
	up_read(&heap->gate);
	loot->nr = 0;
	cond_resched();
}

/* Free what lies in slots, which have refs, or with @base addresses. */
static void free_slots(struct pym_heap *heap, const struct pym_cache *cache,
		       struct slots slots, u64 base, struct loot *loot)
{
	const u64 *slot;
	u64 object;

	for (; slots.first < slots.end; slots.first++) {
		slot = cache_slot(cache, slots.first);
		object = slot ? READ_ONCE(*slot) : 0;
		if (!object || !loot->left)
			return;
		loot->left--;
		loot->refs[loot->nr++] = object - base;
		if (loot_is_full(loot))
			free_rest(heap, loot);
	}
}

/**
 * pym_steal_everything() - free all that a cache holds, the blocks at top included
 * @heap: where to free it
 * @cache: the cache, whose owner does not exist, or cannot go on
 *
 * The cache does not change.  What several magazines name is looked at once for each, but
 * no more is freed than there are slots.
 *
 * Context: Sleeps.  Nobody can add pages to the cache, or take some away.
 */
void pym_steal_everything(struct pym_heap *heap, const struct pym_cache *cache)
{
	const struct pymalloc_cache_header *header = cache_header(cache);
	struct loot loot __uninitialized;
	u32 class;

	if (!header)
		return;
	loot.nr = 0;
	loot.left = SLOTS;
	free_slots(heap, cache, (struct slots) { 0, min_t(u64, READ_ONCE(header->nr_queued),
							  SLOTS) }, 0, &loot);
	for (class = 1; class <= PYMALLOC_NR_CLASSES; class++)
		free_slots(heap, cache, magazine_slots(header, class),
			   READ_ONCE(header->base), &loot);
	if (loot.nr)
		free_rest(heap, &loot);
}

/* Is it the caller's?  A copy that has not been used since fork() can be no other's. */
static bool is_own(const struct pym_cache *cache)
{
	return !cache->owner || cache->owner == task_pid(current);
}

static int inherit_caches(struct pym_service_heap *sheap, struct pym_service_heap *child)
{
	struct pym_caches *caches = sheap->caches;
	bool copied = false;
	int err = 0;
	u32 i;

	/* A thread has one cache; if it has made more, they are no more use in the child. */
	for (i = 0; i < caches->size && !err; i++) {
		if (!caches->table[i])
			continue;
		/* Then fork() fails anyway. */
		if (fatal_signal_pending(current))
			return -EINTR;
		if (is_own(caches->table[i]) && !copied) {
			err = pym_cache_copy(child, i, caches->table[i]);
			copied = true;
		} else {
			pym_steal_everything(&child->heap, caches->table[i]);
		}
	}
	return err;
}

/**
 * pym_steal_in_fork() - give a child the cache of the thread that calls fork()
 * @sheap: the parent's heap
 * @child: the child's heap, a clone that nobody else knows yet
 *
 * The other threads do not exist in the child.  What they have in their caches is freed
 * there: also the blocks at top, and what a busy thread has there, as it removes
 * blocks from its cache before it frees them.
 *
 * Context: Sleeps.  Both address spaces are locked for writing, and no owner of a cache
 *	can go on.
 * Return: 0, -ENOMEM, or -EINTR (the caller is being killed).
 */
int pym_steal_in_fork(struct pym_service_heap *sheap, struct pym_service_heap *child)
{
	int err;

	if (!sheap->caches)
		return 0;
	/* As in the rest of fork(), no limit makes it fail. */
	child->heap.cloning = true;
	mutex_lock(&sheap->caches->mutex);
	err = inherit_caches(sheap, child);
	mutex_unlock(&sheap->caches->mutex);
	child->heap.cloning = false;
	return err;
}

/**
 * pym_steal_at_end() - free what the threads of a process that has ended have in caches
 * @sheap: its heap, whose last reference has gone
 *
 * What is left then is what the program had allocated.
 *
 * Context: Sleeps.
 */
void pym_steal_at_end(struct pym_service_heap *sheap)
{
	struct pym_caches *caches = sheap->caches;
	u32 i;

	for (i = 0; caches && i < caches->size; i++)
		if (caches->table[i])
			pym_steal_everything(&sheap->heap, caches->table[i]);
}
