// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The threads' caches of magazines, one for each thread and heap: made when a thread
 * first needs one, and destroyed when the thread ends or the heap is destroyed.  Each has
 * the thread's stack as well.  Their memory comes from the kernel, so that the malloc shim
 * can use them.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/param.h>

#include "call.h"
#include "fd.h"
#include "intern.h"
#include "magazine.h"
#include "sandbox.h"
#include "stack.h"
#include "thread.h"
#include "trace.h"
#include "window.h"

/* The only entry of an empty magazine without slots: always NULL. */
static void *const no_slots[1];

#define NO_OBJECTS	{ [0 ... PYMALLOC_NR_CLASSES] = (void **)no_slots }

const struct pymalloc_magazines pyml_no_magazines = {
	.top = NO_OBJECTS,
	.full = NO_OBJECTS,
};

#define NO_MAGAZINES	((struct pymalloc_magazines *)&pyml_no_magazines)

__thread struct pymalloc_magazines
	*pyml_magazines[PYML_CACHED_HEAPS + 1] = {
	[0 ... PYML_CACHED_HEAPS] = NO_MAGAZINES
};

__thread struct pyml_cache *pyml_traced[PYML_CACHED_HEAPS + 1];

/* The calling thread: alive; in the first round of its destructors; later. */
static __thread enum { ALIVE, LEAVING, GONE } thread_state;

/* Protects what follows, and of all heaps the list of caches and their counts. */
static pthread_mutex_t caches_lock = PTHREAD_MUTEX_INITIALIZER;
/* The heaps with magazines, by index. */
static struct pymalloc_heap *heaps[PYML_CACHED_HEAPS];
/* These, and those without magazines. */
static struct pymalloc_heap *all_heaps;
/* Its destructor is on_thread_exit(); the value only has to be other than NULL. */
static pthread_key_t exit_key;
static bool has_exit_key;

/* The lock is held.  Tells the kernel as well, for the heap's figures. */
static void tell_caches(struct pymalloc_heap *heap, __u64 count)
{
	heap->nr_caches = count;
	pyml_call_caches(heap, count, PYML_CACHE_BYTES);
}

/* The lowest index without a cache; PYMALLOC_CACHES_MAX if there is none. */
static size_t free_index(const struct pymalloc_heap *heap)
{
	size_t i = 0;

	while (i < PYMALLOC_CACHES_MAX && heap->caches[i])
		i++;
	return i;
}

/* The lock is held. */
static struct pyml_cache *new_cache(struct pymalloc_heap *heap)
{
	size_t index = free_index(heap);
	struct pyml_cache *cache = NULL;

	if (index < PYMALLOC_CACHES_MAX)
		cache = pyml_cache_open(heap, index);
	if (!cache)
		return NULL;
	cache->home = &pyml_magazines[heap->index];
	cache->traced_home = &pyml_traced[heap->index];
	pyml_magazines_init(cache);
	heap->nr_indexes = MAX(heap->nr_indexes, index + 1);
	/*
	 * Pairs with inherit_caches(), in a child of a fork() at any moment: the cache is
	 * in the table only when it is complete.
	 */
	__atomic_store_n(&heap->caches[index], cache, __ATOMIC_RELEASE);
	tell_caches(heap, heap->nr_caches + 1);
	return cache;
}

static struct pyml_cache *create_cache(struct pymalloc_heap *heap)
{
	struct pyml_cache *cache;

	pthread_mutex_lock(&caches_lock);
	cache = new_cache(heap);
	pthread_mutex_unlock(&caches_lock);
	if (!cache)
		return NULL;
	/* In this order: pthread_setspecific() may allocate, from this cache then. */
	*cache->home = &cache->magazines;
	pthread_setspecific(exit_key, &exit_key);
	return cache;
}

/* Of the calling thread, for the heap with that index; NULL if there is none. */
static struct pyml_cache *own_cache(size_t index)
{
	struct pymalloc_magazines *magazines = pyml_magazines[index];

