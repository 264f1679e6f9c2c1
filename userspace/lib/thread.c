// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Caches come and go: a thread's is made when it first needs one, and goes
 * when the thread ends or the heap is destroyed.  Their memory comes from
 * mmap(), so that the malloc shim can use them.
 */
#include <pthread.h>
#include <sys/mman.h>

#include "call.h"
#include "fd.h"
#include "magazine.h"
#include "sandbox.h"
#include "thread.h"
#include "window.h"

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

/* How far the calling thread's end has come. */
static __thread enum { ALIVE, LEAVING, GONE } thread_state;

/* Protects what follows, all heaps' lists of caches and their counts. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct pymalloc_heap *heaps[PYML_CACHED_HEAPS];
/* Those that have an index among these, and the others. */
static struct pymalloc_heap *all_heaps;
static pthread_key_t exit_key;
static bool has_exit_key;

/* The lock is held. */
static void count_caches(struct pymalloc_heap *heap, __u64 count)
{
	heap->nr_caches = count;
	pyml_call_caches(heap, count, PYML_CACHE_BYTES);
}

static void link_cache(struct pyml_cache *cache)
{
	struct pymalloc_heap *heap = cache->heap;

	pthread_mutex_lock(&lock);
	cache->next = heap->caches;
	cache->link = &heap->caches;
	if (cache->next)
		cache->next->link = &cache->next;
	/* Last, so that the list can be followed whenever a fork() copies it. */
	__atomic_store_n(&heap->caches, cache, __ATOMIC_RELEASE);
	count_caches(heap, heap->nr_caches + 1);
	pthread_mutex_unlock(&lock);
}

static struct pyml_cache *create_cache(struct pymalloc_heap *heap)
{
	struct pyml_cache *cache;

	cache = mmap(NULL, sizeof(*cache), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (cache == MAP_FAILED)
		return NULL;
	cache->heap = heap;
	cache->home = &pyml_magazines[heap->index];
	pyml_magazines_init(cache);
	link_cache(cache);
	/* In this order: pthread_setspecific() may allocate. */
	*cache->home = &cache->magazines;
	pthread_setspecific(exit_key, &exit_key);
	return cache;
}

static struct pyml_cache *cache_at(struct pymalloc_magazines *magazines)
{
	if (magazines == NO_MAGAZINES)
		return NULL;
	return (struct pyml_cache *)magazines;
}

/* Returns NULL if the thread has no cache for this heap and can get none. */
struct pyml_cache *pyml_cache_get(struct pymalloc_heap *heap)
{
	struct pyml_cache *cache;

