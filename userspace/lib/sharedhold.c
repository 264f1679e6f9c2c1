// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What the process holds of a shared heap: the counts, and the drops that the kernel does not know
 * yet.
 *
 * For each object the kernel has one bit that says whether the process holds it.  It is set when
 * the count is PYML_WAITING or more, and for the stock.  It is set and cleared under the heap's
 * lock alone.  A thread that holds an object adds one to its count first.  If the result is
 * negative, the process had it, or its last drop waits and is now void: nothing else is to be done.
 * Otherwise it takes the lock, and tells the kernel if no other thread has done so meanwhile: what
 * threads have added while they wait for the lock becomes what they hold.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "report.h"
#include "sandbox.h"
#include "sharedhold.h"

/**
 * pyml_shared_ioctl() - make a call on a shared heap's descriptor
 * @heap: the heap
 * @command: PYMALLOC_IOC_*
 * @args: its argument
 *
 * Return: as ioctl(); in a sandbox -1 with errno EPERM, without a system call.
 */
int pyml_shared_ioctl(struct pyml_shared *heap, unsigned long command, void *args)
{
	int ret = -1;

	if (pyml_begin_calls()) {
		ret = ioctl(heap->fd, command, args);
		pyml_end_calls();
	} else {
		errno = EPERM;
	}
	return ret;
}

/*
 * Makes the kernel drop objects.  Returns how many it has looked at; if these are not all, errno
 * says why.  One that the process does not hold for the kernel was dropped by other means: then
 * both agree.
 */
static unsigned int drop_all(struct pyml_shared *heap, __u64 *refs, unsigned int count)
{
	unsigned int done = 0;
	int ret = 0;

	while (done < count && (!ret || errno == EINTR)) {
		struct pymalloc_holds args = {
			.argsz = sizeof(args),
			.op = PYMALLOC_HOLDS_DROP,
			.refs = (uintptr_t)(refs + done),
			.count = count - done,
		};

		ret = pyml_shared_ioctl(heap, PYMALLOC_IOC_HOLDS, &args);
		done += args.done;
	}
	return done;
}

/* Of the drops that wait, takes those that are still to be made.  Returns how many. */
static unsigned int take_drops(struct pyml_shared *heap, __u64 *refs)
{
	unsigned int i, nr = 0;

	for (i = 0; i < heap->nr_drops; i++) {
		__u32 waiting = PYML_WAITING;

		/* Acquire: what all threads have done with it comes before its end. */
		if (__atomic_compare_exchange_n(pyml_count(heap, heap->drops[i]), &waiting,
						PYML_UNHELD, false, __ATOMIC_ACQUIRE,
						__ATOMIC_RELAXED))
			refs[nr++] = heap->drops[i];
	}
	heap->nr_drops = 0;
	return nr;
}

/**
 * pyml_shared_send() - tell the kernel what was dropped
 * @heap: the heap, locked
 *
 * Return: 0; or -1 and errno, and the process goes on to hold what it could not drop.
 */
int pyml_shared_send(struct pyml_shared *heap)
{
	__u64 refs[PYML_DROPS_MAX];
	unsigned int nr = take_drops(heap, refs);
	unsigned int done = drop_all(heap, refs, nr);
	unsigned int i;

	for (i = done; i < nr; i++) {
		__atomic_add_fetch(pyml_count(heap, refs[i]), PYML_WAITING, __ATOMIC_RELAXED);
		heap->drops[heap->nr_drops++] = refs[i];
	}
	return done == nr ? 0 : -1;
}

/* A drop waits from now on. */
static void add_drop(struct pyml_shared *heap, __u64 ref)
{
	/* Large objects have pools without a class. */
	bool large = !heap->pool_map[ref / PYMALLOC_POOL_SIZE];

	if (heap->nr_drops && heap->drops[heap->nr_drops - 1] == ref)
		return;
	/* As long as the kernel takes none, there is no room for more, which stay for ever. */
	if (heap->nr_drops == PYML_DROPS_MAX && pyml_shared_send(heap))
		return;
	heap->drops[heap->nr_drops++] = ref;
	if (large || heap->nr_drops == PYML_DROPS_MAX)
		pyml_shared_send(heap);
}

/* Blocks that have come into use by other means than an allocation are not in it any more. */
static unsigned int take_stock(struct pyml_shared *heap, struct pyml_stock *stock, __u64 *refs)
{
	unsigned int nr = 0;

	while (stock->nr) {
		__u64 ref = stock->refs[--stock->nr];
		__u32 *count = pyml_count(heap, ref);

		if (!pyml_is_stocked(__atomic_load_n(count, __ATOMIC_RELAXED)))
			continue;
		__atomic_sub_fetch(count, PYML_STOCKED, __ATOMIC_RELAXED);
		refs[nr++] = ref;
	}
	return nr;
}

/**
 * pyml_shared_unstock() - give the stock back
 * @heap: the heap, locked
 *
 * Return: 0; or -1 and errno.
 */
int pyml_shared_unstock(struct pyml_shared *heap)
{
	__u64 refs[PYML_STOCK_MAX];
	unsigned int class, nr;
	int ret = 0;

	for (class = 0; class < PYMALLOC_NR_CLASSES; class++) {
		nr = take_stock(heap, &heap->stocks[class], refs);
		heap->stocks[class].batch = 0;
		if (nr && drop_all(heap, refs, nr) < nr)
			ret = -1;
	}
	return ret;
}

static bool has_stock(const struct pyml_shared *heap)
{
	unsigned int class;

	for (class = 0; class < PYMALLOC_NR_CLASSES; class++)
		if (heap->stocks[class].nr)
			return true;
	return false;
}