	if (magazines == NO_MAGAZINES)
		return pyml_traced[index];
	return (struct pyml_cache *)magazines;
}

/**
 * pyml_cache_own() - the calling thread's cache for a heap, if it has one
 * @heap: the heap
 *
 * Return: the cache or NULL.
 */
struct pyml_cache *pyml_cache_own(const struct pymalloc_heap *heap)
{
	return own_cache(heap->index);
}

/**
 * pyml_cache_divert() - say where the calling thread's allocations go
 * @cache: its cache
 * @traced: the slow path looks at all that come there
 * @diverted: all come there, and frees as well
 */
void pyml_cache_divert(struct pyml_cache *cache, bool traced, bool diverted)
{
	*cache->traced_home = traced ? cache : NULL;
	*cache->home = diverted ? NO_MAGAZINES : &cache->magazines;
}

/**
 * pyml_cache_get() - the calling thread's cache for a heap
 * @heap: the heap
 *
 * Makes the cache if there is none.
 *
 * Return: the cache; or NULL if the heap has no magazines, the thread is at its end, or
 * there is no memory.
 */
struct pyml_cache *pyml_cache_get(struct pymalloc_heap *heap)
{
	struct pyml_cache *cache;

	cache = own_cache(heap->index);
	if (cache || heap->index == PYML_CACHED_HEAPS ||
	    thread_state == GONE)
		return cache;
	return create_cache(heap);
}

struct pymalloc_stack *pymalloc_stack_get(struct pymalloc_heap *heap)
{
	struct pyml_cache *cache = heap->sealed ? pyml_cache_own(heap) : pyml_cache_get(heap);

	if (cache)
		return pyml_stack_begin(&cache->stack, heap);
	if (heap->sealed)
		errno = EPERM;
	else
		errno = heap->index < PYML_CACHED_HEAPS ? ENOMEM : ENOTSUP;
	return NULL;
}

/*
 * The next cache of a heap, from index *@i on, which is then the one behind it; NULL if
 * there is none.  The lock is held.
 *
 * In a child made without fork()'s handlers, the table has caches of threads that exist
 * in the parent alone, and their pages are not there.
 */
static struct pyml_cache *next_cache(const struct pymalloc_heap *heap, size_t *i)
{
	const struct pyml_cache *own = own_cache(heap->index);
	bool all = !pyml_sandbox_is_inherited();
	struct pyml_cache *cache;

	while (*i < heap->nr_indexes) {
		cache = heap->caches[(*i)++];
		if (cache && (all || cache == own))
			return cache;
	}
	return NULL;
}

/**
 * pyml_caches_have() - whether an object is in some thread's magazine
 * @heap: the heap
 * @object: the object, which the caller wants to free or resize
 * @class: its size class
 *
 * If the caller owns the object, the answer is false for certain: the object had left
 * all magazines before it was handed out, and only its free can bring it back.
 *
 * Return: true if it is in one, which means that it is free already.
 */
bool pyml_caches_have(struct pymalloc_heap *heap, const void *object,
		      size_t class)
{
	const struct pyml_cache *cache;
	size_t i = 0;

	pthread_mutex_lock(&caches_lock);
	while ((cache = next_cache(heap, &i)))
		if (pyml_magazine_has(cache, class, object))
			break;
	pthread_mutex_unlock(&caches_lock);
	return cache;
}

/* The lock is held.  What the cache holds is lost unless it was flushed. */
static void destroy_cache(struct pyml_cache *cache)
{
	struct pymalloc_heap *heap = cache->heap;

	heap->nr_fills += cache->nr_fills;
	heap->nr_flushes += cache->nr_flushes;
	heap->caches[cache->index] = NULL;
	*cache->home = NO_MAGAZINES;
	*cache->traced_home = NULL;
	pyml_cache_close(cache);
}

/*
 * Runs among the destructors of a thread's keys.  The destructors of other keys may
 * still free objects, so the caches are destroyed in the second round only.  What is
 * freed even later costs one call for each object.
 */
