// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Filling and flushing magazines: blocks go to the kernel and come from it in
 * batches, one call each.
 *
 * How many calls a program makes depends on how many slots a magazine has, and on
 * how many of them one batch fills or flushes.
 *
 * Slots: a magazine that was empty and is full now, or the reverse, is too small for what
 * the program does by turns.  It gets PYML_SLOTS_MIN more of them, as long as the thread
 * has bytes to spare.  When it has none left, they are taken from magazines that have not
 * been filled or flushed for a long time.  Each step is the same size, so that magazines
 * with the same need end up with the same number of slots: if they were doubled, the first
 * ones to ask would leave nothing for the last.
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
 *
 * What is flushed goes to a queue first, one for all classes.  Only when that is full it
 * is sent to the kernel.  So batches are long though magazines are small: a thread that
 * only frees keeps no more than PYML_SLOTS_MIN objects of a class, or PYML_ONE_WAY_BYTES.
 */
#include <string.h>
#include <sys/param.h>

#include "call.h"
#include "magazine.h"
#include "report.h"
#include "trace.h"

/*
 * One past the last of a magazine's slots, where there is always a NULL.  A large magazine
 * has its slots, and so also the lowest of them, in @large.
 */
static void **slots_end(const struct pyml_cache *cache, size_t class)
{
	size_t row = pyml_row(cache->heap, class);

	if (cache->magazines.full[class] >= (void **)cache->slots->large)
		return &cache->slots->large[row][PYML_SLOTS_MAX];
	return &cache->slots->small[row][PYML_SLOTS_MIN];
}

static size_t count_slots(const struct pyml_cache *cache, size_t class)
{
	return slots_end(cache, class) - cache->magazines.full[class];
}

/* Both may be changed meanwhile: @top by the owner, the bottom by the kernel, too. */
static void **load_top(const struct pyml_cache *cache, size_t class)
{
	/* Pairs with set_top(): what has left the magazine is in @refs. */
	return __atomic_load_n(&cache->magazines.top[class], __ATOMIC_ACQUIRE);
}

static void **load_bottom(const struct pyml_cache *cache, size_t class)
{
	return (void **)__atomic_load_n(&cache->header.bottom[class], __ATOMIC_RELAXED);
}

static void set_top(struct pyml_cache *cache, size_t class, void **top)
{
	__atomic_store_n(&cache->magazines.top[class], top, __ATOMIC_RELEASE);
}

static void set_bottom(struct pyml_cache *cache, size_t class, void **bottom)
{
	__atomic_store_n(&cache->header.bottom[class], (uintptr_t)bottom, __ATOMIC_RELEASE);
}

/**
 * pyml_magazine_count() - how many objects are in a magazine
 * @cache: the calling thread's or, under the lock in thread.c, another thread's
 * @class: the magazine's size class
 *
 * Of another thread that goes on meanwhile, the answer is approximate.  Of the calling
 * thread, all but one may have gone the next moment: see struct pymalloc_cache_header.
 *
 * Return: the number of objects.
 */
