// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Tracing: which block was allocated where.
 *
 * Somebody sets the trace of a heap (PYMALLOC_IOC_TRACE), and the kernel writes its
 * generation to the caches of all threads.  A thread that finds another generation than it
 * knows, when it fills or flushes a magazine, begins: the first one for the heap, and each
 * for itself.
 *
 * growth	The pools of a batch of blocks get the site of the call that fetches it.  That
 *		costs the fast paths nothing.
 * exact	Each block gets a site when it is handed out.
 * sampled	Bytes are counted down, from a random number of them on, until a block is
 *		sampled: a Poisson process, whose intervals are distributed exponentially.  Such
 *		a block comes from a pool that is not in the pool map, so that its free comes
 *		here, too, while all others go the fast path.
 *
 * With the last two, what is allocated has to come here.  So the thread's entry in
 * pyml_magazines points to empty magazines, and the slow path finds the cache in
 * pyml_traced.  Where malloc() counts down itself, the entry stays as it is.
 *
 * A block's word, in pages of the heap that are mapped here, is the number of its site: see
 * pymalloc-sites.h.  Each page is asked for before it is written to.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <time.h>
#include <unistd.h>

#include <pymalloc-sites.h>

#include "call.h"
#include "fd.h"
#include "intern.h"
#include "magazine.h"
#include "object.h"
#include "probes.h"
#include "sandbox.h"
#include "trace.h"

/* Far more than a thread allocates. */
#define FOR_EVER	((ssize_t)1 << 62)

#define WORDS_A_PAGE	(PYML_PAGE / sizeof(__u32))
/* Pages of words for an arena whose blocks were a byte apart. */
#define WORDS_AN_ARENA	(PYMALLOC_ARENA_SIZE / WORDS_A_PAGE)

/* Blocks of the smallest pools. */
#define STRIDE		(PYMALLOC_POOL_SIZE / PYMALLOC_BLOCK_MAX)

/* trace->pages[] */
enum { PAGE_UNKNOWN, PAGE_THERE, PAGE_REFUSED };

/**
 * struct pyml_trace - the trace of a heap
 * @generation: the last one that was begun
 * @mode: PYMALLOC_TRACE_*
 * @interval: mean bytes between samples
 * @words: where the blocks' words are mapped
 * @pages: for each page of @words whether it is there
 * @shift: of an offset in the window, to get the number of its word: a block has one, but in
 *	a trace of growth a pool has
 * @tables: where the table is mapped, and where that of the trace before was
 * @table: which of the two it is
 * @pid: the process that has begun it; a child of fork() begins anew
 * @heap: the heap
 * @tracer: the table of sites
 */
struct pyml_trace {
	__u32 generation;
	__u32 mode;
	__u64 interval;
	__u32 *words;
	__u8 *pages;
	unsigned int shift;
	char *tables[2];
	unsigned int table;
	pid_t pid;
	struct pymalloc_heap *heap;
	struct pyml_tracer tracer;
};

bool pyml_counts_itself;
__thread ssize_t pyml_bytes_left = FOR_EVER;
/* The state of the generator of random numbers. */
static __thread __u64 thread_seed;
/* The thread is just beginning: what it frees meanwhile is no crossing. */
static __thread bool beginning;
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

/* The lock is held.  Returns whether the heap is traced as is wanted now. */
static bool renew_trace(struct pymalloc_heap *heap)
{
	struct pymalloc_trace wanted = { .argsz = sizeof(wanted) };

	if (pyml_ioctl(heap, PYMALLOC_IOC_TRACE, &wanted))
		return false;
	if (!heap->trace)
		/* Other threads find it by this pointer alone, when it is complete. */
		__atomic_store_n(&heap->trace, new_trace(heap), __ATOMIC_RELEASE);
	if (!heap->trace)
		return false;
	if (heap->trace->generation != wanted.generation)
		begin_trace(heap->trace, &wanted);
	return true;
}

static __u64 next_random(void)
{
	__u64 x = thread_seed;

	if (!x)
		x = (uintptr_t)&thread_seed ^ (__u64)time(NULL) << 32 ^ 0x9e3779b97f4a7c15;
	/* xorshift64* of Marsaglia and Vigna. */
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	thread_seed = x;
	return x * 0x2545f4914f6cdd1d;
}