static void on_thread_exit(void *value)
{
	struct pyml_cache *cache;
	size_t i;

	if (thread_state == ALIVE) {
		thread_state = LEAVING;
		pthread_setspecific(exit_key, value);
		return;
	}
	thread_state = GONE;
	pthread_mutex_lock(&caches_lock);
	for (i = 0; i < PYML_CACHED_HEAPS; i++) {
		cache = own_cache(i);
		if (!cache)
			continue;
		pyml_stack_end(&cache->stack);
		pyml_magazines_flush(cache);
		tell_caches(cache->heap, cache->heap->nr_caches - 1);
		destroy_cache(cache);
	}
	pthread_mutex_unlock(&caches_lock);
	pyml_tracer_forget_thread();
}

/*
 * When the process ends, this is the last opportunity to report bad frees among the
 * objects in magazines.  It is not taken if a signal's handler ends the process and the
 * signal came while the lock was held or in the middle of a batch: the magazines are in
 * an unknown state then.
 */
static __attribute__((destructor)) void flush_last_frees(void)
{
	struct pyml_cache *cache;
	size_t i;

	if (pthread_mutex_trylock(&caches_lock))
		return;
	for (i = 0; i < PYML_CACHED_HEAPS; i++) {
		cache = own_cache(i);
		if (cache && !cache->header.busy)
			pyml_magazines_flush(cache);
	}
	pthread_mutex_unlock(&caches_lock);
}

/*
 * In a child of fork(): the threads that exist only in the parent have no caches here.
 * The kernel has freed what was in those that it knows, and has not copied their pages.
 */
static void inherit_caches(struct pymalloc_heap *heap)
{
	struct pyml_cache *own = own_cache(heap->index);
	size_t i;

	for (i = 0; i < heap->nr_indexes; i++) {
		if (!heap->caches[i] || heap->caches[i] == own)
			continue;
		if (!pyml_cache_is_in_heap(heap, i)) {
			pyml_magazines_flush_abandoned(heap->caches[i]);
			pyml_cache_close(heap->caches[i]);
		}
		heap->caches[i] = NULL;
	}
	tell_caches(heap, !!own);
}

/*
 * Only the thread that called fork() exists in the child.  Another one may have held the
 * lock, or have been in the middle of a batch.
 */
static void inherit_after_fork(void)
{
	size_t i;

	pyml_sandbox_start();
	caches_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	pyml_window_inherit();
	for (i = 0; i < PYML_CACHED_HEAPS; i++)
		if (heaps[i]) {
			pyml_trace_inherit(heaps[i]);
			inherit_caches(heaps[i]);
		}
}

/* Where a thread has the address of its magazines for the heaps with this index. */
static ptrdiff_t place_of(size_t index)
{
	return (char *)&pyml_magazines[index] - (char *)__builtin_thread_pointer();
}

/**
 * pyml_caches_attach() - give a new heap its index, by which threads find its magazines
 * @heap: the heap
 * @first: the index is the first free one from here on; if none is left, the heap has
 *	no magazines
 *
 * Takes the lock.
 */
void pyml_caches_attach(struct pymalloc_heap *heap, size_t first)
{
	size_t i = first;

	pthread_mutex_lock(&caches_lock);
	if (!has_exit_key) {
		has_exit_key = !pthread_key_create(&exit_key, on_thread_exit);
		pthread_atfork(pyml_window_before_fork,
			       pyml_window_after_fork, inherit_after_fork);
		pyml_sandbox_start();
	}
	while (i < PYML_CACHED_HEAPS && (heaps[i] || !has_exit_key))
		i++;
	if (i < PYML_CACHED_HEAPS)
		heaps[i] = heap;
	heap->index = i;
	heap->next = all_heaps;
	all_heaps = heap;
	heap->view.magazines = place_of(i);
	pthread_mutex_unlock(&caches_lock);
}

/**
 * pyml_caches_bypass() - have all threads take the slow paths in a heap, as if without magazines
 * @heap: the heap, which no thread is using and which is sealed
 */
