// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The trace of a heap: which block was allocated where.
 *
 * Somebody sets it (PYMALLOC_IOC_TRACE).  The first thread that sees that begins it here;
 * traced.c says when, and how blocks are traced in each mode.
 *
 * A block's word, in pages of the heap that are mapped here, is the number of its site: see
 * pymalloc-sites.h.  Each page is asked for before it is written to.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <unistd.h>

#include <pymalloc-sites.h>

#include "call.h"
#include "fd.h"
#include "intern.h"
#include "probes.h"
#include "sandbox.h"
#include "trace.h"

/* Blocks of the smallest pools. */
#define STRIDE		(PYMALLOC_POOL_SIZE / PYMALLOC_BLOCK_MAX)
/* Pages of words for an arena whose blocks were a byte apart. */
#define WORDS_AN_ARENA	(PYMALLOC_ARENA_SIZE / PYML_WORDS_A_PAGE)

/* Held while a heap's trace begins or ends. */
static pthread_mutex_t begin_lock = PTHREAD_MUTEX_INITIALIZER;

static size_t words_bytes(const struct pymalloc_heap *heap)
{
	return heap->window / (heap->view.round + 1) * sizeof(__u32);
}

static size_t nr_pages(const struct pymalloc_heap *heap)
{
	return (words_bytes(heap) + PYML_PAGE - 1) / PYML_PAGE;
}

static bool add_pages(struct pymalloc_heap *heap, __u64 offset, size_t bytes)
{
	struct pymalloc_sites args = {
		.argsz = sizeof(args),
		.op = PYMALLOC_SITES_ADD,
		.offset = offset,
		.bytes = bytes,
	};
	int ret, saved = errno;

	do {
		ret = pyml_ioctl(heap, PYMALLOC_IOC_SITES, &args);
	} while (ret < 0 && errno == EINTR);
	errno = saved;
	return !ret;
}

static void drop_pages(struct pymalloc_heap *heap)
{
	struct pymalloc_sites args = {
		.argsz = sizeof(args),
		.op = PYMALLOC_SITES_DROP,
	};

	pyml_ioctl(heap, PYMALLOC_IOC_SITES, &args);
}

static bool grow_table(struct pyml_table *table, size_t bytes)
{
	struct pyml_trace *trace = (struct pyml_trace *)
		((char *)table - offsetof(struct pyml_trace, tracer.table));

	return add_pages(trace->heap, PYMALLOC_SITES_OFFSET + table->room,
			 bytes - table->room);
}

static void *map_memory(size_t bytes)
{
	void *place = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return place == MAP_FAILED ? NULL : place;
}

static bool map_over(void *place, size_t bytes, int flags, int fd, __u64 offset)
{
	return mmap(place, bytes, PROT_READ | PROT_WRITE, MAP_FIXED | flags, fd, offset) !=
	       MAP_FAILED;
}

/*
 * The table of a new trace gets another address than the last one had.  A thread may just
 * be counting a block there: ordinary memory takes its place.
 */
static bool move_table(struct pyml_trace *trace)
{
	char *old = trace->tables[trace->table];

	trace->table = !trace->table;
	return map_over(old, PYMALLOC_TABLE_MAX,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) &&
	       map_over(trace->tables[trace->table], PYMALLOC_TABLE_MAX, MAP_SHARED,
			trace->heap->fd, PYMALLOC_SITES_OFFSET);
}

/* Unmaps whatever of a trace has been mapped. */
static void unmap_trace(struct pyml_trace *trace)
{
	struct pymalloc_heap *heap = trace->heap;

	if (trace->words)
		munmap(trace->words, words_bytes(heap));
	if (trace->pages)
		munmap(trace->pages, nr_pages(heap));
	if (trace->tables[0])
		munmap(trace->tables[0], 2 * PYMALLOC_TABLE_MAX);
	munmap(trace, sizeof(*trace));
}

/* In a child of fork(), all of this is inherited. */
static struct pyml_trace *new_trace(struct pymalloc_heap *heap)
{
	struct pyml_trace *trace = map_memory(sizeof(*trace));

	if (!trace)
		return NULL;
	trace->heap = heap;
	trace->words = map_memory(words_bytes(heap));
	trace->pages = map_memory(nr_pages(heap));
	trace->tables[0] = map_memory(2 * PYMALLOC_TABLE_MAX);
	trace->tables[1] = trace->tables[0] + PYMALLOC_TABLE_MAX;
	if (trace->tables[0] && trace->words && trace->pages &&
	    map_over(trace->words, words_bytes(heap), MAP_SHARED, heap->fd,
		     PYMALLOC_WORDS_OFFSET))
		return trace;
	unmap_trace(trace);
	return NULL;
}