/*
 * -ln(x) for 0 < x <= 1, to 1e-7: the exponent by the bits of the double, and of what is
 * left the series of artanh.  The library does without libm.
 */
static double minus_ln(double x)
{
	union { double d; __u64 bits; } u = { .d = x };
	int exponent = (int)(u.bits >> 52) - 1023;
	double t, t2, sum;

	u.bits = (u.bits & 0xfffffffffffff) | (__u64)1023 << 52;
	t = (u.d - 1) / (u.d + 1);
	t2 = t * t;
	sum = 2 * t * (1 + t2 * (1.0 / 3 + t2 * (1.0 / 5 + t2 * (1.0 / 7 + t2 *
		      (1.0 / 9 + t2 * (1.0 / 11 + t2 / 13))))));
	return -(exponent * 0.693147180559945 + sum);
}

/* Bytes to the next sample: exponentially distributed, at least 1. */
static ssize_t next_interval(__u64 mean)
{
	double x = ((next_random() >> 11) + 1) * 0x1p-53;

	return 1 + (ssize_t)(minus_ln(x) * mean);
}

/* What the calling thread is to count down, and where its allocations are to go. */
static void begin_thread(struct pyml_cache *cache, const struct pyml_trace *trace)
{
	bool each = trace->mode >= PYMALLOC_TRACE_SAMPLED;

	pyml_bytes_left = FOR_EVER;
	if (trace->mode == PYMALLOC_TRACE_EXACT)
		pyml_bytes_left = -1;
	else if (trace->mode == PYMALLOC_TRACE_SAMPLED)
		pyml_bytes_left = next_interval(trace->interval);
	pyml_cache_divert(cache, each, each && !pyml_counts_itself);
}

/**
 * pyml_trace_crossing() - do what the trace asks for, if it has been set anew
 * @cache: the calling thread's cache
 *
 * Blocks that lie in magazines go back to the kernel: what is allocated then is the
 * program's.
 *
 * Keeps errno.
 */
void pyml_trace_crossing(struct pyml_cache *cache)
{
	struct pymalloc_heap *heap = cache->heap;
	int saved = errno;
	bool renewed;

	if (beginning || !pyml_lock_patiently(&begin_lock))
		return;
	beginning = true;
	renewed = renew_trace(heap);
	pthread_mutex_unlock(&begin_lock);
	if (renewed) {
		cache->generation = heap->trace->generation;
		begin_thread(cache, heap->trace);
		pyml_magazines_flush(cache);
	} else {
		/* There is no memory for it: nothing is traced. */
		cache->generation = __atomic_load_n(&cache->header.generation,
						    __ATOMIC_RELAXED);
	}
	beginning = false;
	errno = saved;
}

static size_t word_of(const struct pyml_trace *trace, const void *object)
{
	return pymalloc_offset(&trace->heap->view, object) >> trace->shift;
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
	memset(trace->pages + first, there ? PAGE_THERE : PAGE_REFUSED, nr);
	return there;
}

static __attribute_noinline__ bool has_no_page(struct pyml_trace *trace, size_t page)
{
	if (trace->pages[page] == PAGE_UNKNOWN && fetch_pages(trace, page))
		return false;
	pyml_tracer_count_unknown(&trace->tracer);
	return true;
}

static inline void set_word(struct pyml_trace *trace, const void *object, __u32 site)
{
	size_t word = word_of(trace, object);
	size_t page = word / WORDS_A_PAGE;

	if (unlikely(trace->pages[page] != PAGE_THERE) && has_no_page(trace, page))
		return;
	__atomic_store_n(&trace->words[word], site, __ATOMIC_RELAXED);
}

static __attribute_noinline__ void *fill_and_pop(struct pyml_cache *cache, size_t class_size)
{
	struct pymalloc_heap *heap = cache->heap;

	if (pyml_magazine_fill(cache, class_size / PYMALLOC_BLOCK_MIN))
		return pymalloc_pop(&cache->magazines, class_size);
	return heap->on_failure ? heap->on_failure(class_size) : NULL;
}

