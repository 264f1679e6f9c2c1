// SPDX-License-Identifier: LGPL-2.1-or-later
/* Shared heaps: objects with names. */
#include <errno.h>
#include <string.h>

#include "sharedhold.h"

static int take_name(struct pymalloc_roots *args, const char *name)
{
	size_t length = strlen(name);

	if (length && length < sizeof(args->name)) {
		memcpy(args->name, name, length);
		return 0;
	}
	errno = EINVAL;
	return -1;
}

/* Makes a call, with the heap locked or not, again after a signal, or if there is room then. */
static int call_locked(struct pyml_shared *heap, struct pymalloc_roots *args)
{
	int ret;

	do
		ret = pyml_shared_ioctl(heap, PYMALLOC_IOC_ROOTS, args);
	while (ret < 0 && pyml_shared_make_room(heap, errno));
	return ret;
}

static int change(struct pyml_shared *heap, __u32 op, const char *name, const void *object)
{
	struct pymalloc_roots args = {
		.argsz = sizeof(args),
		.op = op,
		.ref = pymalloc_shared_ref(&heap->view, object),
	};
	int ret, saved = errno;

	if (take_name(&args, name))
		return -1;
	if (heap->reader) {
		errno = EPERM;
		return -1;
	}
	pthread_mutex_lock(&heap->lock);
	ret = call_locked(heap, &args);
	pthread_mutex_unlock(&heap->lock);
	if (!ret)
		errno = saved;
	return ret;
}

/* An object whose drop waits, or that is in the stock, is one that the kernel would accept. */
static int publish(struct pyml_shared *heap, __u32 op, const char *name, const void *object)
{
	__u64 ref = pymalloc_shared_ref(&heap->view, object);

	if (ref < heap->window &&
	    __atomic_load_n(pyml_count(heap, ref), __ATOMIC_RELAXED) >= PYMALLOC_SHARED_ONCE)
		return change(heap, op, name, object);
	errno = EBADSLT;
	return -1;
}

int pymalloc_shared_publish(struct pymalloc_shared *view, const char *name, const void *object)
{
	return publish(pyml_shared_of(view), PYMALLOC_ROOTS_SET, name, object);
}

int pymalloc_shared_publish_new(struct pymalloc_shared *view, const char *name,
				const void *object)
{
	return publish(pyml_shared_of(view), PYMALLOC_ROOTS_NEW, name, object);
}

int pymalloc_shared_remove(struct pymalloc_shared *view, const char *name)
{
	return change(pyml_shared_of(view), PYMALLOC_ROOTS_REMOVE, name, NULL);
}

/* Returns the object, held, or NULL and errno. */
static void *get_locked(struct pyml_shared *heap, struct pymalloc_roots *args)
{
	args->op = PYMALLOC_ROOTS_GET;
	args->ref = 0;
	if (call_locked(heap, args))
		return NULL;
	pyml_shared_count_in(heap, args->ref);
	return heap->view.base + args->ref;
}

void *pymalloc_shared_lookup(struct pymalloc_shared *view, const char *name)
{
	struct pymalloc_roots args = { .argsz = sizeof(args) };
	struct pyml_shared *heap = pyml_shared_of(view);
	int saved = errno;
	void *object;

	if (take_name(&args, name))
		return NULL;
	pthread_mutex_lock(&heap->lock);
	object = get_locked(heap, &args);
	pthread_mutex_unlock(&heap->lock);
	if (object)
		errno = saved;
	return object;
}

/*
 * Waits for a name, once; with the lock not held, so that the object that it has then may be
 * dropped, or have lost the name, before it is counted.
 */
static int wait_once(struct pyml_shared *heap, struct pymalloc_roots *args)
{
	args->op = PYMALLOC_ROOTS_WAIT;
	args->ref = 0;
	if (!pyml_shared_ioctl(heap, PYMALLOC_IOC_ROOTS, args))
		return 0;
	/* It is there, but there is no room for it. */
	return errno == EDQUOT || errno == ENOMEM ? 0 : -1;
}

void *pymalloc_shared_wait(struct pymalloc_shared *view, const char *name)
{
	struct pymalloc_roots args = { .argsz = sizeof(args) };
	struct pyml_shared *heap = pyml_shared_of(view);
	int saved = errno;
	void *object;
	__u64 waited;

	if (take_name(&args, name))
		return NULL;
	pthread_mutex_lock(&heap->lock);
	object = get_locked(heap, &args);
	while (!object && errno == ENOENT) {
		pyml_shared_send(heap);
		pthread_mutex_unlock(&heap->lock);
		if (wait_once(heap, &args))
			return NULL;
		waited = args.ref;
		pthread_mutex_lock(&heap->lock);
		object = get_locked(heap, &args);
		if (waited)
			pyml_shared_settle(heap, waited);
	}
	pthread_mutex_unlock(&heap->lock);
	if (object)
		errno = saved;
	return object;
}