void pyml_caches_bypass(struct pymalloc_heap *heap)
{
	struct pyml_cache *cache;
	size_t i = 0;

	pthread_mutex_lock(&caches_lock);
	while ((cache = next_cache(heap, &i)))
		pyml_stack_close(&cache->stack);
	pthread_mutex_unlock(&caches_lock);
	heap->view.magazines = place_of(PYML_CACHED_HEAPS);
}

/*
 * For a loop over all heaps that takes the lock of windows, which must not be taken
 * inside the one here.  Returns NULL behind the last heap.
 */
static struct pymalloc_heap *nth_heap(size_t n)
{
	struct pymalloc_heap *heap;

	if (!pyml_lock_patiently(&caches_lock))
		return NULL;
	for (heap = all_heaps; heap && n; n--)
		heap = heap->next;
	pthread_mutex_unlock(&caches_lock);
	return heap;
}

/**
 * pyml_caches_prepare() - see that each heap has what it may need in a sandbox
 *
 * A sandbox allows no system call to make up for it later: a descriptor, mapped pages
 * of the window, and the calling thread's magazines.
 */
void pyml_caches_prepare(void)
{
	struct pymalloc_heap *heap;
	size_t i;

	for (i = 0; (heap = nth_heap(i)); i++) {
		pyml_fd_renew(heap);
		pyml_window_grow_ahead(heap);
		pyml_cache_get(heap);
	}
}

/* The lock is held. */
static void unlink_heap(struct pymalloc_heap *heap)
{
	struct pymalloc_heap **link = &all_heaps;

	while (*link != heap)
		link = &(*link)->next;
	*link = heap->next;
}

/**
 * pyml_caches_detach() - destroy all caches of a heap
 * @heap: the heap, which no thread uses any more
 *
 * Takes the lock.
 */
void pyml_caches_detach(struct pymalloc_heap *heap)
{
	struct pyml_cache *cache;
	size_t i = 0;

	pthread_mutex_lock(&caches_lock);
	while ((cache = next_cache(heap, &i)))
		destroy_cache(cache);
	if (heap->index < PYML_CACHED_HEAPS)
		heaps[heap->index] = NULL;
	unlink_heap(heap);
	pthread_mutex_unlock(&caches_lock);
	pyml_caches_unmap(heap);
	pyml_trace_end(heap);
}

/* What is queued to be freed; of another thread that goes on, approximately. */
static void count_queue(const struct pyml_cache *cache,
			struct pymalloc_cache_stats *stats)
{
	const struct pymalloc_view *view = &cache->heap->view;
	size_t count = MIN(cache->header.nr_queued, PYML_BATCH_MOST);
	size_t i;

	for (i = 0; i < count; i++) {
		size_t class = pyml_pool_class(view, view->base + cache->slots->refs[i]);

		stats->blocks++;
		stats->bytes += class * PYMALLOC_BLOCK_MIN;
	}
}

static void count_cache(const struct pyml_cache *cache,
			struct pymalloc_cache_stats *stats)
{
	size_t class;

	for (class = 1; class < PYML_MAGAZINES; class++) {
		size_t blocks = pyml_magazine_count(cache, class);

		stats->blocks += blocks;
		stats->bytes += blocks * class * PYMALLOC_BLOCK_MIN;
	}
	count_queue(cache, stats);
	stats->threads++;
	stats->nr_fills += cache->nr_fills;
	stats->nr_flushes += cache->nr_flushes;
}

void pymalloc_heap_cache_stats(struct pymalloc_heap *heap,
			       struct pymalloc_cache_stats *stats)
{
	const struct pyml_cache *cache;
	size_t i = 0;

	*stats = (struct pymalloc_cache_stats){
		.bytes_max = PYML_CACHE_BYTES,
	};
	pthread_mutex_lock(&caches_lock);
	stats->nr_fills = heap->nr_fills;
	stats->nr_flushes = heap->nr_flushes;
	while ((cache = next_cache(heap, &i)))
		count_cache(cache, stats);
	pthread_mutex_unlock(&caches_lock);
}
