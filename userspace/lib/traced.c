// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Threads that are traced: when one begins, and where its blocks come from.
 *
 * The kernel writes the generation of a heap's trace to the caches of all threads.  A thread
 * that finds another generation than it knows, when it fills or flushes a magazine, begins:
 * the first one for the heap (trace.c), and each for itself.
 *
 * growth	The pools of a batch of blocks get the site of the call that fetches it.  That
 *		costs the fast paths nothing.
 * exact	Each block gets a site when it is handed out.
 * sampled	Bytes are counted down, from a random number of them on, until a block is
 *		sampled: a Poisson process, whose intervals are distributed exponentially.  Such
 *		a block comes from a pool that is not in the pool map, so that its free comes
 *		to trace.c, too, while all others go the fast path.
 *
 * With the last two, what is allocated has to come here.  So the thread's entry in
 * pyml_magazines points to empty magazines, and the slow path finds the cache in
 * pyml_traced.  Where malloc() counts down itself, the entry stays as it is.
 */
#include <errno.h>
#include <time.h>

#include "call.h"
#include "magazine.h"
#include "probes.h"
#include "thread.h"
#include "trace.h"
#include "traced.h"

/* Far more than a thread allocates. */
#define FOR_EVER	((ssize_t)1 << 62)

bool pyml_counts_itself;
__thread ssize_t pyml_bytes_left = FOR_EVER;
/* The state of the generator of random numbers. */
static __thread __u64 thread_seed;
/* The thread is just beginning: what it frees meanwhile is no crossing. */
static __thread bool beginning;

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
	double x = ((next_random() >> 11) + 1) * (1.0 / (1ULL << 53));

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
 * pyml_traced_begin() - do what the trace asks for, which has been set anew
 * @cache: the calling thread's cache
 *
 * Blocks that lie in magazines go back to the kernel: what is allocated then is the
 * program's.
 *
 * Keeps errno.
 */
void pyml_traced_begin(struct pyml_cache *cache)
{
	struct pymalloc_heap *heap = cache->heap;
	int saved = errno, err;

	if (beginning)
		return;
	beginning = true;
	err = heap->untraced ? -ENOMEM : pyml_trace_renew(heap);
	if (!err) {
		cache->generation = heap->trace->generation;
		begin_thread(cache, heap->trace);
		pyml_magazines_flush(cache);
	} else if (err == -ENOMEM) {
		/* There is no memory for it, or it may not be: nothing is traced. */
		cache->generation = __atomic_load_n(&cache->header.generation,
						    __ATOMIC_RELAXED);
	}
	beginning = false;
	errno = saved;
}

static __attribute_noinline__ void *fill_and_pop(struct pyml_cache *cache, size_t class_size)
{
	struct pymalloc_heap *heap = cache->heap;

	pyml_traced_crossing(cache);
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
	pyml_trace_set(trace, object, pyml_tracer_site(&trace->tracer));
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
	pyml_trace_set(trace, object, pyml_tracer_site(&trace->tracer));
	pyml_probe_alloc(object, class_size, trace->interval);
	return object;
}

/* Not a block of an exact trace that goes on. */
static __attribute_noinline__ void *alloc_otherwise(struct pyml_cache *cache,
						    size_t class_size)
{
	struct pyml_trace *trace = cache->heap->trace;

	pyml_traced_crossing(cache);
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
 * pyml_traced_malloc() - allocate a block for a thread that is traced
 * @cache: the calling thread's cache
 * @class_size: bytes of a block of the size class
 *
 * Return: as pymalloc_malloc(); or what the heap's @on_failure returns.
 */
void *pyml_traced_malloc(struct pyml_cache *cache, size_t class_size)
{
	struct pyml_trace *trace = cache->heap->trace;

	if (likely(trace->mode == PYMALLOC_TRACE_EXACT && !pyml_traced_is_new(cache)))
		return alloc_exact(cache, trace, class_size);
	if (!pyml_counts_itself)
		pyml_bytes_left -= class_size;
	if (likely(pyml_bytes_left >= 0))
		return pop_or_fill(cache, class_size);
	return alloc_otherwise(cache, class_size);
}
