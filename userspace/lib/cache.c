// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The memory of caches: pages of the heap, which the kernel knows, or ordinary memory.
 *
 * What has been mapped of the heap's file stays mapped until the heap is destroyed, and
 * serves the next thread that gets the same index: threads that come and go cost no
 * mappings, and a child of fork() has no mapping that nobody knows.
 */
#include <errno.h>
#include <sys/mman.h>

#include "cache.h"
#include "call.h"
#include "sandbox.h"

/* Slot pages that each cache has: the queue of refs, and the small magazines. */
static size_t first_pages(const struct pymalloc_heap *heap)
{
	size_t rows = PYMALLOC_NR_CLASSES / pyml_step(heap);
	size_t bytes = offsetof(struct pyml_slots, small) +
		       rows * (PYML_SLOTS_MIN + 1) * sizeof(void *);

	return (bytes + PYML_PAGE - 1) / PYML_PAGE;
}

static int call_cache(struct pymalloc_heap *heap, unsigned int op, size_t index,
		      size_t first, size_t count)
{
	struct pymalloc_cache args = {
		.argsz = sizeof(args),
		.op = op,
		.index = index,
		.first = first,
		.count = count,
	};

	return pyml_call(heap, PYMALLOC_IOC_CACHE, &args);
}

static void *map_file(const struct pymalloc_heap *heap, size_t bytes, __u64 offset)
{
	void *place = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, heap->fd, offset);

	return place == MAP_FAILED ? NULL : place;
}

/* Where the header page of a cache is mapped: with those of its neighbours. */
static struct pyml_cache *map_header(struct pymalloc_heap *heap, size_t index)
{
	size_t group = index / PYML_HEADERS_AT_ONCE;

	if (!heap->headers[group])
		heap->headers[group] =
			map_file(heap, PYML_HEADERS_AT_ONCE * PYML_PAGE,
				 PYMALLOC_CACHES_OFFSET +
				 group * PYML_HEADERS_AT_ONCE * PYML_PAGE);
	if (!heap->headers[group])
		return NULL;
	return (struct pyml_cache *)(heap->headers[group] +
				     index % PYML_HEADERS_AT_ONCE * PYML_PAGE);
}

static struct pyml_slots *map_slots(struct pymalloc_heap *heap, size_t index)
{
	if (!heap->slots[index])
		heap->slots[index] =
			map_file(heap, sizeof(struct pyml_slots),
				 PYMALLOC_SLOTS_OFFSET +
				 (__u64)index * PYMALLOC_CACHE_PAGES * PYML_PAGE);
	return heap->slots[index];
}

/*
 * In this order: the call finds out whether the descriptor is still the heap's, and opens
 * the heap again if it is not.
 */
static struct pyml_cache *open_in_heap(struct pymalloc_heap *heap, size_t index)
{
	struct pyml_cache *cache;

	if (call_cache(heap, PYMALLOC_CACHE_MAKE, index, 0, first_pages(heap)))
		return NULL;
	cache = map_header(heap, index);
	if (cache && map_slots(heap, index)) {
		cache->slots = heap->slots[index];
		return cache;
	}
	call_cache(heap, PYMALLOC_CACHE_END, index, 0, 0);
	return NULL;
}

/* Ordinary memory: all pages are there, and nothing is taken from them. */
static struct pyml_cache *open_apart(void)
{
	struct pyml_cache *cache;

	cache = mmap(NULL, PYML_PAGE + sizeof(struct pyml_slots), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (cache == MAP_FAILED)
		return NULL;
	cache->slots = (struct pyml_slots *)((char *)cache + PYML_PAGE);
	for (size_t row = 0; row < PYMALLOC_NR_CLASSES; row++)
		cache->large_pages[row] = 2;
	return cache;
}

/**
 * pyml_cache_open() - get memory for a cache
 * @heap: the heap
 * @index: its index in the heap's table, which no other cache has
 *
 * Under the lock in thread.c.  Keeps errno.
 *
 * Return: the cache, zero but for what is set here; or NULL without memory.
 */
struct pyml_cache *pyml_cache_open(struct pymalloc_heap *heap, size_t index)
{
	struct pyml_cache *cache = NULL;
	int saved = errno;