/* Says to the kernel, and so to whoever has set the trace, that it has begun. */
static void say_begun(const struct pymalloc_heap *heap, const struct pymalloc_trace *begun)
{
	struct pymalloc_trace args = {
		.argsz = sizeof(args),
		.flags = PYMALLOC_TRACE_BEGUN,
		.mode = begun->mode,
		.generation = begun->generation,
		.mark = (uintptr_t)heap->view.pool_map,
	};

	pyml_ioctl((struct pymalloc_heap *)heap, PYMALLOC_IOC_TRACE, &args);
}

static void begin_table(struct pyml_trace *trace, const struct pymalloc_trace *wanted)
{
	trace->tracer.table.base = trace->tables[trace->table];
	trace->tracer.table.size = PYMALLOC_TABLE_MAX;
	trace->tracer.table.grow = grow_table;
	pyml_tracer_begin(&trace->tracer, wanted);
}

/* Forgets what was traced before, and begins with what is wanted now. */
static void begin_trace(struct pyml_trace *trace, const struct pymalloc_trace *wanted)
{
	struct pymalloc_heap *heap = trace->heap;

	__atomic_store_n(&trace->mode, PYMALLOC_TRACE_OFF, __ATOMIC_RELAXED);
	/* In a child of fork(), the pages of its parent are not there. */
	madvise(trace->pages, nr_pages(heap), MADV_DONTNEED);
	drop_pages(heap);
	if (trace->pid != getpid())
		pyml_tracer_inherit(&trace->tracer);
	trace->pid = getpid();
	if (wanted->mode != PYMALLOC_TRACE_OFF && move_table(trace))
		begin_table(trace, wanted);
	trace->interval = wanted->interval;
	trace->shift = __builtin_ctzl(wanted->mode == PYMALLOC_TRACE_GROWTH ?
				      PYMALLOC_POOL_SIZE : heap->view.round + 1);
	__atomic_store_n(&trace->mode, wanted->mode, __ATOMIC_RELAXED);
	__atomic_store_n(&trace->generation, wanted->generation, __ATOMIC_RELEASE);
	say_begun(heap, wanted);
}

/* The lock is held. */
static int renew_locked(struct pymalloc_heap *heap)
{
	struct pymalloc_trace wanted = { .argsz = sizeof(wanted) };

	if (pyml_ioctl(heap, PYMALLOC_IOC_TRACE, &wanted))
		return -ENOMEM;
	if (!heap->trace)
		/* Other threads find it by this pointer alone, when it is complete. */
		__atomic_store_n(&heap->trace, new_trace(heap), __ATOMIC_RELEASE);
	if (!heap->trace)
		return -ENOMEM;
	if (heap->trace->generation != wanted.generation)
		begin_trace(heap->trace, &wanted);
	return 0;
}

/**
 * pyml_trace_renew() - trace a heap as is wanted now
 * @heap: the heap
 *
 * May change errno.
 *
 * Waits for another thread that is just doing so.
 *
 * Return: 0; -EBUSY if that takes too long; or -ENOMEM: nothing is traced.
 */
int pyml_trace_renew(struct pymalloc_heap *heap)
{
	int err;

	if (!pyml_lock_patiently(&begin_lock))
		return -EBUSY;
	err = renew_locked(heap);
	pthread_mutex_unlock(&begin_lock);
	return err;
}

/*
 * Asks for the pages of words of an arena, of which one is @page: its pools will need the
 * others soon.  Two threads may do so at the same time.
 */
static bool fetch_pages(struct pyml_trace *trace, size_t page)
{
	size_t nr = MAX(WORDS_AN_ARENA >> trace->shift, 1), first = page & -nr;
	bool there;

	there = add_pages(trace->heap, PYMALLOC_WORDS_OFFSET + first * PYML_PAGE,
			  nr * PYML_PAGE);
	memset(trace->pages + first, there ? PYML_PAGE_THERE : PYML_PAGE_REFUSED, nr);
	return there;
}

/**
 * pyml_trace_has_page() - whether blocks can have words in a page of them
 * @trace: the trace
 * @page: the number of the page, which has not been found to be there
 *
 * Asks for the page if nobody has.  If the kernel refuses it, counts a block that gets no site.
 *
 * Return: whether the page is there.
 */
