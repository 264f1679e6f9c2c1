// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Filling and flushing magazines: blocks go to the kernel and come from it in
 * batches, one call each.
 *
 * How many calls a program makes depends on how many slots a magazine has, and on
 * how many of them one batch fills or flushes.
 *
 * Slots: a magazine that is too small gets PYML_SLOTS_MIN more of them, as long as
 * the thread has bytes to spare.  When it has none left, they are taken from
 * magazines that have not been filled or flushed for a long time.  Each step is the
 * same size, so that magazines with the same need end up with the same number of
 * slots: if they were doubled, the first ones to ask would leave nothing for the
 * last.
 *
 * Batches: the size doubles each time a magazine is filled again, or flushed again,
 * without the other in between, up to half of the slots, so that there is room in
 * both directions afterwards.  After a change of direction it starts small again.
 * That helps a program whose number of objects goes up and down by almost as much
 * as there are slots: with small steps it reaches a point from which it needs no
 * more calls, which steps of half of the slots would jump over.  A magazine that
 * goes on in one direction belongs to a program that only allocates, or only frees:
 * it makes fewer calls with seven eighths of the slots, and the last eighth leaves
 * room for a few steps in the other direction.
 */
#include <string.h>
#include <sys/param.h>

#include "call.h"
#include "magazine.h"

/* One past the last slot of the magazine with this @top; an empty one is there. */
static void **slots_end_at(const struct pyml_cache *cache, size_t class,
			   void **top)
{
	if (top >= (void **)cache->large)
		return (void **)&cache->large[class][PYML_SLOTS_MAX];
	return (void **)&cache->small[class][PYML_SLOTS_MIN];
}

static void **slots_end(const struct pyml_cache *cache, size_t class)
{
	return slots_end_at(cache, class, cache->magazines.top[class]);
}

static size_t count_slots(const struct pyml_cache *cache, size_t class)
{
	return slots_end(cache, class) - cache->magazines.full[class];
}

/**
 * pyml_magazine_count() - how many objects are in a magazine
 * @cache: the calling thread's or, under the lock in thread.c, another thread's
 * @class: the magazine's size class
 *
 * Of another thread that goes on meanwhile, the answer is approximate.
 *
 * Return: the number of objects.
 */
size_t pyml_magazine_count(const struct pyml_cache *cache, size_t class)
{
	void **top = __atomic_load_n(&cache->magazines.top[class],
				     __ATOMIC_RELAXED);

	return slots_end_at(cache, class, top) - top;
}

static bool is_among(void *const *objects, size_t count, const void *object)
{
	while (count--)
		if (__atomic_load_n(&objects[count], __ATOMIC_RELAXED) == object)
			return true;
	return false;
}

static bool is_among_refs(const struct pyml_cache *cache, __u64 ref)
{
	/* In this order: pairs with flush_refs(), which does the reverse. */
	size_t queued = __atomic_load_n(&cache->nr_refs, __ATOMIC_ACQUIRE);
	size_t flushing = __atomic_load_n(&cache->nr_flushing, __ATOMIC_ACQUIRE);
	size_t count = MAX(queued, flushing);

	while (count--)
		if (__atomic_load_n(&cache->refs[count], __ATOMIC_RELAXED) == ref)
			return true;
	return false;
}

/**
 * pyml_magazine_has() - whether an object is in a magazine
 * @cache: the calling thread's or, under the lock in thread.c, another thread's
 * @class: the object's size class
 * @object: the object
 *
 * An object that is being flushed counts as well, until the kernel has freed it.
 * Looks in the order in which a flush moves an object: the magazine, the queue of
 * refs, the refs that are being freed.  What its owner moves within the magazine
 * meanwhile may be missed.
 *
 * Return: true if it is there.
 */
bool pyml_magazine_has(const struct pyml_cache *cache, size_t class,
		       const void *object)
{
	/* Pairs with flush_oldest(): what has left the magazine is in @refs. */
	void **top = __atomic_load_n(&cache->magazines.top[class],
				     __ATOMIC_ACQUIRE);

	return is_among(top, slots_end_at(cache, class, top) - top, object) ||
	       is_among_refs(cache, pyml_ref(cache->heap, object));
}

/**
 * pyml_magazines_init() - give a new cache its magazines, all of them empty
 * @cache: the cache, all zero but for its heap
 *
 * Classes that the heap does not have get no slots.
 */
void pyml_magazines_init(struct pyml_cache *cache)
{
	size_t step = pyml_step(cache->heap);
	size_t class;

	cache->spare = PYML_CACHE_BYTES;
	for (class = 0; class < PYML_MAGAZINES; class++) {
		size_t size = class * PYMALLOC_BLOCK_MIN;
		void **slots = cache->small[class];

		cache->magazines.top[class] = slots + PYML_SLOTS_MIN;
		cache->magazines.full[class] = slots + PYML_SLOTS_MIN;
		if (!class || class % step)
			continue;
		cache->magazines.full[class] = slots;
		cache->magazines.low_bits[class] = (size & -size) - 1;
		cache->spare -= PYML_SLOTS_MIN * size;
	}
}

