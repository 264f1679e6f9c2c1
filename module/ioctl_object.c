// SPDX-License-Identifier: GPL-2.0
/*
 * The ioctls that move objects.
 *
 * A batch is done in parts: see batch.h.  A part is copied once, without a lock, and
 * after it a signal may end the call, which then returns how far it came.
 */
#include <linux/sched/mm.h>

#include "batch.h"
#include "ioctl.h"
#include "ioctl_object.h"
#include "registry.h"
#include "service_heap.h"
#include "settle.h"
#include "sharer.h"
#include "upkeep.h"

/* Free objects of which nobody knows. */
static void alloc_free(struct pym_service_heap *sheap, const u64 *refs, unsigned int nr)
{
	u8 status[PYM_BATCH_PART] __uninitialized;

	pym_free(&sheap->heap, refs, status, nr);
}

/* In a shared heap the caller holds them; or they are freed. */
static unsigned int alloc_hold(struct pym_service_heap *sheap, const u64 *refs,
			       unsigned int nr, int *err)
{
	unsigned int held = pym_sharer_begin(sheap, refs, nr, err);

	if (held < nr)
		alloc_free(sheap, refs + held, nr - held);
	return held;
}

/* Free objects whose refs could not be stored: the caller will never know them. */
static void alloc_undo(struct pym_service_heap *sheap, const u64 *refs, unsigned int nr)
{
	if (sheap->flags & PYMALLOC_CREATE_SHARED)
		pym_sharer_drop(sheap, refs, nr);
	else
		alloc_free(sheap, refs, nr);
}

/* Pages and metadata are charged to the memory cgroup of the heap's maker. */
static unsigned int alloc_charged(struct pym_service_heap *sheap,
				  const struct pymalloc_alloc *alloc, u64 *refs,
				  unsigned int nr, int *err)
{
	struct mem_cgroup *old = set_active_memcg(sheap->memcg);
	u32 flags = (alloc->flags & PYMALLOC_ALLOC_ZERO ? PYM_ALLOC_ZERO : 0) |
		    (alloc->flags & PYMALLOC_ALLOC_PINNED ? PYM_ALLOC_PINNED : 0) |
		    (alloc->flags & PYMALLOC_ALLOC_TYPE_MASK);
	unsigned int done = pym_alloc(&sheap->heap, alloc->size, flags, refs, nr, err);

	if (sheap->flags & PYMALLOC_CREATE_SHARED)
		done = alloc_hold(sheap, refs, done, err);
	set_active_memcg(old);
	return done;
}

static int alloc_part(struct pym_service_heap *sheap, struct pymalloc_alloc *alloc)
{
	unsigned int nr = min_t(u32, alloc->count - alloc->done, PYM_BATCH_PART);
	unsigned int got, stored;
	u64 refs[PYM_BATCH_PART] __uninitialized;
	int err;

	got = alloc_charged(sheap, alloc, refs, nr, &err);
	/*
	 * Heaps of processes that have died may hold what is missing: end them, and try
	 * once more.
	 */
	if (!got && err == -EDQUOT) {
		pym_registry_bury();
		got = alloc_charged(sheap, alloc, refs, nr, &err);
	}
	stored = pym_batch_write(alloc->refs, alloc->done, refs, got);
	alloc->done += stored;
	if (stored == got)
		return err;
	alloc_undo(sheap, refs + stored, got - stored);
	return -EFAULT;
}

/**
 * pym_alloc_reset() - say of a PYMALLOC_IOC_ALLOC that nothing is done
 * @call: the call, with a struct pymalloc_alloc
 *
 * Context: Any.
 */
void pym_alloc_reset(struct pym_call *call)
{
	call->args.alloc.done = 0;
}

/**
 * pym_alloc_ioctl() - PYMALLOC_IOC_ALLOC
 * @call: the call, with a struct pymalloc_alloc
 *
 * Return: 0 or an error, as the interface says.
 */
int pym_alloc_ioctl(struct pym_call *call)
{
	struct pymalloc_alloc *alloc = &call->args.alloc;
	int err;

	err = pym_batch_check(alloc->count);
	if (err)
		return err;
	if (!alloc->size || alloc->size > PYMALLOC_SIZE_MAX)
		return -EINVAL;
	pym_settle(call->sheap);
	for (;;) {
		err = alloc_part(call->sheap, alloc);
		if (err || alloc->done == alloc->count)
			return err;
		err = pym_batch_pause();
		if (err)
			return err;
	}
}

static int free_part(struct pym_service_heap *sheap, struct pymalloc_free *free)
{
	unsigned int nr = min_t(u32, free->count - free->done, PYM_BATCH_PART);
	unsigned int got, bad, i;
	u8 status[PYM_BATCH_PART] __uninitialized;
	u64 refs[PYM_BATCH_PART] __uninitialized;

	got = pym_batch_read(free->refs, free->done, refs, nr);
	bad = pym_free(&sheap->heap, refs, status, got);
	pym_upkeep_arm(sheap);
	for (i = 0; bad && free->first_bad == free->count && i < got; i++)
		if (status[i] != PYMALLOC_REF_OK)
			free->first_bad = free->done + i;
	free->nr_bad += bad;
	free->done += got;
	if (free->status && copy_to_user((u8 __user *)u64_to_user_ptr(free->status) +
					 free->done - got, status, got))
		return -EFAULT;
	return got == nr ? 0 : -EFAULT;
}