__attribute_noinline__ bool pyml_trace_has_page(struct pyml_trace *trace, size_t page)
{
	if (trace->pages[page] == PYML_PAGE_UNKNOWN && fetch_pages(trace, page))
		return true;
	pyml_tracer_unknown(&trace->tracer);
	return false;
}

/* The same word for several blocks: most follow each other in the same page of words. */
static void set_words(struct pyml_trace *trace, void *const *objects, size_t count,
		      __u32 site)
{
	size_t i, word, last = ~(size_t)0;

	for (i = 0; i < count; i++) {
		word = pyml_trace_word(trace, objects[i]);
		if (word / PYML_WORDS_A_PAGE == last) {
			trace->words[word] = site;
			continue;
		}
		pyml_trace_set(trace, objects[i], site);
		if (trace->pages[word / PYML_WORDS_A_PAGE] == PYML_PAGE_THERE)
			last = word / PYML_WORDS_A_PAGE;
	}
}

/*
 * The word of each pool that some of the blocks lie in.  No pool has fewer than STRIDE blocks,
 * and those of one follow each other: it is enough to look at some.
 */
static void set_pool_words(struct pyml_trace *trace, void *const *objects, size_t count,
			   __u32 site)
{
	size_t i, word, last = ~(size_t)0;

	for (i = 0; i < count; i += STRIDE) {
		word = pyml_trace_word(trace, objects[i]);
		if (word != last)
			pyml_trace_set(trace, objects[i], site);
		last = word;
	}
}

/**
 * pyml_trace_filled() - a magazine has been filled
 * @cache: the calling thread's cache
 * @objects: what has come
 * @count: how many
 */
void pyml_trace_filled(struct pyml_cache *cache, void **objects, size_t count)
{
	struct pyml_trace *trace = cache->heap->trace;

	if (trace->mode == PYMALLOC_TRACE_OFF)
		return;
	pyml_tracer_tick(&trace->tracer);
	if (trace->mode == PYMALLOC_TRACE_GROWTH)
		set_pool_words(trace, objects, count, pyml_tracer_sites(&trace->tracer, count));
	else if (trace->mode == PYMALLOC_TRACE_EXACT)
		set_words(trace, objects, count, PYMALLOC_WORD_CACHED);
}

/**
 * pyml_trace_run() - a large object has been allocated
 * @heap: the heap, which has a trace
 * @object: the object
 */
void pyml_trace_run(struct pymalloc_heap *heap, void *object)
{
	struct pyml_trace *trace = heap->trace;

	if (trace->mode == PYMALLOC_TRACE_EXACT || trace->mode == PYMALLOC_TRACE_GROWTH)
		pyml_trace_set(trace, object, pyml_tracer_site(&trace->tracer));
}

/**
 * pyml_trace_freed() - an object is about to be freed by the kernel, not by a magazine
 * @heap: the heap, which has a trace
 * @object: the object
 *
 * Its word does not say for whom the block is next.
 */
void pyml_trace_freed(struct pymalloc_heap *heap, const void *object)
{
	struct pyml_trace *trace = heap->trace;
	size_t word = pyml_trace_word(trace, object);
	size_t page = word / PYML_WORDS_A_PAGE;

	if (word >= words_bytes(heap) / sizeof(__u32) || trace->pages[page] != PYML_PAGE_THERE ||
	    trace->mode == PYMALLOC_TRACE_OFF)
		return;
	if (trace->mode == PYMALLOC_TRACE_SAMPLED && trace->words[word])
		pyml_probe_free(object);
	trace->words[word] = PYMALLOC_SITE_BEFORE;
}

/**
 * pyml_trace_inherit() - in a child of fork(): leave the parent's trace
 * @heap: the heap
 *
 * Another thread may have held a lock.  Until the child begins a trace of its own, its blocks
 * have no sites.
 */
void pyml_trace_inherit(struct pymalloc_heap *heap)
{
	begin_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	if (heap->trace)
		pyml_tracer_inherit(&heap->trace->tracer);
}

/**
 * pyml_trace_end() - forget the trace of a heap
 * @heap: the heap, which no thread uses any more
 */
void pyml_trace_end(struct pymalloc_heap *heap)
{
	if (!heap->trace)
		return;
	pyml_tracer_end(&heap->trace->tracer);
	unmap_trace(heap->trace);
	heap->trace = NULL;
}
