// SPDX-License-Identifier: GPL-2.0
/*
 * Quotas: so many bytes and no more; and what a heap's pages and metadata are
 * charged to: its own limit and its user's.
 */
#include <linux/errno.h>

#include "quota.h"

/**
 * pym_quota_charge() - take bytes from a quota
 * @quota: the quota; NULL is one without a limit
 * @bytes: how many
 *
 * Context: Any.
 * Return: 0, or -EDQUOT and nothing is charged.
 */
int pym_quota_charge(struct pym_quota *quota, unsigned long bytes)
{
	unsigned long max;

	if (!quota)
		return 0;
	max = READ_ONCE(*quota->max);
	if (atomic_long_add_return(bytes, &quota->used) > max && max) {
		atomic_long_sub(bytes, &quota->used);
		return -EDQUOT;
	}
	return 0;
}

/**
 * pym_quota_force() - take bytes from a quota, beyond its limit, too
 * @quota: the quota; NULL is one without a limit
 * @bytes: how many
 *
 * For what cannot be refused any more: a write to memory that a process has, and
 * fork().
 *
 * Context: Any.
 */
void pym_quota_force(struct pym_quota *quota, unsigned long bytes)
{
	if (quota)
		atomic_long_add(bytes, &quota->used);
}

/**
 * pym_quota_uncharge() - give bytes back to a quota
 * @quota: the quota; NULL is one without a limit
 * @bytes: how many
 *
 * Context: Any.
 */
void pym_quota_uncharge(struct pym_quota *quota, unsigned long bytes)
{
	if (quota)
		atomic_long_sub(bytes, &quota->used);
}

/* Of what a quota has been charged, so much more (or less) is metadata. */
static void count_meta(struct pym_quota *quota, long bytes)
{
	if (quota)
		atomic_long_add(bytes, &quota->meta);
}

/**
 * pym_quota_move_meta() - have metadata count against another quota
 * @from: the quota that it counts against; may be NULL
 * @to: the other; may be NULL, and be exceeded
 * @bytes: how many
 *
 * Context: Any.
 */
void pym_quota_move_meta(struct pym_quota *from, struct pym_quota *to, unsigned long bytes)
{
	count_meta(from, -bytes);
	pym_quota_uncharge(from, bytes);
	pym_quota_force(to, bytes);
	count_meta(to, bytes);
}

static int heap_charge(struct pym_heap *heap, unsigned long bytes)
{
	int err;

	/* The heap's own limit is a full heap, the user's is a quota. */
	if (pym_quota_charge(&heap->quota, bytes))
		return -ENOMEM;
	err = pym_quota_charge(heap->user, bytes);
	if (err)
		pym_quota_uncharge(&heap->quota, bytes);
	return err;
}

static void heap_force(struct pym_heap *heap, unsigned long bytes)
{
	pym_quota_force(&heap->quota, bytes);
	pym_quota_force(heap->user, bytes);
}

static void heap_uncharge(struct pym_heap *heap, unsigned long bytes)
{
	pym_quota_uncharge(&heap->quota, bytes);
	pym_quota_uncharge(heap->user, bytes);
}

/**
 * pym_pages_charge() - charge pages that a heap is about to get
 * @heap: the heap
 * @nr: how many
 *
 * Context: Holds @heap->gate.
 * Return: 0; or -ENOMEM (the heap's limit) or -EDQUOT (the user's), and nothing is
 *	charged.
 */
int pym_pages_charge(struct pym_heap *heap, unsigned int nr)
{
	return heap_charge(heap, pym_page_bytes(nr));
}

/**
 * pym_pages_uncharge() - the reverse, for pages that the heap has not got
 * @heap: the heap
 * @nr: how many
 *
 * Context: as pym_pages_charge(), and since then.
 */
void pym_pages_uncharge(struct pym_heap *heap, unsigned int nr)
{
	heap_uncharge(heap, pym_page_bytes(nr));
}

/**
 * pym_meta_charge() - charge metadata before it is allocated
 * @heap: the heap
 * @bytes: what it takes, with what the kernel's allocators round up
 *
 * Until @heap->gate is left, the metadata must be where the checker finds it, or
 * be given back.  The clone that fork() is making is not refused for a limit.
 *
 * Context: Holds @heap->gate, or nobody else knows the heap.
 * Return: 0; or -ENOMEM (the heap's limit) or -EDQUOT (the user's), and nothing is
 *	charged.
 */
int pym_meta_charge(struct pym_heap *heap, unsigned long bytes)
{
	int err = 0;

	if (heap->cloning)
		heap_force(heap, bytes);
	else
		err = heap_charge(heap, bytes);
	if (err)
		return err;
	count_meta(&heap->quota, bytes);
	count_meta(heap->user, bytes);
	return 0;
}

/**
 * pym_meta_uncharge() - the reverse, when it is freed
 * @heap: the heap
 * @bytes: as they were charged
 *
 * Context: as pym_meta_charge().
 */
void pym_meta_uncharge(struct pym_heap *heap, unsigned long bytes)
{
	count_meta(&heap->quota, -bytes);
	count_meta(heap->user, -bytes);
	heap_uncharge(heap, bytes);
}
