// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Where magazines and the kernel meet: in batches.
 *
 * How often they do is decided by how many slots a magazine has, and by how
 * many of them one batch fills or empties.
 *
 * Slots: a magazine that turns out to be too small gets some more, as long as
 * the thread has bytes to spare.  When it has none, those come from magazines
 * that have not crossed for long.  All get as many at a time, so that those
 * which need them all alike end up with as many each: doubled, the first to ask
 * would leave the last without.
 *
 * Batches: twice as large each time that the same way is taken again, up to
 * half of the slots, so that either way is open afterwards.  Small again after
 * a turn: a program that goes up and down by almost as much as there are slots
 * finds the point from which it fits and makes no more calls, which it would
 * miss by steps of half of them.  One that has gone the same way several times
 * more only allocates, or only frees: it makes fewer calls with seven eighths
 * of the slots, and has room for a few steps the other way still.
 */
#include <string.h>

#include "call.h"
#include "magazine.h"

static size_t min(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* One past the last slot: where @top is if there is no object. */
static void **end_of(const struct pyml_cache *cache, size_t class,
		     void **top)
{
	if (top >= (void **)cache->large)
		return (void **)&cache->large[class][PYML_SLOTS_MAX];
	return (void **)&cache->small[class][PYML_SLOTS_MIN];
}

static void **end(const struct pyml_cache *cache, size_t class)
{
	return end_of(cache, class, cache->magazines.top[class]);
}

static size_t count_slots(const struct pyml_cache *cache, size_t class)
{
	return end(cache, class) - cache->magazines.full[class];
}

/* Objects in a magazine; of another thread, too. */
size_t pyml_magazine_count(const struct pyml_cache *cache, size_t class)
{
	void **top = __atomic_load_n(&cache->magazines.top[class],
				     __ATOMIC_RELAXED);

	return end_of(cache, class, top) - top;
}

static bool has(void *const *objects, size_t count, const void *object)
{
	while (count--)
		if (__atomic_load_n(&objects[count], __ATOMIC_RELAXED) == object)
			return true;
	return false;
}

static bool has_ref(const struct pyml_cache *cache, __u64 ref)
{
	size_t waiting = __atomic_load_n(&cache->nr_refs, __ATOMIC_ACQUIRE);
	size_t sent = __atomic_load_n(&cache->nr_sent, __ATOMIC_ACQUIRE);
	size_t count = waiting > sent ? waiting : sent;

	while (count--)
		if (__atomic_load_n(&cache->refs[count], __ATOMIC_RELAXED) == ref)
			return true;
	return false;
}

/*
 * Whether an object is in a magazine, or on the way from there to the kernel;
 * of another thread, too.  In the order that it goes: it is not missed.
 */
bool pyml_magazine_has(const struct pyml_cache *cache, size_t class,
		       const void *object)
{
	void **top = __atomic_load_n(&cache->magazines.top[class],
				     __ATOMIC_ACQUIRE);

	return has(top, end_of(cache, class, top) - top, object) ||
	       has_ref(cache, pyml_ref(cache->heap, object));
}

/* The classes that the heap has not get no slots. */
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

/* No fewer than there are objects. */
static void set_slots(struct pyml_cache *cache, size_t class, size_t slots)
{
	void **top = cache->magazines.top[class];
	size_t count = pyml_magazine_count(cache, class);

	if (slots > PYML_SLOTS_MIN && top < (void **)cache->large) {
		void **large_end = &cache->large[class][PYML_SLOTS_MAX];

		memcpy(large_end - count, top, count * sizeof(*top));
		cache->magazines.top[class] = large_end - count;
	}
	cache->magazines.full[class] = end(cache, class) - slots;
}

/* Gives the refs that are waiting to the kernel. */
static void send(struct pyml_cache *cache)
{
	unsigned int count = cache->nr_refs;

	if (!count)
		return;
	__atomic_store_n(&cache->nr_sent, count, __ATOMIC_RELEASE);
	__atomic_store_n(&cache->nr_refs, 0, __ATOMIC_RELEASE);
	cache->nr_flushes++;
	pyml_call_free(cache->heap, cache->refs,
			  cache->abandoned ? NULL : cache->status, count);
	__atomic_store_n(&cache->nr_sent, 0, __ATOMIC_RELEASE);
}

static void add_refs(struct pyml_cache *cache, void **objects, size_t count)
{
	__u64 *refs = cache->refs + cache->nr_refs;
	size_t i;

#pragma GCC unroll 8
	for (i = 0; i < count; i++)
		refs[i] = pyml_ref(cache->heap, objects[i]);
	__atomic_store_n(&cache->nr_refs, cache->nr_refs + count,
			 __ATOMIC_RELEASE);
}

/* Takes the @count oldest objects out of a magazine; send() must follow. */
static void take_out(struct pyml_cache *cache, size_t class, size_t count)
{
	void **top = cache->magazines.top[class];
	void **oldest = end(cache, class) - count;
	size_t done = 0;
	size_t part;

	while (done < count) {
		if (cache->nr_refs == PYML_BATCH_MOST)
			send(cache);
		part = min(count - done, PYML_BATCH_MOST - cache->nr_refs);
		add_refs(cache, oldest + done, part);
		done += part;
	}
	memmove(top + count, top, (oldest - top) * sizeof(*top));
	cache->magazines.top[class] = top + count;
}

static void take_all_out(struct pyml_cache *cache)
{
	size_t class;

	for (class = 1; class < PYML_MAGAZINES; class++)
		take_out(cache, class, pyml_magazine_count(cache, class));
	send(cache);
}

/* For what a signal's handler may do: the compiler moves nothing across it. */
static void set_busy(struct pyml_cache *cache, bool busy)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	cache->busy = busy;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

void pyml_magazines_drain(struct pyml_cache *cache)
{
	set_busy(cache, true);
	take_all_out(cache);
	set_busy(cache, false);
}

/*
 * As above, for a thread that was anywhere when fork() left it behind: a block
 * may be in two places by then, or free already, and that is nobody's mistake.
 */
void pyml_magazines_abandon(struct pyml_cache *cache)
{
	cache->abandoned = true;
	pyml_magazines_drain(cache);
}

/*
 * Takes back what a magazine had more than the least, if it has not crossed
 * for long: it is not in use, or never needs the kernel, and will get it again
 * if that was a mistake.  One magazine each time: this is no place to search.
 */
static void reclaim(struct pyml_cache *cache)
{
	size_t class = 1 + cache->hand % PYMALLOC_NR_CLASSES;
	__u64 now = cache->nr_refills + cache->nr_flushes;
	size_t slots = count_slots(cache, class);
	size_t count = pyml_magazine_count(cache, class);

	cache->hand = class;
	if (slots <= PYML_SLOTS_MIN ||
	    now - cache->crossed[class] < PYML_IDLE)
		return;
	if (count > PYML_SLOTS_MIN) {
		take_out(cache, class, count - PYML_SLOTS_MIN);
		send(cache);
	}
	set_slots(cache, class, PYML_SLOTS_MIN);
	cache->spare += (slots - PYML_SLOTS_MIN) *
			class * PYMALLOC_BLOCK_MIN;
}

/* Returns false if that would give it hardly any more slots. */
static bool grow(struct pyml_cache *cache, size_t class)
{
	size_t slots = count_slots(cache, class);
	size_t wanted = min(PYML_SLOTS_MIN, PYML_SLOTS_MAX - slots);
	size_t size = class * PYMALLOC_BLOCK_MIN;

	if (wanted * size > cache->spare)
		reclaim(cache);
	wanted = min(wanted, cache->spare / size);
	if (wanted < PYML_BATCH_FIRST)
		return false;
	cache->spare -= wanted * size;
	set_slots(cache, class, slots + wanted);
	return true;
}

static void mark_crossed(struct pyml_cache *cache, size_t class)
{
	cache->crossed[class] = cache->nr_refills + cache->nr_flushes;
}

/*
 * What the next batch should be if there were slots for any: twice the last one
 * that went this way, if none has gone the other since.
 */
static size_t next_batch(int last)
{
	if (last <= 0)
		return PYML_BATCH_FIRST;
	return min(2 * last, PYML_ONE_WAY * PYML_SLOTS_MAX);
}

/* What it is. */
static size_t batch_size(const struct pyml_cache *cache, size_t class,
			 size_t wanted)
{
	size_t slots = count_slots(cache, class);

	if (wanted >= PYML_ONE_WAY * slots)
		return slots / 8 * 7;
	return min(wanted, slots / 2);
}

static void make_room(struct pyml_cache *cache, size_t class)
{
	size_t wanted;

	mark_crossed(cache, class);
	if (grow(cache, class))
		return;
	wanted = next_batch(-cache->batch[class]);
	cache->batch[class] = -(int)wanted;
	take_out(cache, class, batch_size(cache, class, wanted));
	send(cache);
}

/* Makes room in a full magazine: the objects used last stay. */
void pyml_magazine_make_room(struct pyml_cache *cache, size_t class)
{
	set_busy(cache, true);
	make_room(cache, class);
	set_busy(cache, false);
}

/*
 * Puts @count objects, or as many as there are, into an empty magazine, the
 * first on top: they are used in the kernel's order.
 */
static size_t put_in(struct pyml_cache *cache, size_t class, size_t count)
{
	void **slots_end = end(cache, class);
	void **top = slots_end - count;
	char *base = cache->heap->view.base;
	size_t done, i;

	done = pyml_call_alloc(cache->heap, class * PYMALLOC_BLOCK_MIN,
				  0, (__u64 *)top, count);
	if (done < count)
		top = memmove(slots_end - done, top, done * sizeof(*top));
	/* All that a block costs here: less than one more turn of the loop. */
#pragma GCC unroll 8
	for (i = 0; i < done; i++)
		top[i] = base + (uintptr_t)top[i];
	cache->magazines.top[class] = top;
	return done;
}

/* When there is no memory, the other magazines may have what takes it. */
static bool refill(struct pyml_cache *cache, size_t class)
{
	size_t wanted = next_batch(cache->batch[class]);

	mark_crossed(cache, class);
	if (wanted > count_slots(cache, class) / 2)
		grow(cache, class);
	cache->batch[class] = wanted;
	cache->nr_refills++;
	if (put_in(cache, class, batch_size(cache, class, wanted)))
		return true;
	take_all_out(cache);
	return put_in(cache, class, 1);
}

/*
 * Fills an empty magazine.  Returns false with errno ENOMEM if not a single
 * object is to be had.
 */
bool pyml_magazine_refill(struct pyml_cache *cache, size_t class)
{
	bool filled;

	set_busy(cache, true);
	filled = refill(cache, class);
	set_busy(cache, false);
	return filled;
}
