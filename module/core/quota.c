// SPDX-License-Identifier: GPL-2.0
/*
 * Quotas: a count of bytes with a limit.  A heap's pages and metadata are charged to two
 * of them: the heap's own, and that of its user.
 */
#include <linux/errno.h>

#include "quota.h"

/**
 * pym_quota_charge() - take bytes from a quota
 * @quota: the quota; NULL is one without a limit
 * @bytes: how many
 *
 * At the limit, what the quota can do without is given back first.
 *
 * Context: Any that holds no spinlock.
 * Return: 0, or -EDQUOT and nothing is charged.
 */
int pym_quota_charge(struct pym_quota *quota, unsigned long bytes)
{
	unsigned long used, max;

	if (!quota)
		return 0;
	for (;;) {
		max = READ_ONCE(*quota->max);
		used = atomic_long_add_return(bytes, &quota->used);
		if (used <= max || !max)
			return 0;
		atomic_long_sub(bytes, &quota->used);
		if (!quota->relieve || !quota->relieve(quota, used - max))
			return -EDQUOT;
	}
}

/**
 * pym_quota_force() - take bytes from a quota, even beyond its limit
 * @quota: the quota; NULL is one without a limit
 * @bytes: how many
 *
 * For what must not fail because of a limit: fork(), and a write to memory that the
 * process already has.
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

/* Count @bytes more (fewer, if negative) of what a quota is charged as metadata. */
static void count_meta(struct pym_quota *quota, long bytes)
{
	if (quota)
		atomic_long_add(bytes, &quota->meta);
}

/**
 * pym_quota_move_meta() - move the charge for metadata to another quota
 * @from: the quota that it is charged to; may be NULL
 * @to: the other quota; may be NULL; its limit may be exceeded
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

	/* At its own limit a heap is full (ENOMEM); at the user's the error is EDQUOT. */
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
 * pym_pages_force() - charge pages that are there already, even beyond a limit
 * @heap: the heap
 * @nr: how many
 *
 * Context: Holds @heap->gate.
 */
void pym_pages_force(struct pym_heap *heap, unsigned int nr)
{
	heap_force(heap, pym_page_bytes(nr));
}

/**
 * pym_pages_uncharge() - undo pym_pages_charge() for pages that the heap did not get
 * @heap: the heap
 * @nr: how many
 *
 * Context: Holds @heap->gate, without a break since pym_pages_charge().
 */
void pym_pages_uncharge(struct pym_heap *heap, unsigned int nr)
{
	heap_uncharge(heap, pym_page_bytes(nr));
}

/**
 * pym_meta_force() - charge metadata that is there already, even beyond a limit
 * @heap: the heap
 * @bytes: as for pym_meta_charge()
 *
 * Context: as pym_meta_charge().
 */
void pym_meta_force(struct pym_heap *heap, unsigned long bytes)
{
	heap_force(heap, bytes);
	count_meta(&heap->quota, bytes);
	count_meta(heap->user, bytes);
}

/**
 * pym_meta_charge() - charge metadata before it is allocated
 * @heap: the heap
 * @bytes: what it takes, with what the kernel's allocators round up
 *
 * Before the caller leaves @heap->gate, the metadata must be where the checker finds it,
 * or must be uncharged again.  For a clone that fork() is making no limit is checked.
 *
 * Context: Holds @heap->gate, or nobody else knows the heap.
 * Return: 0; or -ENOMEM (the heap's limit) or -EDQUOT (the user's), and nothing is
 *	charged.
 */
int pym_meta_charge(struct pym_heap *heap, unsigned long bytes)
{
	int err;

	if (heap->cloning) {
		pym_meta_force(heap, bytes);
		return 0;
	}
	err = heap_charge(heap, bytes);
	if (err)
		return err;
	count_meta(&heap->quota, bytes);
	count_meta(heap->user, bytes);
	return 0;
}

/**
 * pym_meta_uncharge() - uncharge metadata when it is freed
 * @heap: the heap
 * @bytes: as many as were charged for it
 *
 * Context: as pym_meta_charge().
 */
void pym_meta_uncharge(struct pym_heap *heap, unsigned long bytes)
{
	count_meta(&heap->quota, -bytes);
	count_meta(heap->user, -bytes);
	heap_uncharge(heap, bytes);
}
