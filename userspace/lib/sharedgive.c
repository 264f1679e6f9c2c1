// SPDX-License-Identifier: LGPL-2.1-or-later
/* Shared heaps: objects are given to other processes, and received from them. */
#include <errno.h>
#include <poll.h>
#include <time.h>

#include "sandbox.h"
#include "sharedhold.h"

/* Objects that are given or received by one call. */
#define AT_ONCE	64

/* Which objects one call can give. */
enum kind {
	ANY,
	LAST,		/* the process does not go on to hold them */
	NOT_LAST,	/* it does */
};

/*
 * Takes a hold of an object out of the count.  If it is the last one, no thread can hold the object
 * without the lock from then on; the kernel still knows that the process does.  Returns its kind;
 * or ANY, and nothing has changed, if it is not of the kind that is wanted, or not held.
 */
static enum kind take(struct pyml_shared *heap, __u64 ref, enum kind wanted)
{
	__u32 *count = pyml_count(heap, ref);
	__u32 before = __atomic_load_n(count, __ATOMIC_RELAXED);
	enum kind kind;

	do {
		kind = before == PYMALLOC_SHARED_ONCE ? LAST : NOT_LAST;
		if (before < PYMALLOC_SHARED_ONCE || (wanted != ANY && wanted != kind))
			return ANY;
	} while (!__atomic_compare_exchange_n(count, &before,
					      kind == LAST ? PYML_UNHELD : before - 1, true,
					      __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
	return kind;
}

/* As the kernel's call.  @done: out: how many were given, all before the first that was not. */
static int call_give(struct pyml_shared *heap, __u32 client, const __u64 *refs, unsigned int count,
		     __u32 flags, unsigned int *done)
{
	struct pymalloc_holds args;
	int ret;

	*done = 0;
	do {
		args = (struct pymalloc_holds){
			.argsz = sizeof(args),
			.flags = flags,
			.op = PYMALLOC_HOLDS_GIVE,
			.client = client,
			.refs = (uintptr_t)(refs + *done),
			.count = count - *done,
		};
		ret = pyml_shared_ioctl(heap, PYMALLOC_IOC_HOLDS, &args);
		*done += args.nr_bad ? args.first_bad : args.done;
	} while (ret < 0 && !args.nr_bad && pyml_shared_make_room(heap, errno));
	return ret;
}

/*
 * Gives the first objects of a row, up to the first one for which the kernel has to be called in
 * another way.  Returns how many were given; 0 is an error.
 */
static unsigned int give_some(struct pyml_shared *heap, __u32 client, void *const *objects,
			      size_t count)
{
	unsigned int i, nr, done;
	enum kind taken, kind = ANY;
	__u64 refs[AT_ONCE];

	for (nr = 0; nr < AT_ONCE && nr < count; nr++) {
		refs[nr] = pymalloc_shared_ref(&heap->view, objects[nr]);
		taken = refs[nr] < heap->window ? take(heap, refs[nr], kind) : ANY;
		if (taken == ANY)
			break;
		kind = taken;
	}
	if (!nr) {
		errno = EBADSLT;
		return 0;
	}
	call_give(heap, client, refs, nr, kind == NOT_LAST ? PYMALLOC_HOLDS_KEEP : 0, &done);
	for (i = done; i < nr; i++)
		pyml_shared_count_in(heap, refs[i]);
	return done;
}

size_t pymalloc_shared_give_batch(struct pymalloc_shared *view, __u32 client,
				  void *const *objects, size_t count)
{
	struct pyml_shared *heap = pyml_shared_of(view);
	size_t given, done = 0;
	int saved = errno;

	if (heap->reader) {
		errno = EPERM;
		return 0;
	}
	pthread_mutex_lock(&heap->lock);
	while (done < count) {
		given = give_some(heap, client, objects + done, count - done);
		if (!given)
			break;
		done += given;
	}
	pthread_mutex_unlock(&heap->lock);
	if (done == count)
		errno = saved;
	return done;
}

int pymalloc_shared_give(struct pymalloc_shared *heap, __u32 client, const void *object)
{
	void *objects[] = { (void *)object };

	return pymalloc_shared_give_batch(heap, client, objects, 1) == 1 ? 0 : -1;
}

/* Receives up to @count objects, at most AT_ONCE.  Returns how many; 0 is an error. */
static unsigned int receive_some(struct pyml_shared *heap, void **objects, unsigned int count)
{
	__u64 refs[AT_ONCE];
	struct pymalloc_holds args;
	unsigned int i;
	int ret;

	do {
		args = (struct pymalloc_holds){
			.argsz = sizeof(args),
			.op = PYMALLOC_HOLDS_RECEIVE,
			.refs = (uintptr_t)refs,
			.count = count < AT_ONCE ? count : AT_ONCE,
		};
		ret = pyml_shared_ioctl(heap, PYMALLOC_IOC_HOLDS, &args);
	} while (ret < 0 && !args.done && pyml_shared_make_room(heap, errno));
	for (i = 0; i < args.done; i++) {
		pyml_shared_count_in(heap, refs[i]);
		objects[i] = heap->view.base + refs[i];
	}
	return args.done;
}

/* All that is there.  Returns how many, or -1 and errno. */
static int receive_now(struct pyml_shared *heap, void **objects, unsigned int count)
{
	unsigned int got, done = 0;

	pthread_mutex_lock(&heap->lock);
	do {
		got = receive_some(heap, objects + done, count - done);
		done += got;
	} while (got == AT_ONCE && done < count);
	pthread_mutex_unlock(&heap->lock);
	return done ? (int)done : -1;
}

static long long milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* Waits until there may be something.  Returns 0, or -1 and errno. */
static int wait_for_mail(struct pyml_shared *heap, long long end, int timeout)
{
	struct pollfd fd = { .fd = heap->fd, .events = POLLIN };
	long long left = timeout < 0 ? -1 : end - milliseconds();
	int ret = -1;

	if (timeout >= 0 && left <= 0) {
		errno = EAGAIN;
		return -1;
	}
	if (pyml_begin_calls()) {
		ret = poll(&fd, 1, left);
		pyml_end_calls();
	} else {
		errno = EPERM;
	}
	return ret < 0 ? -1 : 0;
}

int pymalloc_shared_receive(struct pymalloc_shared *view, void **objects, unsigned int count,
			    int timeout)
{
	struct pyml_shared *heap = pyml_shared_of(view);
	long long end = timeout > 0 ? milliseconds() + timeout : 0;
	int got, saved = errno;

	if (!count || count > INT32_MAX) {
		errno = EINVAL;
		return -1;
	}
	got = receive_now(heap, objects, count);
	if (got < 0 && errno == EAGAIN && timeout) {
		pthread_mutex_lock(&heap->lock);
		pyml_shared_send(heap);
		pthread_mutex_unlock(&heap->lock);
		do {
			if (wait_for_mail(heap, end, timeout))
				return -1;
			got = receive_now(heap, objects, count);
		} while (got < 0 && errno == EAGAIN);
	}
	if (got > 0)
		errno = saved;
	return got;
}