	cache = cache_at(pyml_magazines[heap->index]);
	if (cache || heap->index == PYML_CACHED_HEAPS ||
	    thread_state == GONE)
		return cache;
	return create_cache(heap);
}

/*
 * Whether @object, which the caller says is its own, lies in any thread's
 * magazine.  If the caller is right it left them all before it came to him,
 * and what they do meanwhile cannot bring it back.
 */
bool pyml_caches_have(struct pymalloc_heap *heap, const void *object,
		      size_t class)
{
	const struct pyml_cache *cache;

	pthread_mutex_lock(&lock);
	for (cache = heap->caches; cache; cache = cache->next)
		if (pyml_magazine_has(cache, class, object))
			break;
	pthread_mutex_unlock(&lock);
	return cache;
}

/* The lock is held.  What the cache holds is lost unless it was drained. */
static void destroy_cache(struct pyml_cache *cache)
{
	struct pymalloc_heap *heap = cache->heap;

	heap->nr_fills += cache->nr_fills;
	heap->nr_flushes += cache->nr_flushes;
	*cache->link = cache->next;
	if (cache->next)
		cache->next->link = cache->link;
	*cache->home = NO_MAGAZINES;
	munmap(cache, sizeof(*cache));
}

/*
 * Runs among the destructors of a thread's keys.  The others may still free
 * what they kept, so the caches go in the second round; what is freed even
 * later costs a call each.
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
	pthread_mutex_lock(&lock);
	for (i = 0; i < PYML_CACHED_HEAPS; i++) {
		cache = cache_at(pyml_magazines[i]);
		if (!cache)
			continue;
		pyml_magazines_flush(cache);
		count_caches(cache->heap, cache->heap->nr_caches - 1);
		destroy_cache(cache);
	}
	pthread_mutex_unlock(&lock);
}

/*
 * The process ends: what is wrong with the last frees is said now or never.
 * Not if a signal came in the middle of a batch, or while the lock was held,
 * and its handler ends the process: then it is not known what is where.
 */
static __attribute__((destructor)) void judge_last_frees(void)
{
	struct pyml_cache *cache;
	size_t i;

	if (pthread_mutex_trylock(&lock))
		return;
	for (i = 0; i < PYML_CACHED_HEAPS; i++) {
		cache = cache_at(pyml_magazines[i]);
		if (cache && !cache->busy)
			pyml_magazines_flush(cache);
	}
	pthread_mutex_unlock(&lock);
}

/* Gives back what the threads had that did not come along. */
static void inherit_caches(struct pymalloc_heap *heap)
{
	struct pyml_cache *own = cache_at(pyml_magazines[heap->index]);
	struct pyml_cache *cache = heap->caches, *next;

	for (; cache; cache = next) {
		next = cache->next;
		if (cache == own)
			continue;
		pyml_magazines_flush_abandoned(cache);
		munmap(cache, sizeof(*cache));
	}
	heap->caches = own;
	if (own) {
		own->next = NULL;
		own->link = &heap->caches;
	}
	count_caches(heap, !!own);
}

/*
 * Only the thread that called fork() lives on in the child.  The others may
 * have been anywhere, with the lock held or in the middle of a batch.
 */
static void inherit(void)
{
	size_t i;

	pyml_sandbox_start();
	lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	pyml_window_inherit();
	for (i = 0; i < PYML_CACHED_HEAPS; i++)
		if (heaps[i])
			inherit_caches(heaps[i]);
}

/*
 * Gives a new heap its index, the first one from @first on that no other heap
 * has, and with it every thread's magazines for it.
 */
void pyml_caches_attach(struct pymalloc_heap *heap, size_t first)
{
	size_t i = first;

	pthread_mutex_lock(&lock);
	if (!has_exit_key) {
		has_exit_key = !pthread_key_create(&exit_key, on_thread_exit);
		pthread_atfork(pyml_window_before_fork,
			       pyml_window_after_fork, inherit);
		pyml_sandbox_start();
	}
	while (i < PYML_CACHED_HEAPS && (heaps[i] || !has_exit_key))
		i++;
	if (i < PYML_CACHED_HEAPS)
		heaps[i] = heap;
	heap->index = i;
	heap->next = all_heaps;
	all_heaps = heap;
	heap->view.magazines = (char *)&pyml_magazines[i] -
			       (char *)__builtin_thread_pointer();
	pthread_mutex_unlock(&lock);
}

/* The lock of windows cannot be taken under the one here: one heap at a time. */
static struct pymalloc_heap *nth_heap(size_t n)
{
	struct pymalloc_heap *heap;

	if (!pyml_lock_patiently(&lock))
		return NULL;
	for (heap = all_heaps; heap && n; n--)
		heap = heap->next;
	pthread_mutex_unlock(&lock);
	return heap;
}

/* What a sandbox has no system calls for: see that each heap has all it needs. */
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

/* Destroys the caches of a heap that nobody uses any more. */
void pyml_caches_detach(struct pymalloc_heap *heap)
{
	pthread_mutex_lock(&lock);
	while (heap->caches)
		destroy_cache(heap->caches);
	if (heap->index < PYML_CACHED_HEAPS)
		heaps[heap->index] = NULL;
	unlink_heap(heap);
	pthread_mutex_unlock(&lock);
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
	stats->threads++;
	stats->nr_fills += cache->nr_fills;
	stats->nr_flushes += cache->nr_flushes;
}

void pymalloc_heap_cache_stats(struct pymalloc_heap *heap,
			       struct pymalloc_cache_stats *stats)
{
	const struct pyml_cache *cache;

	*stats = (struct pymalloc_cache_stats){
		.bytes_max = PYML_CACHE_BYTES,
	};
	pthread_mutex_lock(&lock);
	stats->nr_fills = heap->nr_fills;
	stats->nr_flushes = heap->nr_flushes;
	for (cache = heap->caches; cache; cache = cache->next)
		count_cache(cache, stats);
	pthread_mutex_unlock(&lock);
}