/* Sets how many slots a magazine has: at least as many as it has objects. */
static void set_slots(struct pyml_cache *cache, size_t class, size_t slots)
{
	void **top = cache->magazines.top[class];
	size_t count = pyml_magazine_count(cache, class);

	if (slots > PYML_SLOTS_MIN && top < (void **)cache->large) {
		void **large_end = &cache->large[class][PYML_SLOTS_MAX];

		memcpy(large_end - count, top, count * sizeof(*top));
		cache->magazines.top[class] = large_end - count;
	}
	cache->magazines.full[class] = slots_end(cache, class) - slots;
}

/*
 * Frees the queued refs.  pyml_magazine_has() of another thread finds them first as
 * queued, then as being flushed, and never as neither: the stores are in the reverse
 * order of the loads in is_among_refs().
 */
static void flush_refs(struct pyml_cache *cache)
{
	unsigned int count = cache->nr_refs;

	if (!count)
		return;
	__atomic_store_n(&cache->nr_flushing, count, __ATOMIC_RELEASE);
	__atomic_store_n(&cache->nr_refs, 0, __ATOMIC_RELEASE);
	cache->nr_flushes++;
	pyml_call_free(cache->heap, cache->refs,
		       cache->abandoned ? NULL : cache->status, count);
	__atomic_store_n(&cache->nr_flushing, 0, __ATOMIC_RELEASE);
}

static void queue_refs(struct pyml_cache *cache, void **objects, size_t count)
{
	__u64 *refs = cache->refs + cache->nr_refs;
	size_t i;

#pragma GCC unroll 8
	for (i = 0; i < count; i++)
		refs[i] = pyml_ref(cache->heap, objects[i]);
	/* Pairs with is_among_refs(): what is counted is there. */
	__atomic_store_n(&cache->nr_refs, cache->nr_refs + count,
			 __ATOMIC_RELEASE);
}

/* Queues the @count oldest objects of a magazine for flush_refs(), which must follow. */
static void flush_oldest(struct pyml_cache *cache, size_t class, size_t count)
{
	void **top = cache->magazines.top[class];
	void **oldest = slots_end(cache, class) - count;
	size_t done = 0;
	size_t part;

	while (done < count) {
		if (cache->nr_refs == PYML_BATCH_MOST)
			flush_refs(cache);
		part = MIN(count - done, PYML_BATCH_MOST - cache->nr_refs);
		queue_refs(cache, oldest + done, part);
		done += part;
	}
	memmove(top + count, top, (oldest - top) * sizeof(*top));
	/* Pairs with pyml_magazine_has(): what is no longer in the magazine is in @refs. */
	__atomic_store_n(&cache->magazines.top[class], top + count, __ATOMIC_RELEASE);
}

static void flush_all(struct pyml_cache *cache)
{
	size_t class;

	for (class = 1; class < PYML_MAGAZINES; class++)
		flush_oldest(cache, class, pyml_magazine_count(cache, class));
	flush_refs(cache);
}

/*
 * A signal's handler that ends the process looks at @busy, in the same thread: see
 * flush_last_frees() in thread.c.  So only the compiler must keep the order.
 */
static void mark_busy(struct pyml_cache *cache, bool busy)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	cache->busy = busy;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/**
 * pyml_magazines_flush() - free what all magazines of a cache hold
 * @cache: the cache, of the calling thread or of one that is no more
 *
 * Keeps errno.
 */
void pyml_magazines_flush(struct pyml_cache *cache)
{
	mark_busy(cache, true);
	flush_all(cache);
	mark_busy(cache, false);
}

/**
 * pyml_magazines_flush_abandoned() - the same, for a thread that fork() left behind
 * @cache: its cache
 *
 * Such a thread may have been in the middle of anything.  A block may be in two places
 * of its cache, or be free already: nobody made a mistake, so nothing is reported.
 */
void pyml_magazines_flush_abandoned(struct pyml_cache *cache)
{
	cache->abandoned = true;
	pyml_magazines_flush(cache);
}

/*
 * Looks at the next magazine, and takes its additional slots away if it has not been
 * filled or flushed for a long time.  It is then not in use, or never needs the kernel;
 * if it needs the slots after all, it will get them again.  Only one magazine is looked
 * at, so that the cost of a fill or flush stays bounded.
 */