static inline void *pop_or_fill(struct pyml_cache *cache, size_t class_size)
{
	void *object = pymalloc_pop(&cache->magazines, class_size);

	return likely(object) ? object : fill_and_pop(cache, class_size);
}

static inline void *alloc_exact(struct pyml_cache *cache, struct pyml_trace *trace,
				size_t class_size)
{
	void *object = pop_or_fill(cache, class_size);

	if (unlikely(!pyml_in_window(trace->heap, object)))
		return object;
	set_word(trace, object, pyml_tracer_site(&trace->tracer));
	return object;
}

static void *alloc_sample(struct pyml_cache *cache, size_t class_size)
{
	struct pymalloc_heap *heap = cache->heap;
	struct pyml_trace *trace = heap->trace;
	void *object;

	pyml_bytes_left = next_interval(trace->interval);
	object = pyml_alloc_uncached(heap, class_size, PYMALLOC_ALLOC_PINNED);
	if (!object)
		return pop_or_fill(cache, class_size);
	set_word(trace, object, pyml_tracer_site(&trace->tracer));
	pyml_probe_alloc(object, class_size, trace->interval);
	return object;
}

/* Not a block of an exact trace that goes on. */
static __attribute_noinline__ void *alloc_otherwise(struct pyml_cache *cache,
						    size_t class_size)
{
	struct pyml_trace *trace = cache->heap->trace;

	if (pyml_trace_is_new(cache))
		pyml_trace_crossing(cache);
	switch (trace->mode) {
	case PYMALLOC_TRACE_EXACT:
		return alloc_exact(cache, trace, class_size);
	case PYMALLOC_TRACE_SAMPLED:
		return alloc_sample(cache, class_size);
	default:
		pyml_bytes_left = FOR_EVER;
		return pop_or_fill(cache, class_size);
	}
}

/**
 * pyml_trace_malloc() - allocate a block for a thread that is traced
 * @cache: the calling thread's cache
 * @class_size: bytes of a block of the size class
 *
 * Return: as pymalloc_malloc(); or what the heap's @on_failure returns.
 */
void *pyml_trace_malloc(struct pyml_cache *cache, size_t class_size)
{
	struct pyml_trace *trace = cache->heap->trace;

	if (likely(trace->mode == PYMALLOC_TRACE_EXACT && !pyml_trace_is_new(cache)))
		return alloc_exact(cache, trace, class_size);
	if (!pyml_counts_itself)
		pyml_bytes_left -= class_size;
	if (likely(pyml_bytes_left >= 0))
		return pop_or_fill(cache, class_size);
	return alloc_otherwise(cache, class_size);
}

/* The same word for several blocks: most follow each other in the same page of words. */
static void set_words(struct pyml_trace *trace, void *const *objects, size_t count,
		      __u32 site)
{
	size_t i, word, last = ~(size_t)0;

	for (i = 0; i < count; i++) {
		word = word_of(trace, objects[i]);
		if (word / WORDS_A_PAGE == last) {
			trace->words[word] = site;
			continue;
		}
		set_word(trace, objects[i], site);
		if (trace->pages[word / WORDS_A_PAGE] == PAGE_THERE)
			last = word / WORDS_A_PAGE;
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
		word = word_of(trace, objects[i]);
		if (word != last)
			set_word(trace, objects[i], site);
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
		set_word(trace, object, pyml_tracer_site(&trace->tracer));
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
	size_t word = word_of(trace, object);
	size_t page = word / WORDS_A_PAGE;

	if (word >= words_bytes(heap) / sizeof(__u32) || trace->pages[page] != PAGE_THERE ||
	    trace->mode == PYMALLOC_TRACE_OFF)
		return;
	if (trace->mode == PYMALLOC_TRACE_SAMPLED && trace->words[word])
		pyml_probe_free(object);
	trace->words[word] = PYMALLOC_SITE_BEFORE;
}

/**
 * pyml_trace_inherit() - in a child of fork(): another thread may have held the lock
 */
void pyml_trace_inherit(void)
{
	begin_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
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