/**
 * pym_free_reset() - say of a PYMALLOC_IOC_FREE that nothing is done
 * @call: the call, with a struct pymalloc_free
 *
 * Context: Any.
 */
void pym_free_reset(struct pym_call *call)
{
	struct pymalloc_free *free = &call->args.free;

	free->done = 0;
	free->nr_bad = 0;
	free->first_bad = free->count;
}

/**
 * pym_free_ioctl() - PYMALLOC_IOC_FREE
 * @call: the call, with a struct pymalloc_free
 *
 * Return: 0 or an error, as the interface says.
 */
int pym_free_ioctl(struct pym_call *call)
{
	struct pymalloc_free *free = &call->args.free;
	int err;

	err = pym_batch_check(free->count);
	while (!err) {
		err = free_part(call->sheap, free);
		if (err)
			return err;
		if (free->done == free->count)
			return free->nr_bad ? -EBADSLT : 0;
		err = pym_batch_pause();
	}
	return err;
}

/* What write() returns for a bad ref.  It returns these errors for nothing else. */
static const int bad_ref_errors[] = {
	[PYMALLOC_REF_RANGE]		= -ERANGE,
	[PYMALLOC_REF_FOREIGN]		= -ENXIO,
	[PYMALLOC_REF_MISALIGNED]	= -EBADSLT,
	[PYMALLOC_REF_UNTOUCHED]	= -ENODATA,
	[PYMALLOC_REF_FREE]		= -EALREADY,
	[PYMALLOC_REF_SEALED]		= -EPERM,
};

/* As free_part(), but it stops before the first bad ref. */
static int free_part_until_bad(struct pym_service_heap *sheap, struct pymalloc_free *free)
{
	unsigned int nr = min_t(u32, free->count - free->done, PYM_BATCH_PART);
	unsigned int got, freed;
	u8 status[PYM_BATCH_PART] __uninitialized;
	u64 refs[PYM_BATCH_PART] __uninitialized;

	got = pym_batch_read(free->refs, free->done, refs, nr);
	freed = pym_free_until_bad(&sheap->heap, refs, status, got);
	pym_upkeep_arm(sheap);
	free->done += freed;
	if (freed < got) {
		/*
		 * Count the bad ref only where the caller gets its error.  With refs done
		 * before it, the call returns their number, and the next one begins here.
		 */
		if (!free->done)
			atomic64_inc(&sheap->heap.nr_bad_refs);
		return bad_ref_errors[status[freed]];
	}
	return got == nr ? 0 : -EFAULT;
}

/**
 * pym_free_until_bad_ref() - free a batch up to the first bad ref
 * @call: the call, with a struct pymalloc_free that has no place for statuses, and of
 *	which nothing is done
 *
 * Return: 0 or an error, as the interface says of write().
 */
int pym_free_until_bad_ref(struct pym_call *call)
{
	struct pymalloc_free *free = &call->args.free;
	int err;

	err = pym_batch_check(free->count);
	while (!err) {
		err = free_part_until_bad(call->sheap, free);
		if (err || free->done == free->count)
			return err;
		err = pym_batch_pause();
	}
	return err;
}

static int usable_part(struct pym_service_heap *sheap, struct pymalloc_usable *usable)
{
	unsigned int nr = min_t(u32, usable->count - usable->done, PYM_BATCH_PART);
	unsigned int got, stored, i;
	u64 words[PYM_BATCH_PART] __uninitialized;

	got = pym_batch_read(usable->refs, usable->done, words, nr);
	for (i = 0; i < got; i++)
		words[i] = pym_usable(&sheap->heap, words[i]);
	stored = pym_batch_write(usable->sizes, usable->done, words, got);
	usable->done += stored;
	return stored == nr ? 0 : -EFAULT;
}

/**
 * pym_usable_reset() - say of a PYMALLOC_IOC_USABLE that nothing is done
 * @call: the call, with a struct pymalloc_usable
 *
 * Context: Any.
 */
void pym_usable_reset(struct pym_call *call)
{
	call->args.usable.done = 0;
}

/**
 * pym_usable_ioctl() - PYMALLOC_IOC_USABLE
 * @call: the call, with a struct pymalloc_usable
 *
 * Return: 0 or an error, as the interface says.
 */
int pym_usable_ioctl(struct pym_call *call)
{
	struct pymalloc_usable *usable = &call->args.usable;
	int err;

	err = pym_batch_check(usable->count);
	while (!err) {
		err = usable_part(call->sheap, usable);
		if (err || usable->done == usable->count)
			return err;
		err = pym_batch_pause();
	}
	return err;
}

static int resize_charged(struct pym_service_heap *sheap, void *args)
{
	struct pymalloc_resize *resize = args;

	return pym_resize(&sheap->heap, &resize->ref, resize->size);
}

/**
 * pym_resize_ioctl() - PYMALLOC_IOC_RESIZE
 * @call: the call, with a struct pymalloc_resize
 *
 * Return: 0 or an error, as the interface says.
 */
int pym_resize_ioctl(struct pym_call *call)
{
	struct pym_service_heap *sheap = call->sheap;
	struct pymalloc_resize *resize = &call->args.resize;
	int err;

	if (!resize->size || resize->size > PYMALLOC_SIZE_MAX)
		return -EINVAL;
	err = pym_registry_charge(sheap, resize_charged, resize);
	pym_upkeep_arm(sheap);
	return err;
}