	if (!pyml_in_sandbox())
		cache = open_in_heap(heap, index);
	if (!cache)
		cache = open_apart();
	errno = saved;
	if (!cache)
		return NULL;
	cache->heap = heap;
	cache->index = index;
	cache->header.base = (uintptr_t)heap->view.base;
	cache->header.slots = (uintptr_t)cache->slots;
	return cache;
}

static bool is_in_heap(const struct pyml_cache *cache)
{
	return cache->slots == cache->heap->slots[cache->index];
}

/**
 * pyml_cache_close() - give the memory of a cache back
 * @cache: the cache; what it holds is lost
 */
void pyml_cache_close(struct pyml_cache *cache)
{
	if (is_in_heap(cache))
		call_cache(cache->heap, PYMALLOC_CACHE_END, cache->index, 0, 0);
	else
		munmap(cache, PYML_PAGE + sizeof(struct pyml_slots));
}

/**
 * pyml_cache_is_in_heap() - whether a cache's pages belong to the heap
 * @heap: the heap
 * @index: the cache's index
 *
 * Does not look at the cache: after a fork() it may not be there.
 *
 * Return: false if it is ordinary memory.
 */
bool pyml_cache_is_in_heap(const struct pymalloc_heap *heap, size_t index)
{
	const char *headers = heap->headers[index / PYML_HEADERS_AT_ONCE];

	return headers && (const char *)heap->caches[index] ==
			  headers + index % PYML_HEADERS_AT_ONCE * PYML_PAGE;
}

static size_t first_page_of(size_t row)
{
	return offsetof(struct pyml_slots, large) / PYML_PAGE + 2 * row;
}

/**
 * pyml_cache_add_pages() - see that a large magazine has the pages that it needs
 * @cache: the calling thread's cache
 * @row: its row
 * @pages: how many, 1 or 2
 *
 * Keeps errno.
 *
 * Return: whether they are there.
 */
bool pyml_cache_add_pages(struct pyml_cache *cache, size_t row, size_t pages)
{
	int saved = errno;

	if (cache->large_pages[row] >= pages)
		return true;
	/* The second one of the two is the one that comes first. */
	if (call_cache(cache->heap, PYMALLOC_CACHE_SLOTS, cache->index,
		       first_page_of(row) + 2 - pages, pages))
		errno = saved;
	else
		cache->large_pages[row] = pages;
	return cache->large_pages[row] >= pages;
}

/**
 * pyml_cache_drop_pages() - give back the pages of a magazine that is not large any more
 * @cache: the calling thread's cache
 * @row: its row
 *
 * Keeps errno.
 */
void pyml_cache_drop_pages(struct pyml_cache *cache, size_t row)
{
	int saved = errno;

	if (!is_in_heap(cache) || !cache->large_pages[row])
		return;
	if (call_cache(cache->heap, PYMALLOC_CACHE_DROP, cache->index, first_page_of(row), 2))
		errno = saved;
	else
		cache->large_pages[row] = 0;
}

/**
 * pyml_caches_unmap() - unmap all that has been mapped for caches
 * @heap: the heap, which no thread uses any more
 */
void pyml_caches_unmap(struct pymalloc_heap *heap)
{
	size_t i;

	for (i = 0; i < PYMALLOC_CACHES_MAX / PYML_HEADERS_AT_ONCE; i++)
		if (heap->headers[i])
			munmap(heap->headers[i], PYML_HEADERS_AT_ONCE * PYML_PAGE);
	for (i = 0; i < PYMALLOC_CACHES_MAX && i < heap->nr_indexes; i++)
		if (heap->slots[i])
			munmap(heap->slots[i], sizeof(struct pyml_slots));
}