/**
 * pyml_shared_make_room() - give back all that can be, because of a limit
 * @heap: the heap, locked
 * @error: what a call has failed with
 *
 * Return: true if the call is worth another try; else false, and errno is @error.
 */
bool pyml_shared_make_room(struct pyml_shared *heap, int error)
{
	bool limit = error == ENOMEM || error == EDQUOT || error == ENOSPC;

	if (error == EINTR)
		return true;
	if (limit && (heap->nr_drops || has_stock(heap)) && !pyml_shared_send(heap) &&
	    !pyml_shared_unstock(heap))
		return true;
	errno = error;
	return false;
}

/**
 * pyml_shared_count_in() - count an object that the kernel says the process holds
 * @heap: the heap, locked since before the kernel was asked
 * @ref: the object
 */
void pyml_shared_count_in(struct pyml_shared *heap, __u64 ref)
{
	__u32 *count = pyml_count(heap, ref);
	__u32 now = __atomic_load_n(count, __ATOMIC_RELAXED);
	__u32 more = PYMALLOC_SHARED_ONCE;

	/* Once there, it stays there as long as the lock is held. */
	if (now >= PYML_WAITING)
		more = 1;
	else if (pyml_is_stocked(now))
		more = PYMALLOC_SHARED_ONCE - PYML_STOCKED;
	__atomic_add_fetch(count, more, __ATOMIC_RELAXED);
}

/**
 * pyml_shared_settle() - the kernel may hold for the process an object that nothing counts
 * @heap: the heap, locked
 * @ref: the object
 *
 * Such a hold was made without the lock.  It is dropped at once, unless the object is counted.
 * Keeps errno.
 */
void pyml_shared_settle(struct pyml_shared *heap, __u64 ref)
{
	__u32 now = __atomic_load_n(pyml_count(heap, ref), __ATOMIC_RELAXED);
	int saved = errno;

	if (now < PYML_WAITING && !pyml_is_stocked(now))
		drop_all(heap, &ref, 1);
	errno = saved;
}

/* Makes the kernel hold an object.  Returns 0, or -1 and errno. */
static int hold_one(struct pyml_shared *heap, __u64 ref)
{
	struct pymalloc_holds args = {
		.argsz = sizeof(args),
		.op = PYMALLOC_HOLDS_HOLD,
		.refs = (uintptr_t)&ref,
		.count = 1,
	};
	int ret;

	do
		ret = pyml_shared_ioctl(heap, PYMALLOC_IOC_HOLDS, &args);
	while (ret < 0 && pyml_shared_make_room(heap, errno));
	return ret;
}

/* The thread has added one to the count.  Returns 0 if it holds the object now. */
static int hold_locked(struct pyml_shared *heap, __u64 ref)
{
	__u32 *count = pyml_count(heap, ref);
	__u32 now = __atomic_load_n(count, __ATOMIC_RELAXED);

	if (now >= PYML_WAITING)
		return 0;
	if (pyml_is_stocked(now)) {
		errno = EBADSLT;
	} else if (!hold_one(heap, ref)) {
		__atomic_add_fetch(count, PYMALLOC_SHARED_ONCE - 1, __ATOMIC_RELAXED);
		return 0;
	}
	__atomic_sub_fetch(count, 1, __ATOMIC_RELAXED);
	return -1;
}

int pymalloc_shared_hold_slow(struct pymalloc_shared *view, const void *object)
{
	struct pyml_shared *heap = pyml_shared_of(view);
	int ret, saved = errno;

	pthread_mutex_lock(&heap->lock);
	ret = hold_locked(heap, pymalloc_shared_ref(view, object));
	pthread_mutex_unlock(&heap->lock);
	if (!ret)
		errno = saved;
	return ret;
}

static void abort_on_bad_drop(struct pymalloc_shared *heap, const void *object)
{
	pyml_say("pymalloc_shared_drop(): ref 0x%llx at %p is not held\n",
		 pymalloc_shared_ref(heap, object), object);
	abort();
}

static pymalloc_bad_drop_fn bad_drop = abort_on_bad_drop;

pymalloc_bad_drop_fn pymalloc_set_bad_drop(pymalloc_bad_drop_fn fn)
{
	pymalloc_bad_drop_fn old;

	/* Pairs with pymalloc_shared_drop_slow(). */
	old = __atomic_exchange_n(&bad_drop, fn ? fn : abort_on_bad_drop, __ATOMIC_ACQ_REL);
	return old == abort_on_bad_drop ? NULL : old;
}

/*
 * One has been taken from the count.  If another thread has held the object meanwhile, the process
 * goes on to hold it.
 */
void pymalloc_shared_drop_slow(struct pymalloc_shared *view, const void *object, __u32 before)
{
	struct pyml_shared *heap = pyml_shared_of(view);
	/* The address has the count of the 8 bytes in which it lies. */
	__u64 ref = pymalloc_shared_ref(view, object) & -PYMALLOC_BLOCK_MIN;
	__u32 *count = pyml_count(heap, ref);
	int saved = errno;

	if (before != PYMALLOC_SHARED_ONCE) {
		__atomic_add_fetch(count, 1, __ATOMIC_RELAXED);
		__atomic_load_n(&bad_drop, __ATOMIC_ACQUIRE)(view, object);
		return;
	}
	pthread_mutex_lock(&heap->lock);
	if (__atomic_load_n(count, __ATOMIC_RELAXED) == PYML_WAITING)
		add_drop(heap, ref);
	pthread_mutex_unlock(&heap->lock);
	errno = saved;
}
