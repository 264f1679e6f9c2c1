// SPDX-License-Identifier: LGPL-2.1-or-later
/* Shared heaps: objects are allocated, blocks from a stock that is filled in batches. */
#include <errno.h>

#include "sharedhold.h"

/* Blocks in the first batch of a size class; each further one is twice as large. */
#define FIRST_BATCH	8U

/*
 * Allocates objects, as many as there can be.  Returns how many; if they are not all, errno says
 * why.
 */
static unsigned int call_alloc(struct pyml_shared *heap, size_t size, __u64 *refs,
			       unsigned int count)
{
	unsigned int done = 0;
	int ret;

	do {
		struct pymalloc_alloc args = {
			.argsz = sizeof(args),
			.size = size,
			.refs = (uintptr_t)(refs + done),
			.count = count - done,
		};

		ret = pyml_shared_ioctl(heap, PYMALLOC_IOC_ALLOC, &args);
		done += args.done;
	} while (ret < 0 && pyml_shared_make_room(heap, errno));
	/* All of the window is there already. */
	if (ret < 0 && errno == ENOSPC)
		errno = ENOMEM;
	return done;
}

/*
 * Fills the stock of a size class.  What is there for a limit is for other blocks than those of the
 * stock: if there is not enough of it for all, there is only one.
 */
static void fill(struct pyml_shared *heap, struct pyml_stock *stock, size_t size)
{
	unsigned int i, batch = stock->batch ? 2 * stock->batch : FIRST_BATCH;
	struct pymalloc_alloc args;

	if (batch > PYML_STOCK_MAX)
		batch = PYML_STOCK_MAX;
	args = (struct pymalloc_alloc){
		.argsz = sizeof(args),
		.size = size,
		.refs = (uintptr_t)stock->refs,
		.count = batch,
	};
	pyml_shared_ioctl(heap, PYMALLOC_IOC_ALLOC, &args);
	stock->nr = args.done;
	if (!stock->nr)
		stock->nr = call_alloc(heap, size, stock->refs, 1);
	stock->batch = stock->nr < batch ? 0 : batch;
	for (i = 0; i < stock->nr; i++)
		__atomic_add_fetch(pyml_count(heap, stock->refs[i]), PYML_STOCKED,
				   __ATOMIC_RELAXED);
}

/* Takes a block from the stock.  Returns its ref, or 0. */
static __u64 pop(struct pyml_shared *heap, struct pyml_stock *stock)
{
	while (stock->nr) {
		__u64 ref = stock->refs[--stock->nr];

		/* Others that guess may have made it one that is in use. */
		if (!pyml_is_stocked(__atomic_load_n(pyml_count(heap, ref), __ATOMIC_RELAXED)))
			continue;
		pyml_shared_count_in(heap, ref);
		return ref;
	}
	return 0;
}

/* The stock of a size, or NULL for large objects. */
static struct pyml_stock *stock_of(struct pyml_shared *heap, size_t size)
{
	size_t rounded = (size + heap->round) & ~heap->round;

	if (size > PYMALLOC_BLOCK_MAX)
		return NULL;
	return &heap->stocks[rounded / PYMALLOC_BLOCK_MIN - 1];
}

static __u64 alloc_one(struct pyml_shared *heap, size_t size)
{
	struct pyml_stock *stock = stock_of(heap, size);
	__u64 ref = 0;

	if (stock) {
		do {
			if (!stock->nr)
				fill(heap, stock, size);
			ref = pop(heap, stock);
		} while (!ref && stock->batch);
		return ref;
	}
	if (call_alloc(heap, size, &ref, 1))
		pyml_shared_count_in(heap, ref);
	return ref;
}

/* May this be allocated at all?  Else errno says why not. */
static bool is_possible(const struct pyml_shared *heap, size_t size)
{
	if (!heap->reader && size <= PYMALLOC_SIZE_MAX)
		return true;
	errno = heap->reader ? EPERM : ENOMEM;
	return false;
}

void *pymalloc_shared_alloc(struct pymalloc_shared *view, size_t size)
{
	struct pyml_shared *heap = pyml_shared_of(view);
	int saved = errno;
	__u64 ref;

	if (!is_possible(heap, size))
		return NULL;
	pthread_mutex_lock(&heap->lock);
	ref = alloc_one(heap, size ?: 1);
	pthread_mutex_unlock(&heap->lock);
	if (ref)
		errno = saved;
	return pymalloc_shared_at(view, ref);
}

/* Part of a batch: returns how many there are, as call_alloc(). */
static unsigned int alloc_some(struct pyml_shared *heap, size_t size, void **objects,
			       unsigned int count)
{
	struct pyml_stock *stock = stock_of(heap, size);
	__u64 refs[PYML_STOCK_MAX];
	unsigned int i, nr = 0;

	while (stock && nr < count && stock->nr) {
		refs[nr] = pop(heap, stock);
		nr += refs[nr] != 0;
	}
	for (i = 0; i < nr; i++)
		objects[i] = heap->view.base + refs[i];
	if (nr == count)
		return nr;
	count = call_alloc(heap, size, refs, count - nr);
	for (i = 0; i < count; i++) {
		pyml_shared_count_in(heap, refs[i]);
		objects[nr + i] = heap->view.base + refs[i];
	}
	return nr + count;
}

size_t pymalloc_shared_alloc_batch(struct pymalloc_shared *view, size_t size, void **objects,
				   size_t count)
{
	struct pyml_shared *heap = pyml_shared_of(view);
	unsigned int part, got;
	int saved = errno;
	size_t done = 0;

	if (!is_possible(heap, size))
		return 0;
	pthread_mutex_lock(&heap->lock);
	while (done < count) {
		part = count - done < PYML_STOCK_MAX ? count - done : PYML_STOCK_MAX;
		got = alloc_some(heap, size ?: 1, objects + done, part);
		done += got;
		if (got < part)
			break;
	}
	pthread_mutex_unlock(&heap->lock);
	if (done == count)
		errno = saved;
	return done;
}