size_t pyml_magazine_count(const struct pyml_cache *cache, size_t class)
{
	void **top = load_top(cache, class);
	void **bottom = load_bottom(cache, class);

	return bottom > top ? bottom - top : 0;
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
	size_t queued = __atomic_load_n(&cache->header.nr_queued, __ATOMIC_ACQUIRE);
	size_t flushing = __atomic_load_n(&cache->nr_flushing, __ATOMIC_ACQUIRE);
	size_t count = MAX(queued, flushing);

	while (count--)
		if (__atomic_load_n(&cache->slots->refs[count], __ATOMIC_RELAXED) == ref)
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
 * meanwhile may be missed.  What the kernel takes is not: it writes NULL where the object
 * was, and while it does so and frees the object, it keeps whoever looks at the
 * header waiting.
 *
 * Return: true if it is there.
 */
bool pyml_magazine_has(const struct pyml_cache *cache, size_t class,
		       const void *object)
{
	void **top = load_top(cache, class);
	void **bottom = load_bottom(cache, class);

	return (top < bottom && is_among(top, bottom - top, object)) ||
	       is_among_refs(cache, pyml_ref(cache->heap, object));
}

/**
 * pyml_magazines_init() - give a new cache its magazines, all of them empty
 * @cache: the cache, as pyml_cache_open() returns it
 *
 * Classes that the heap does not have get no slots.
 */
void pyml_magazines_init(struct pyml_cache *cache)
{
	size_t step = pyml_step(cache->heap);
	size_t class;

	for (class = 1; class < PYML_MAGAZINES; class++) {
		size_t size = class * PYMALLOC_BLOCK_MIN;
		void **slots = cache->slots->small[pyml_row(cache->heap, class)];

		set_top(cache, class, slots + PYML_SLOTS_MIN);
		set_bottom(cache, class, slots + PYML_SLOTS_MIN);
		cache->magazines.full[class] = slots + PYML_SLOTS_MIN;
		if (class % step)
			continue;
		cache->magazines.full[class] = slots;
		cache->magazines.low_bits[class] = (size & -size) - 1;
		cache->slot_bytes += PYML_SLOTS_MIN * size;
	}
	/* What is freed where no blocks are looks here: it finds no room. */
	cache->magazines.top[0] = cache->magazines.top[1];
	cache->magazines.full[0] = cache->magazines.top[1];
	cache->header.bottom[0] = cache->header.bottom[1];
}

/*
 * Moves a magazine's objects so that the last one is before @end.  Whoever reads a header
 * at any moment finds between top and bottom nothing but the magazine's objects, or nothing
 * at all: in fork(), the kernel does not wait until a cache is not busy.
 */
static void move_objects(struct pyml_cache *cache, size_t class, void **end)
{
	void **top = load_top(cache, class);
	void **bottom = load_bottom(cache, class);
	size_t count = bottom - top;

	if (bottom == end)
		return;
	memmove(end - count, top, count * sizeof(*top));
	if (end < bottom)
		set_bottom(cache, class, end);
	set_top(cache, class, end - count);
	set_bottom(cache, class, end);
}

/* The kernel may have taken the oldest objects: moves the rest to where they would be. */
static void settle(struct pyml_cache *cache, size_t class)
{
	move_objects(cache, class, slots_end(cache, class));
}

/* Takes the additional slots of a settled magazine away.  It has at most PYML_SLOTS_MIN objects. */
static void make_small(struct pyml_cache *cache, size_t class)
{
	size_t row = pyml_row(cache->heap, class);

	if (cache->magazines.full[class] < (void **)cache->slots->large)
		return;
	cache->magazines.full[class] = cache->slots->small[row];
	settle(cache, class);
	pyml_cache_drop_pages(cache, row);
}

/*
 * Sets how many slots, more than PYML_SLOTS_MIN, a settled magazine has: at least as many
 * as it has objects.  Returns false if there are no pages for them.
 */
static bool make_large(struct pyml_cache *cache, size_t class, size_t slots)
{
	const size_t entries = PYML_PAGE / sizeof(void *);
	size_t row = pyml_row(cache->heap, class);

	if (!pyml_cache_add_pages(cache, row, slots < entries ? 1 : 2))
		return false;
	cache->magazines.full[class] = &cache->slots->large[row][PYML_SLOTS_MAX - slots];
	settle(cache, class);
	return true;
}

/*
 * Frees the queued refs.  pyml_magazine_has() of another thread finds them first as
 * queued, then as being flushed, and never as neither: the stores are in the reverse
 * order of the loads in is_among_refs().
 */
static void flush_refs(struct pyml_cache *cache)
{
	unsigned int count = cache->header.nr_queued;

	if (!count)
		return;
	__atomic_store_n(&cache->nr_flushing, count, __ATOMIC_RELEASE);
	__atomic_store_n(&cache->header.nr_queued, 0, __ATOMIC_RELEASE);
	cache->nr_flushes++;
	pyml_call_free(cache->heap, cache->slots->refs,
		       cache->abandoned ? NULL : cache->slots->status, count);
	__atomic_store_n(&cache->nr_flushing, 0, __ATOMIC_RELEASE);
}

static void queue_refs(struct pyml_cache *cache, void **objects, size_t count)
{
	__u64 *refs = cache->slots->refs + cache->header.nr_queued;
	size_t i;

#pragma GCC unroll 8
	for (i = 0; i < count; i++)
		refs[i] = pyml_ref(cache->heap, objects[i]);
	/* Pairs with is_among_refs(): what is counted is there. */
	__atomic_store_n(&cache->header.nr_queued, cache->header.nr_queued + count,
			 __ATOMIC_RELEASE);
}

/* Moves the @count oldest objects of a magazine to the queue, which has room for them. */
static void take_out(struct pyml_cache *cache, size_t class, size_t count)
{
	void **top = load_top(cache, class);
	void **oldest = load_bottom(cache, class) - count;

	queue_refs(cache, oldest, count);
	memmove(top + count, top, (oldest - top) * sizeof(*top));
	set_top(cache, class, top + count);
	cache->net_bytes -= count * class * PYMALLOC_BLOCK_MIN;
}

/*
 * Queues the @count oldest objects of a magazine, and sends the queue when it is full.
 * None is in the magazine any more when it is sent to the kernel: else the child of a fork()
 * would free it as well, after somebody else has got it.
 */
static void flush_oldest(struct pyml_cache *cache, size_t class, size_t count)
{
	size_t part;

	while (count) {
		if (cache->header.nr_queued == PYML_BATCH_MOST)
			flush_refs(cache);
		part = MIN(count, PYML_BATCH_MOST - cache->header.nr_queued);
		take_out(cache, class, part);
		count -= part;
	}
}

static void flush_all(struct pyml_cache *cache)
{
	size_t class;

	for (class = 1; class < PYML_MAGAZINES; class++)
		flush_oldest(cache, class, pyml_magazine_count(cache, class));
	flush_refs(cache);
}

/*
 * What the kernel has found to be bad when it took it.  The list is empty before the first
 * report, as that may end in another call of this.
 */
static void report_taken(struct pyml_cache *cache)
{
	size_t count = MIN(cache->header.nr_bad, PYMALLOC_CACHE_BAD);
	struct pymalloc_bad_ref bad[PYMALLOC_CACHE_BAD];
	size_t i;

	if (likely(!count))
		return;
	memcpy(bad, cache->header.bad, sizeof(bad));
	cache->header.nr_bad = 0;
	for (i = 0; i < count; i++)
		pyml_bad_free(cache->heap, cache->heap->view.base + bad[i].ref,
			      bad[i].status);
}

/*
 * The cache is busy until end_busy(): the kernel takes nothing from it, and a handler of a
 * signal that ends the process leaves it alone (flush_last_frees() in thread.c).  The
 * fence keeps what follows from being seen, or done by the compiler, before that.
 *
 * Returns what end_busy() needs: a report of a bad free may allocate meanwhile.
 */
static unsigned int begin_busy(struct pyml_cache *cache)
{
	unsigned int busy = cache->header.busy;

	__atomic_store_n(&cache->header.busy, 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	report_taken(cache);
	return busy;
}

static void end_busy(struct pyml_cache *cache, unsigned int busy)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	__atomic_store_n(&cache->header.busy, busy, __ATOMIC_RELEASE);
}

/**
 * pyml_magazines_flush() - free what all magazines of a cache hold
 * @cache: the cache, of the calling thread or of one that is no more
 *
 * Keeps errno.
 */
void pyml_magazines_flush(struct pyml_cache *cache)
{
	unsigned int busy = begin_busy(cache);

	flush_all(cache);
	end_busy(cache, busy);
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

/* Takes additional slots away; what does not fit then is flushed. */
static void take_slots(struct pyml_cache *cache, size_t class)
{
	size_t count = pyml_magazine_count(cache, class);
	size_t slots = count_slots(cache, class);

	if (slots <= PYML_SLOTS_MIN)
		return;
	settle(cache, class);
	if (count > PYML_SLOTS_MIN)
		flush_oldest(cache, class, count - PYML_SLOTS_MIN);
	make_small(cache, class);
	cache->slot_bytes -= (slots - PYML_SLOTS_MIN) * class * PYMALLOC_BLOCK_MIN;
}

/*
 * Looks at the next magazine, and takes its additional slots away if it has not been
 * filled or flushed for a long time.  It is then not in use, or never needs the kernel;
 * if it needs the slots after all, it will get them again.
 */
static void shrink_next(struct pyml_cache *cache)
{
	size_t class = 1 + cache->hand % PYMALLOC_NR_CLASSES;

	cache->hand = class;
	if (cache->nr_crossings - cache->crossed[class] >= PYML_IDLE)
		take_slots(cache, class);
}

/* Bytes for which magazines may still get slots; negative if they have too many. */
static ssize_t spare_bytes(const struct pyml_cache *cache)
{
	ssize_t most = MIN(cache->net_bytes / 8, PYML_SLOT_BYTES_MOST);

	return MAX(most, PYML_SLOT_BYTES_LEAST) - (ssize_t)cache->slot_bytes;
}

/* Only a few magazines are looked at, so that the cost of a fill or flush stays bounded. */
static void make_spare(struct pyml_cache *cache, ssize_t bytes)
{
	unsigned int i;

	for (i = 0; i < PYML_LOOK_AT && spare_bytes(cache) < bytes; i++)
		shrink_next(cache);
}

/*
 * Gives a settled magazine more slots.  Returns false if the thread's bytes allow fewer
 * than one small batch of them, or the heap no page.
 */
static bool add_slots(struct pyml_cache *cache, size_t class)
{
	size_t slots = count_slots(cache, class);
	ssize_t wanted = MIN(PYML_SLOTS_MIN, PYML_SLOTS_MAX - slots);
	ssize_t size = class * PYMALLOC_BLOCK_MIN;

	make_spare(cache, wanted * size);
	wanted = MIN(wanted, spare_bytes(cache) / size);
	if (wanted < PYML_BATCH_FIRST || !make_large(cache, class, slots + wanted))
		return false;
	cache->slot_bytes += wanted * size;
	return true;
}

/* That the magazine is empty or full. */
static void note_crossing(struct pyml_cache *cache, size_t class)
{
	cache->crossed[class] = ++cache->nr_crossings;
	make_spare(cache, 0);
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

/*
 * What the next batch is: @wanted, as far as there are slots.  In a large magazine, the
 * entry behind the last slot counts as one of them: powers of two are whole pools.
 */
static size_t batch_size(const struct pyml_cache *cache, size_t class,
			 size_t wanted)
{
	size_t slots = count_slots(cache, class);

	if (wanted >= PYML_ONE_WAY * slots)
		return (slots + 1) / 8 * 7;
	return MIN(wanted, (slots + 1) / 2);
}

/*
 * The program only frees this class: its magazine gets few slots.  Returns whether that has
 * made room.
 */
static bool fit_one_way(struct pyml_cache *cache, size_t class)
{
	size_t most = PYML_ONE_WAY_BYTES / (class * PYMALLOC_BLOCK_MIN);
	size_t slots = count_slots(cache, class);

	most = MAX(most / PYML_SLOTS_MIN * PYML_SLOTS_MIN, PYML_SLOTS_MIN);
	if (slots < most)
		return add_slots(cache, class);
	if (slots > most)
		take_slots(cache, class);
	return false;
}

/*
 * A magazine is full again, and has not been empty meanwhile.  If that goes on for long,
 * the program only frees.
 */
static void flush_again(struct pyml_cache *cache, size_t class)
{
	size_t wanted = next_batch(-cache->batch[class]);

	cache->batch[class] = -(int)wanted;
	if (wanted >= PYML_ONE_WAY * count_slots(cache, class) && fit_one_way(cache, class))
		return;
	flush_oldest(cache, class, batch_size(cache, class, wanted));
}

/* More slots are room as well, without a flush; and so is what the kernel has taken. */
static void grow_or_flush(struct pyml_cache *cache, size_t class)
{
	settle(cache, class);
	if (load_top(cache, class) != cache->magazines.full[class])
		return;
	note_crossing(cache, class);
	if (cache->batch[class] > 0 && add_slots(cache, class))
		cache->batch[class] = -PYML_BATCH_FIRST / 2;
	else
		flush_again(cache, class);
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
	unsigned int busy = begin_busy(cache);

	grow_or_flush(cache, class);
	end_busy(cache, busy);
}

/*
 * Fills an empty magazine with @count objects, or as many as there is memory for.  The
 * first is on top, so that they are used in the kernel's order.
 */
static size_t fill_with(struct pyml_cache *cache, size_t class, size_t count)
{
	void **end = load_bottom(cache, class);
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
	if (unlikely(cache->heap->trace))
		pyml_trace_filled(cache, top, done);
	set_top(cache, class, top);
	cache->net_bytes += done * class * PYMALLOC_BLOCK_MIN;
	return done;
}

/* When there is no memory, the other magazines may hold the pages that it needs. */
static bool grow_and_fill(struct pyml_cache *cache, size_t class)
{
	size_t wanted = next_batch(cache->batch[class]);

	settle(cache, class);
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
	unsigned int busy = begin_busy(cache);
	bool filled;

	filled = grow_and_fill(cache, class);
	end_busy(cache, busy);
	return filled;
}