static void shrink_next(struct pyml_cache *cache)
{
	size_t class = 1 + cache->hand % PYMALLOC_NR_CLASSES;
	__u64 now = cache->nr_fills + cache->nr_flushes;
	size_t slots = count_slots(cache, class);
	size_t count = pyml_magazine_count(cache, class);

	cache->hand = class;
	if (slots <= PYML_SLOTS_MIN ||
	    now - cache->crossed[class] < PYML_IDLE)
		return;
	if (count > PYML_SLOTS_MIN) {
		flush_oldest(cache, class, count - PYML_SLOTS_MIN);
		flush_refs(cache);
	}
	set_slots(cache, class, PYML_SLOTS_MIN);
	cache->spare += (slots - PYML_SLOTS_MIN) *
			class * PYMALLOC_BLOCK_MIN;
}

/*
 * Gives a magazine more slots.  Returns false if the thread's bytes allow fewer than
 * one small batch of them.
 */
static bool add_slots(struct pyml_cache *cache, size_t class)
{
	size_t slots = count_slots(cache, class);
	size_t wanted = MIN(PYML_SLOTS_MIN, PYML_SLOTS_MAX - slots);
	size_t size = class * PYMALLOC_BLOCK_MIN;

	if (wanted * size > cache->spare)
		shrink_next(cache);
	wanted = MIN(wanted, cache->spare / size);
	if (wanted < PYML_BATCH_FIRST)
		return false;
	cache->spare -= wanted * size;
	set_slots(cache, class, slots + wanted);
	return true;
}

/* That the magazine is being filled or flushed. */
static void note_crossing(struct pyml_cache *cache, size_t class)
{
	cache->crossed[class] = cache->nr_fills + cache->nr_flushes;
}

/*
 * What the next batch should be, whatever the number of slots: twice the @last one in
 * the same direction.  If the last one was in the other direction, @last is negative.
 */
static size_t next_batch(int last)
{
	if (last <= 0)
		return PYML_BATCH_FIRST;
	return MIN(2 * last, PYML_ONE_WAY * PYML_SLOTS_MAX);
}

/* What the next batch is: @wanted, as far as there are slots. */
static size_t batch_size(const struct pyml_cache *cache, size_t class,
			 size_t wanted)
{
	size_t slots = count_slots(cache, class);

	if (wanted >= PYML_ONE_WAY * slots)
		return slots / 8 * 7;
	return MIN(wanted, slots / 2);
}

/* More slots are room as well, without a call. */
static void grow_or_flush(struct pyml_cache *cache, size_t class)
{
	size_t wanted;

	note_crossing(cache, class);
	if (add_slots(cache, class))
		return;
	wanted = next_batch(-cache->batch[class]);
	cache->batch[class] = -(int)wanted;
	flush_oldest(cache, class, batch_size(cache, class, wanted));
	flush_refs(cache);
}

/**
 * pyml_magazine_flush() - make room in a full magazine
 * @cache: the calling thread's cache
 * @class: the magazine's size class
 *
 * Gives the magazine more slots, or frees its oldest objects: those used last are the
 * likeliest to be in the CPU's caches.  Keeps errno.
 */
void pyml_magazine_flush(struct pyml_cache *cache, size_t class)
{
	mark_busy(cache, true);
	grow_or_flush(cache, class);
	mark_busy(cache, false);
}

/*
 * Fills an empty magazine with @count objects, or as many as there is memory for.  The
 * first is on top, so that they are used in the kernel's order.
 */
static size_t fill_with(struct pyml_cache *cache, size_t class, size_t count)
{
	void **end = slots_end(cache, class);
	void **top = end - count;
	char *base = cache->heap->view.base;
	size_t done, i;

	done = pyml_call_alloc(cache->heap, class * PYMALLOC_BLOCK_MIN,
			       0, (__u64 *)top, count);
	if (done < count)
		top = memmove(end - done, top, done * sizeof(*top));
	/* This is all that a block costs here, so that the loop itself would count. */
#pragma GCC unroll 8
	for (i = 0; i < done; i++)
		top[i] = base + (uintptr_t)top[i];
	cache->magazines.top[class] = top;
	return done;
}

/* When there is no memory, the other magazines may hold the pages that it needs. */
static bool grow_and_fill(struct pyml_cache *cache, size_t class)
{
	size_t wanted = next_batch(cache->batch[class]);

	note_crossing(cache, class);
	if (wanted > count_slots(cache, class) / 2)
		add_slots(cache, class);
	cache->batch[class] = wanted;
	cache->nr_fills++;
	if (fill_with(cache, class, batch_size(cache, class, wanted)))
		return true;
	flush_all(cache);
	return fill_with(cache, class, 1);
}

/**
 * pyml_magazine_fill() - fill an empty magazine
 * @cache: the calling thread's cache
 * @class: the magazine's size class
 *
 * Return: true; or false with errno ENOMEM if there is no memory for a single object.
 */
bool pyml_magazine_fill(struct pyml_cache *cache, size_t class)
{
	bool filled;

	mark_busy(cache, true);
	filled = grow_and_fill(cache, class);
	mark_busy(cache, false);
	return filled;
}
